rule evaluate:
    input:
        fields=rules.prepare.output.fields,
        latents=LATENTS,
        samples=SAMPLES,
    output:
        csv=f"{RUN}/scores.csv",
        json=f"{RUN}/scores.json",
    log:
        f"{RUN}/logs/evaluate.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        settings=settings("seed", "validation"),
    message:
        "Comparing the new maps of {RUN} with the held-out ones"
    shell:
        "python -m astro_ood evaluate {params.settings:q} 2>&1 | tee {log:q}"


rule report:
    input:
        scores=rules.evaluate.output.json,
        fields=rules.prepare.output.fields,
        latents=LATENTS,
        diagnostics=rules.diagnose.output.diagnostics,
        prior=rules.fit_prior.output.prior,
        proposals=rules.propose.output.proposals,
        samples=SAMPLES,
    output:
        html=report(
            f"{RUN}/report.html", caption="../report/report.rst", category="Validation"
        ),
        methods=f"{RUN}/methods.txt",
        crate=f"{RUN}/ro-crate-metadata.json",
    log:
        f"{RUN}/logs/report.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        settings=settings("title", "seed", "validation"),
    message:
        "Writing {RUN}/report.html"
    shell:
        "python -m astro_ood report {params.settings:q} 2>&1 | tee {log:q}"
