rule study_material:
    output:
        material=f"{STUDY.root}/material/{{network}}/{{domain}}.npz",
    log:
        f"{STUDY.root}/logs/material-{{network}}-{{domain}}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        config=STUDY_FILE,
    message:
        "Inverting {wildcards.domain} through {wildcards.network}"
    shell:
        "python -m astro_ood study material {params.config:q} {wildcards.network} {wildcards.domain} 2>&1 | tee {log:q}"


rule study_cell:
    input:
        f"{STUDY.root}/material/{{network}}/in-domain.npz",
        f"{STUDY.root}/material/{{network}}/{{domain}}.npz",
    output:
        table=f"{STUDY.root}/cells/{{experiment}}/{{network}}/{{domain}}.csv",
    log:
        f"{STUDY.root}/logs/{{experiment}}-{{network}}-{{domain}}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        config=STUDY_FILE,
    message:
        "{wildcards.experiment}: {wildcards.domain} through {wildcards.network}"
    shell:
        "python -m astro_ood study cell {params.config:q} {wildcards.experiment} {wildcards.network} {wildcards.domain} 2>&1 | tee {log:q}"


rule study:
    input:
        [STUDY.table(*cell).as_posix() for cell in STUDY.cells()],
    output:
        table=f"{STUDY.root}/table.csv",
        page=f"{STUDY.root}/study.html",
    log:
        f"{STUDY.root}/logs/page.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        config=STUDY_FILE,
    message:
        "Writing {STUDY.root}/study.html"
    shell:
        "python -m astro_ood study page {params.config:q} 2>&1 | tee {log:q}"
