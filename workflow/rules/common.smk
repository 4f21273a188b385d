import sys
from pathlib import Path

sys.path.insert(0, workflow.basedir)

from astro_ood import config as sections
from astro_ood._resources import expose_to_rules
from astro_ood.errors import AstroOodError
from astro_ood.study import settings as studies

expose_to_rules(workflow.basedir)

try:
    for file in workflow.overwrite_configfiles:
        sections.read_yaml(Path(file).read_text(encoding="utf-8"), file)
    # --config study=FILE; no part of the configuration of a run
    STUDY_FILE = str(config.pop("study", Path(workflow.basedir) / "config/study.yaml"))
    STUDY = studies.load(STUDY_FILE)
    CONFIG = sections.parse(config, "configuration")
    SOURCES = sections.watched(CONFIG)
except AstroOodError as error:
    raise WorkflowError(str(error)) from None

RUN = CONFIG.run.as_posix()
PROBE = [f"{RUN}/probe"] if CONFIG.probes else []
LATENTS = [f"{RUN}/latents/{shard:04d}" for shard in range(CONFIG.inversion.shards)]
SAMPLES = [f"{RUN}/samples/{shard:04d}" for shard in range(CONFIG.decoding.shards)]


def settings(*keys):
    """Argument of a rule, as a function: braces in names and titles are no wildcards."""
    return lambda wildcards: CONFIG.settings(*keys)


wildcard_constraints:
    shard=r"\d{4}",
