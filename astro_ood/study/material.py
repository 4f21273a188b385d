"""What the experiments of one network and one domain share: maps, and latents at several times, computed once and kept on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from astro_ood._log import logger
from astro_ood.api.models import open_configured
from astro_ood.diffusion import engine
from astro_ood.diffusion.batching import MICRO_BATCH, MicroBatch
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.frame import Frame
from astro_ood.diffusion.own import own_maps
from astro_ood.diffusion.presets import Preset, choose
from astro_ood.diffusion.schedule import NoiseSchedule
from astro_ood.diffusion.solver import integrate
from astro_ood.errors import ConfigError, RunError
from astro_ood.study.domains import Domain, read_domain
from astro_ood.study.settings import IN_DOMAIN, Effort, Study, claim
from astro_ood.study.table import Row

Field = NDArray[np.float32]
PUBLISHED = NoiseSchedule.linear()


@dataclass(frozen=True)
class Latents:
    """Latents (N, C', H', W') at one time, in the network's channels and size."""

    inverted: Field
    held_out: Field

    @property
    def all(self) -> Field:
        """Both together."""
        return np.concatenate([self.inverted, self.held_out])


@dataclass
class Material:
    """Maps and latents of one network and one domain.

    Attributes
    ----------
    network_name, domain_name : str
    maps : Domain
    latents : dict of float to Latents
        By time of the published schedule.
    effort : Effort
    seed : int
    """

    network_name: str
    domain_name: str
    maps: Domain
    latents: dict[float, Latents]
    effort: Effort
    seed: int
    study: Study = field(repr=False)

    @cached_property
    def model(self) -> Denoiser:
        """The frozen network."""
        return open_configured(self.study.networks[self.network_name].model)

    @cached_property
    def frame(self) -> Frame:
        """How its maps meet the network."""
        return frame_of(self.study, self.network_name, self.model)

    @cached_property
    def in_domain(self) -> Material:
        """The same of the network's own samples."""
        return load_material(self.study, self.network_name, IN_DOMAIN)

    @property
    def all_maps(self) -> Field:
        """Inverted and held-out maps (N, 1, H, W)."""
        return np.concatenate([self.maps.inverted, self.maps.held_out])

    def amplitudes(self, time: float) -> tuple[float, float]:
        """alpha and sigma at a time of the published schedule."""
        t = self.model.schedule.equivalent_time(time, PUBLISHED)
        return float(self.model.schedule.alpha(t)), float(self.model.schedule.sigma(t))

    def preset(self, time: float | None = None, n_steps: int | None = None, solver: str | None = None) -> Preset:
        """How maps are inverted and decoded: to a time of the published schedule, by default the study's."""
        t = self.model.schedule.equivalent_time(self.effort.t_0 if time is None else time, PUBLISHED)
        return choose("fast", self.model.schedule, t_0=t, n_steps=n_steps or self.effort.n_steps, solver=solver)

    def decode(self, z: Field, time: float | None = None, eta: float = 0.0) -> Field:
        """Maps of latents."""
        return engine.decode(self.model, z, self.preset(time), frame=self.frame, eta=eta, seed=self.seed, label="study decode")[0]

    def row(
        self,
        experiment: str,
        case: str,
        quantity: str,
        value: tuple[float, float, float] | float,
        *,
        x: float | None = None,
        n: int,
    ) -> Row:
        """A row of this cell; `value` alone or with its interval."""
        middle, low, high = value if isinstance(value, tuple) else (value, None, None)
        return Row(experiment, self.network_name, self.domain_name, case, quantity, x, float(middle), low, high, n)


def frame_of(study: Study, name: str, model: Denoiser) -> Frame:
    """One-channel maps are the same in every channel of the network."""
    patch = study.networks[name].patch
    return Frame.of(model, (1, patch, patch), "replicate" if model.shape[0] > 1 else "error")


def prepare(study: Study, network: str, domain: str) -> None:
    """Read (or draw) the maps of a pair, invert them to every time, and keep all.

    Raises
    ------
    ConfigError
        CF44: no such network or domain; CF46: other settings made what stands there.
    """
    if network not in study.networks or domain not in (IN_DOMAIN, *study.domains_of(network)):
        raise ConfigError("CF44", "study", f"there is no pair {network}, {domain}", "choose names of the study's file")
    claim(study)
    model = open_configured(study.networks[network].model)
    frame, effort, patch = frame_of(study, network, model), study.effort_of(network), study.networks[network].patch
    if domain == IN_DOMAIN:
        x = own_maps(model, frame, effort.in_domain, study.seed)
        half = (len(x) + 1) // 2
        names = tuple(f"own-{i:04d}" for i in range(len(x)))
        maps = Domain(x[:half], x[half:], names[:half], names[half:])
    else:
        maps = read_domain(study.domains[domain], patch, effort, study.seed)
    x, n = np.concatenate([maps.inverted, maps.held_out]), len(maps.inverted)
    arrays: dict[str, NDArray[np.generic]] = {"inverted": maps.inverted, "held_out": maps.held_out}
    t_0 = model.schedule.equivalent_time(effort.t_0, PUBLISHED)
    preset = choose("fast", model.schedule, t_0=t_0, n_steps=effort.n_steps)
    found = engine.invert(model, x, preset, frame=frame, estimate_error=False, label=f"invert {domain}")
    arrays |= {key(effort.t_0): found.z, "round_trip": found.round_trip}
    others = sorted({*effort.times} - {effort.t_0})
    if others:
        arrays |= {
            key(time): z for time, z in zip(others, on_the_way(model, frame.to_network(x), others, effort.n_steps), strict=True)
        }
    arrays |= {"regions": np.array(maps.regions), "regions_held_out": np.array(maps.regions_held_out), "unit": np.array(maps.unit)}
    save(study.material(network, domain), arrays)
    logger.info("study: %d maps of %s inverted through %s, %d held out", n, domain, network, len(x) - n)


def key(time: float) -> str:
    """Name of the latents at a time."""
    return f"z {time:g}"


def on_the_way(model: Denoiser, x: Field, times: Sequence[float], n_steps: int) -> list[Field]:
    """States (N, C', H', W') at several times of the published schedule, along one trajectory to the last of them."""
    wanted = [model.schedule.equivalent_time(time, PUBLISHED) for time in times]
    preset = choose("fast", model.schedule, t_0=wanted[-1], n_steps=n_steps)
    path = np.unique([*preset.times_up(model.schedule), *wanted])
    rows = np.searchsorted(path, wanted)

    def work(batch: Tensor, part: slice) -> tuple[Tensor, ...]:
        states = integrate(preset.make_solver(model), batch.to(model.device), path, keep=True).states
        assert states is not None
        return tuple(states[row] for row in rows)

    return MicroBatch(MICRO_BATCH).run(x, work)


def save(path: Path, arrays: dict[str, NDArray[np.generic]]) -> None:
    """Arrays to a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(f".{path.stem}.tmp.npz")
    np.savez(work, **arrays)  # type: ignore[arg-type]
    work.replace(path)


def load_material(study: Study, network: str, domain: str) -> Material:
    """What `prepare` has kept.

    Raises
    ------
    RunError
        RN12: nothing has been prepared.
    """
    path = study.material(network, domain)
    if not path.is_file():
        raise RunError("RN12", path, "no latents yet", f"call `astro-ood study material CONFIG {network} {domain}` first")
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    n = len(arrays["inverted"])
    maps = Domain(
        arrays["inverted"],
        arrays["held_out"],
        tuple(map(str, arrays["regions"])),
        tuple(map(str, arrays["regions_held_out"])),
        str(arrays["unit"]),
    )
    latents = {float(name[2:]): Latents(z[:n], z[n:]) for name, z in arrays.items() if name.startswith("z ")}
    return Material(network, domain, maps, latents, study.effort_of(network), study.seed, study)


def missing(study: Study) -> Iterator[tuple[str, str]]:
    """Pairs of a study that are not prepared yet."""
    for network in study.networks:
        for domain in (IN_DOMAIN, *study.domains_of(network)):
            if not study.material(network, domain).exists():
                yield network, domain
