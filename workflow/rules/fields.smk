rule prepare:
    input:
        lambda wildcards: SOURCES["maps"],
    output:
        fields=directory(f"{RUN}/fields"),
    log:
        f"{RUN}/logs/prepare.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        settings=settings("data"),
    message:
        "Reading, splitting and normalising the maps of {RUN}"
    shell:
        "python -m astro_ood prepare {params.settings:q} 2>&1 | tee {log:q}"
