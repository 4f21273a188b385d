rule prepare:
    output:
        fields=directory(f"{RUN}/fields"),
    log:
        f"{RUN}/logs/prepare.log",
    params:
        settings=settings("inversion"),
    resources:
        mem_mb=4000,
        runtime=30,
    conda:
        "../../environment.yml"
    message:
        "Reading, splitting and normalising the maps of {RUN}"
    shell:
        "python -m astro_ood prepare {params.settings:q} 2>&1 | tee {log:q}"
