rule probe:
    input:
        lambda wildcards: SOURCES["network"],
        fields=rules.prepare.output.fields,
    output:
        probe=directory(f"{RUN}/probe"),
    log:
        f"{RUN}/logs/probe.log",
    conda:
        "../../environment.yml"
    threads: CONFIG.model.threads
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        settings=settings("model", "inversion"),
    message:
        "Choosing solver and micro-batch on the maps of {RUN}"
    shell:
        "python -m astro_ood probe {params.settings:q} 2>&1 | tee {log:q}"


rule invert:
    input:
        lambda wildcards: SOURCES["network"],
        PROBE,
        fields=rules.prepare.output.fields,
    output:
        latents=directory(f"{RUN}/latents/{{shard}}"),
    log:
        f"{RUN}/logs/invert-{{shard}}.log",
    benchmark:
        f"{RUN}/logs/invert-{{shard}}.tsv"
    conda:
        "../../environment.yml"
    threads: CONFIG.model.threads
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        settings=settings("model", "inversion"),
    message:
        "Inverting shard {wildcards.shard} of {RUN}"
    shell:
        "python -m astro_ood invert {params.settings:q} --shard {wildcards.shard} 2>&1 | tee {log:q}"


rule fit_prior:
    input:
        fields=rules.prepare.output.fields,
        latents=LATENTS,
    output:
        prior=directory(f"{RUN}/prior"),
    log:
        f"{RUN}/logs/fit-prior.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        settings=settings("seed", "prior", "criteria"),
    message:
        "Fitting the prior of {RUN}"
    shell:
        "python -m astro_ood fit-prior {params.settings:q} 2>&1 | tee {log:q}"


rule diagnose:
    input:
        lambda wildcards: SOURCES["network"] if CONFIG.diagnostics.trajectories else [],
        fields=rules.prepare.output.fields,
        latents=LATENTS,
    output:
        diagnostics=f"{RUN}/diagnostics.json",
    log:
        f"{RUN}/logs/diagnose.log",
    conda:
        "../../environment.yml"
    threads: CONFIG.model.threads if CONFIG.diagnostics.trajectories else 1
    resources:
        mem_mb=4000,
        runtime=120 if CONFIG.diagnostics.trajectories else 30,
    params:
        settings=settings(*CONFIG.diagnosed_by),
    message:
        "Diagnosing the latents of {RUN}"
    shell:
        "python -m astro_ood diagnose {params.settings:q} 2>&1 | tee {log:q}"
