"""New astrophysical maps from few, through a frozen diffusion model of another domain, with an honest statistical report.

The names below load what they need when they are first used: importing the package loads neither torch nor matplotlib.

>>> import astro_ood as ao
>>> maps = ao.read_maps(["clouds.fits"], patch=64)
>>> model = ao.open_model("default")
>>> latents = ao.invert(maps, model)
>>> synthetic = ao.decode(ao.sample(latents, 48), model).to_maps()
>>> scores = ao.validate(maps, synthetic)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from astro_ood._version import __version__
from astro_ood.errors import AstroOodError

if TYPE_CHECKING:
    from astro_ood.api.diagnose import Diagnostics, diagnose
    from astro_ood.api.generate import decode, fit_prior, invert
    from astro_ood.api.measure import measure
    from astro_ood.api.models import open_model
    from astro_ood.api.propose import sample
    from astro_ood.api.run import Run, open_run
    from astro_ood.api.types import FittedPrior, Latents, Proposals, Scores
    from astro_ood.api.validate import validate
    from astro_ood.diffusion.guidance import Guidance
    from astro_ood.maps import FieldBatch, Map, Stretch, read_map, read_maps

_HOME = {
    "Diagnostics": "api.diagnose",
    "diagnose": "api.diagnose",
    "decode": "api.generate",
    "fit_prior": "api.generate",
    "invert": "api.generate",
    "open_model": "api.models",
    "sample": "api.propose",
    "measure": "api.measure",
    "Run": "api.run",
    "open_run": "api.run",
    "FittedPrior": "api.types",
    "Latents": "api.types",
    "Proposals": "api.types",
    "Scores": "api.types",
    "validate": "api.validate",
    "Guidance": "diffusion.guidance",
    "FieldBatch": "maps",
    "Map": "maps",
    "Stretch": "maps",
    "read_map": "maps",
    "read_maps": "maps",
}

__all__ = [
    "AstroOodError",
    "Diagnostics",
    "FieldBatch",
    "FittedPrior",
    "Guidance",
    "Latents",
    "Map",
    "Proposals",
    "Run",
    "Scores",
    "Stretch",
    "__version__",
    "decode",
    "diagnose",
    "fit_prior",
    "invert",
    "measure",
    "open_model",
    "open_run",
    "read_map",
    "read_maps",
    "sample",
    "validate",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
