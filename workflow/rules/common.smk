import json
import os
import sys
from pathlib import Path

ROOT = Path(workflow.basedir)

# Rules call `python -m astro_ood`: this project's package by the interpreter that runs Snakemake, unless conda gives another.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
if (ROOT / "astro_ood").is_dir():
    sys.path.insert(0, str(ROOT))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

from astro_ood import config as sections
from astro_ood.errors import ConfigError

try:
    CONFIG = sections.parse(config, "configuration")
except ConfigError as error:
    raise WorkflowError(str(error)) from None

RUN = CONFIG.run.as_posix()
LATENTS = [f"{RUN}/latents/{shard:04d}" for shard in range(CONFIG.inversion.shards)]
SAMPLES = [f"{RUN}/samples/{shard:04d}" for shard in range(CONFIG.decoding.shards)]


wildcard_constraints:
    shard=r"\d{4}",


def settings(*sections):
    """The part of the configuration that a rule depends on, as JSON: a change elsewhere runs nothing again."""
    return json.dumps(CONFIG.only(*sections))
