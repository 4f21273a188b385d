# From maps to validated synthetic maps: snakemake --cores all [--configfile my.yaml]
from snakemake.utils import min_version

min_version("9.27")

# The embedded run; a configuration of the user's stands alone, nothing of the embedded one shows through.
if "data" not in config and not workflow.overwrite_configfiles:

    configfile: workflow.source_path("config/config.yaml")


include: "workflow/rules/common.smk"
include: "workflow/rules/fields.smk"
include: "workflow/rules/latents.smk"
include: "workflow/rules/samples.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/study.smk"


rule all:
    default_target: True
    input:
        f"{RUN}/report.html",
