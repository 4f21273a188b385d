rule propose:
    input:
        fields=rules.prepare.output.fields,
        latents=LATENTS,
        prior=rules.fit_prior.output.prior,
    output:
        proposals=directory(f"{RUN}/proposals"),
    log:
        f"{RUN}/logs/propose.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        settings=settings("seed", "model", "proposal", "criteria"),
    message:
        "Proposing new latents for {RUN}"
    shell:
        "python -m astro_ood propose {params.settings:q} 2>&1 | tee {log:q}"


rule decode:
    input:
        lambda wildcards: SOURCES["network"],
        fields=rules.prepare.output.fields,
        proposals=rules.propose.output.proposals,
    output:
        samples=directory(f"{RUN}/samples/{{shard}}"),
    log:
        f"{RUN}/logs/decode-{{shard}}.log",
    benchmark:
        f"{RUN}/logs/decode-{{shard}}.tsv"
    conda:
        "../../environment.yml"
    threads: CONFIG.model.threads
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        settings=settings("seed", "model", "decoding"),
    message:
        "Decoding shard {wildcards.shard} of {RUN}"
    shell:
        "python -m astro_ood decode {params.settings:q} --shard {wildcards.shard} 2>&1 | tee {log:q}"
