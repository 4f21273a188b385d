"""The configuration of a run: one class for each section of the YAML file.

These classes are the only place where a setting, its unit, its default and its bounds are written down; `config/config.yaml` and
`config/schema.json` are generated from them (`astro_ood.configfile`). YAML is read strictly (`astro_ood._yaml`).
"""

from __future__ import annotations

import difflib
import glob
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from astro_ood._sections import Decoding, Diagnostics, Guidance, Section, Validation
from astro_ood._yaml import read_text, read_yaml
from astro_ood.errors import ConfigError, InputError

MAX_ARGUMENT_BYTES = 100_000

__all__ = [
    "Config",
    "Criteria",
    "Data",
    "Decoding",
    "Diagnostics",
    "Guidance",
    "Inversion",
    "Model",
    "Prior",
    "Proposal",
    "Section",
    "Validation",
    "expand",
    "load",
    "parse",
    "watched",
]


class Data(Section):
    """Which maps, and how they become tensors."""

    files: list[str] = Field(
        min_length=1,
        description="FITS, HDF5, .npy or .zarr files, or patterns (maps/*.fits); `package:NAME/path` is a file of a Python package",
    )
    hdu: int | str | None = Field(None, description="FITS: number or name of the HDU; none where there is only one image")
    dataset: str | None = Field(None, description="HDF5, zarr: path of the data set; none where there is only one")
    axis0: Literal["maps", "channels", "slice"] | None = Field(None, description="What the first axis of a cube counts")
    slice: int | list[int] | None = Field(None, description="Plane of a cube, for axis0: slice (one number for each leading axis)")
    unit: str | None = Field(None, description="Unit, where the files do not carry it (astropy's spelling)")
    frame: Literal["galactic", "icrs", "ecliptic"] | None = Field(
        None, description="Sky frame of HEALPix files that do not carry it"
    )
    patch: int | None = Field(64, ge=16, le=4096, description="Side of the square patches, pixels; none for whole maps")
    nan: Literal["drop", "error", "fill"] = Field("drop", description="Patches that hold NaN: drop, stop, or fill with the median")
    inverted: list[str] | None = Field(
        None, description="Sky regions to invert; none takes alternate regions. The others are held out"
    )
    max_inverted: int | None = Field(None, ge=2, description="Most patches to invert; none for all")
    stretch: Literal["linear", "log10", "asinh"] = Field("log10", description="Monotone map between physical values and [-1, 1]")
    channels: Literal["error", "replicate", "stack"] = Field(
        "error",
        description="One-channel maps and a network of three: refuse, replicate (the same map in each), stack (three maps in one)",
    )
    fit: Literal["error", "pad"] = Field(
        "error", description="Maps whose sides the network cannot take: refuse, or pad by reflection (cut off again afterwards)"
    )
    crop: int | None = Field(None, ge=2, le=4096, description="Cut whole maps to sides that are multiples of so many pixels; none")
    on_error: Literal["raise", "skip"] = Field("raise", description="What a file that cannot be read does to the run")
    strict: bool = Field(False, description="Treat doubtful files (wrong checksums) as errors")
    max_map_bytes: int = Field(2**31, ge=2**16, description="Largest array read from one file, bytes")

    @property
    def reading(self) -> dict[str, Any]:
        """How their files are read: options of `astro_ood.maps.Reading`."""
        own = ("hdu", "dataset", "unit", "axis0", "slice", "frame", "crop", "nan", "strict")
        return {**{name: getattr(self, name) for name in own}, "max_bytes": self.max_map_bytes}


class Model(Section):
    """The frozen network."""

    name: str = Field(
        "default",
        description="`default` (the embedded network), or a path: .safetensors, .pt, .ckpt, .eqx, or the folder of a diffusers UNet2DModel",
    )
    arch: str | None = Field(
        None, description="Architecture, where no card beside the weights says it: see `astro-ood models list`"
    )
    card: str | None = Field(
        None, description="Card, or arguments of the network, as JSON or YAML; none for the file beside the weights"
    )
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N")
    micro_batch: Annotated[int, Field(ge=1, le=65536)] | Literal["auto"] = Field(
        6, description="Maps per network call, part of the result's identity (rounding); auto: probed on the maps, once a run"
    )
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = Field(
        "fp32", description="Arithmetic inside the network; the solver's state is float32 always"
    )
    channels_last: bool = Field(
        False, description="Memory layout of images inside the network; `astro-ood plan` says what is faster"
    )
    compiled: bool = Field(
        False, description="Compile the network for this machine (torch.compile; minutes before the first result)"
    )
    graphs: bool = Field(False, description="CUDA: replay one recorded graph for each evaluation")
    onnx: bool = Field(
        False, description="CPU, fp32: let onnxruntime evaluate the network (extra `onnx`; seconds to prepare in each job)"
    )
    threads: int = Field(1, ge=1, le=256, description="CPU threads of a job; more jobs with one thread each are mostly faster")
    window: int | None = Field(
        None,
        ge=16,
        le=4096,
        description="Side of overlapping windows for maps larger than the network, pixels; none for whole maps",
    )


class Inversion(Section):
    """How maps become latents, and latents maps."""

    preset: Literal["paper", "fast", "accurate", "tolerance"] = Field(
        "fast", description="Solver, grid and number of evaluations; tolerance: chosen by a probe on the maps, once a run"
    )
    tolerance: float | str = Field(
        "1%", description="tolerance: largest round-trip and latent error, in standard deviations of map and latent (0.01 or 1%)"
    )
    solver: Literal["ddim", "heun", "rk4", "ab2", "ab3", "dpm2m", "sqrt2m", "dpm3m", "unipc", "implicit"] | None = Field(
        None, description="Solver instead of the preset's (tolerance: the only one tried); none for the preset's"
    )
    n_steps: int | None = Field(
        None,
        ge=2,
        le=10_000,
        description="Evaluations per direction (paper: grid points; tolerance: at the most); none for the preset's",
    )
    t_0: float | None = Field(None, gt=0, description="Time inverted to, in the network's own time; none for the preset's")
    check_t_0: list[float] | None = Field(
        None, max_length=8, description="Further times at which only the round trip is measured; none for the published t_0"
    )
    estimates: int = Field(64, ge=0, description="Maps of each shard whose latent error and round trips at check_t_0 are measured")
    shards: int = Field(2, ge=1, le=2000, description="Jobs that the inversion is divided into")


class Prior(Section):
    """Distribution fitted to the inverted latents."""

    kind: Literal["isotropic", "isotropic_corrected", "diagonal", "spectral", "lowrank", "wavelet"] = Field(
        "isotropic",
        description="isotropic (published), isotropic_corrected, diagonal (per pixel), spectral (stationary), lowrank (spectral and "
        "directions that stand out), wavelet (local spectrum)",
    )


class Proposal(Section):
    """How new latents are made."""

    kind: Literal["gaussian", "shell", "parent", "forward", "lerp", "slerp", "norm_path", "lol", "bands", "low_high"] = Field(
        "gaussian",
        description="gaussian, shell or parent (a latent and noise) from the prior; forward (a map and noise); lerp, slerp or norm_path between two latents; lol "
        "(linear combinations), bands (one for each octave), low_high (large scales of one, small of another)",
    )
    k: int = Field(3, ge=2, description="lol, bands: latents combined in each candidate")
    reach: float = Field(
        1.0, ge=0, le=1, description="lerp, slerp, norm_path: middle part of the path that is taken (1: all of it)"
    )
    noise: float = Field(0.5, ge=0, le=1, description="parent: amplitude of the noise, 0 for a copy, 1 for a draw from the prior")
    t: float | None = Field(
        None,
        gt=0,
        description="forward: time of the noise, in the network's own time, which needs criteria of kind none; none for that of the latents",
    )
    n: int = Field(48, ge=2, le=1_000_000, description="New maps to make")
    budget: int | None = Field(None, ge=1, description="Candidates tried at the most; none for 100 per map, at least 2,000")


class Criteria(Section):
    """Which candidates are kept."""

    kind: Literal["calibrated", "paper", "none"] = Field(
        "none", description="calibrated on the latents, the published bands, or none (isotropic draws meet no calibrated ones)"
    )
    names: list[Literal["distance", "origin_angle", "pair_angle", "radius", "spectrum", "whiteness"]] = Field(
        ["distance", "origin_angle", "spectrum", "whiteness"], min_length=1, description="calibrated: which numbers have bands"
    )
    false_reject: float = Field(
        0.05, gt=0, lt=1, description="calibrated: rate at which a true latent is rejected, all bands together"
    )


class Config(Section):
    """One run: one domain, one directory `results/<name>`."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$", description="Name of the run; results go to results/<name>")
    title: str = Field("", max_length=200, description="Title of the report")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of every random stream")
    data: Data
    model: Model = Model()
    inversion: Inversion = Inversion()
    prior: Prior = Prior()
    proposal: Proposal = Proposal()
    criteria: Criteria = Criteria()
    decoding: Decoding = Decoding()
    diagnostics: Diagnostics = Diagnostics()
    validation: Validation = Validation()

    @model_validator(mode="after")
    def _logarithms_exist(self) -> Config:
        if self.validation.log and self.data.stretch != "log10":
            raise ValueError("validation.log: true needs data.stretch: log10, for synthetic maps may be <= 0 otherwise")
        return self

    @field_validator("name")
    @classmethod
    def _inside_results(cls, name: str) -> str:
        if ".." in name:
            raise ValueError("a run name may not hold '..'")
        return name

    @property
    def run(self) -> Path:
        """Directory of the run, relative to the current directory."""
        return Path("results") / self.name

    @property
    def effective(self) -> Path:
        """Where the run keeps the configuration that it was made with."""
        return self.run / "config.yaml"

    @property
    def probes(self) -> bool:
        """Whether a probe of the maps decides something."""
        return self.inversion.preset == "tolerance" or self.model.micro_batch == "auto"

    @property
    def diagnosed_by(self) -> list[str]:
        """What diagnostics depend on: the network too where they ask it."""
        return ["seed", "diagnostics", *(["model"] if self.diagnostics.trajectories else [])]

    def only(self, *keys: str) -> dict[str, Any]:
        """Name and further entries: what one stage depends on, and what its store records."""
        return self.model_dump(include={"name", *keys})

    def settings(self, *keys: str) -> str:
        """The same as JSON text, which `load` takes: the argument of a rule, that a change elsewhere does not touch.

        Raises
        ------
        ConfigError
            More text than an operating system takes as one argument.
        """
        text = json.dumps(self.only(*keys))
        if len(text.encode()) > MAX_ARGUMENT_BYTES:
            raise ConfigError("CF03", "data.files", "the list of files is over 100 kB", "use a pattern such as maps/*.fits")
        return text


def load(source: str | Path) -> Config:
    """Read a configuration from a YAML file, or from JSON text (as rules pass it).

    Raises
    ------
    ConfigError
        Unreadable file, YAML that is not plain, unknown keys (with the nearest known one), values out of bounds.
    """
    text = str(source)
    if text.lstrip().startswith("{"):
        raw = _read_json(text)
        # the settings of a stage name the files only where the stage reads them
        return parse({"data": {"files": ["(read by an earlier stage)"]}, **raw} if isinstance(raw, Mapping) else raw, "settings")
    path = Path(source)
    return parse(read_yaml(read_text(path), path), path)


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        problem = getattr(error, "msg", None) or "too deeply nested"
        raise ConfigError("CF43", "settings", f"not JSON: {problem}", "give a YAML file, or its content as JSON") from None


def parse(raw: Any, where: object) -> Config:
    """Configuration from plain data; `where` names it in errors."""
    if not isinstance(raw, Mapping):
        raise ConfigError("CF43", where, f"expected sections such as `data:`, found {type(raw).__name__}", "see `astro-ood init`")
    try:
        return Config.model_validate(dict(raw))
    except ValidationError as error:
        raise _explain(error, where) from None


def _explain(error: ValidationError, where: object) -> ConfigError:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _keys(first["loc"][:-1])
        close = difflib.get_close_matches(str(first["loc"][-1]), known, 1)
        hint = f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(known)}"
        return ConfigError("CF42", where, f"unknown key '{key}'", hint)
    message = first["msg"].removeprefix("Value error, ")
    return ConfigError(
        "CF44",
        where,
        f"{key} = {str(first['input'])[:80]!r}: {message[0].lower()}{message[1:]}",
        "see the comment in `astro-ood init`'s output",
    )


def _keys(loc: tuple[int | str, ...]) -> list[str]:
    model: Any = Config
    for part in loc:
        model = model.model_fields[str(part)].annotation
    return list(model.model_fields)


def expand(names: Sequence[str]) -> list[str]:
    """File names in order, with patterns such as ``maps/*.fits`` replaced by the files that they match.

    Raises
    ------
    InputError
        A pattern that matches nothing.
    """
    found: set[str] = set()
    for name in names:
        pattern = any(c in name for c in "*?[") and not name.startswith("package:") and not Path(name).exists()
        matches = glob.glob(name, recursive=True) if pattern else [name]  # noqa: PTH207 (a pattern may be absolute)
        if not matches:
            raise InputError("IN34", name, "no file matches this pattern", "check it, relative to the current directory")
        found.update(matches)
    return sorted(found)


def watched(config: Config) -> dict[str, list[str]]:
    """Plain files that a workflow can watch for changes: of the maps, and of a network that is not an embedded one."""
    names = {"maps": expand(config.data.files), "network": [config.model.name, *([config.model.card] if config.model.card else [])]}
    return {
        key: [name for name in some if name.isprintable() and "{" not in name and Path(name).is_file()]
        for key, some in names.items()
    }
