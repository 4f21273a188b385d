"""The stages of a run: each opens the stores it needs, computes, and writes one store.

A stage is one rule of the workflow and one verb of the command line; modules here and rule files are named alike (`prior` beside `latents`). A stage reads its
part of the configuration and nothing else; the store that it writes records that part, the hashes of the stores it was made from, the
network and the seed. Maps and latents pass through in blocks, so that memory does not depend
on their number.
"""

from astro_ood.stages.common import check_shards
from astro_ood.stages.diagnose import diagnose
from astro_ood.stages.fields import Selection, prepare, select
from astro_ood.stages.latents import invert, probe
from astro_ood.stages.prior import fit_prior
from astro_ood.stages.report import evaluate, report
from astro_ood.stages.samples import decode, propose

__all__ = [
    "Selection",
    "check_shards",
    "decode",
    "diagnose",
    "evaluate",
    "fit_prior",
    "invert",
    "prepare",
    "probe",
    "propose",
    "report",
    "select",
]
