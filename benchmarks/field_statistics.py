"""Every field statistic beside the packages of the field that compute it: time a map, and what the results differ by.

    OMP_NUM_THREADS=1 python benchmarks/field_statistics.py                    64 x 64 and 256 x 256
    OMP_NUM_THREADS=1 python benchmarks/field_statistics.py --only minkowski
    OMP_NUM_THREADS=1 python benchmarks/field_statistics.py --memory 1000      peak memory for 1000 maps of 256 x 256

Packages that are not installed are named and left out. Same maps and, where the package allows, the same quantity; all in one process
and one thread. A package that takes one map at a time is given one at a time, as its users do. Times are processor milliseconds, which
a busy neighbour changes least; each repetition takes both sides one after the other, so that it meets both alike. Medians are shown,
and the range of the ratio. A difference is the root mean square of ours - theirs over that of theirs, unless it is named otherwise.
"""

# ruff: noqa: T201 (a benchmark prints)
from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special
import torch
from common import machine, table
from field_packages import (
    Maps,
    Work,
    by_slope,
    counted_peaks,
    fluidsf_axes,
    foscat_covariance,
    four_shapes,
    galaxies,
    gstools_variogram,
    kymatio_scattering,
    percent,
    plain_coherence,
    plain_spectrum,
    powerbox_coherence,
    powerbox_spectrum,
    pynkowski_functionals,
    pynkowski_peaks,
    pywph_statistics,
    quantimpy_functionals,
    scattering_scatter,
    second_order,
    skimage_functionals,
    skimage_peaks,
    statmorph_shapes,
    three_functionals,
    turbustat_bispectrum,
    turbustat_slope,
    two_functionals,
)

from astro_ood.maps.synthetic import gaussian_field
from astro_ood.stats.bispectrum import bispectrum
from astro_ood.stats.features import features
from astro_ood.stats.increments import gradient_quantiles, structure_functions
from astro_ood.stats.minkowski import minkowski
from astro_ood.stats.morphology import morphology
from astro_ood.stats.onepoint import moments, quantiles
from astro_ood.stats.peaks import peaks
from astro_ood.stats.scattering import scattering
from astro_ood.stats.spectrum import power_spectrum, slope

# A package gets as many maps in each repetition as it computes in this many seconds.
SECONDS = 1.5


@dataclass(frozen=True)
class Pair:
    """One statistic of ours and that of a package.

    `rival` imports the package and returns what computes one map; `difference` takes both results, theirs as a list over maps.
    """

    topic: str
    ours: str
    work: Work
    package: str
    theirs: str
    rival: Callable[[], Work]
    difference: Callable[[Any, list[Any]], str] = lambda ours, theirs: "other quantity"
    galaxies: bool = False


TRIANGLES = "bispectrum, all triangles of 3 families"
INCREMENTS = "S_1 to S_6, 7 or 8 lags, 8 directions"
FUNCTIONALS = "3 Minkowski functionals, 9 thresholds"
COUNTS = "peaks and voids by height"
WAVELETS = "scattering, first and second order, L = 4"
PAIRS = (
    Pair(
        "spectrum",
        "power spectrum, 8 bins, no window",
        plain_spectrum,
        "powerbox",
        "the same",
        powerbox_spectrum,
        lambda a, b: percent(a[: len(b)], b),
    ),
    Pair(
        "spectrum",
        "coherence of two maps, no window",
        plain_coherence,
        "powerbox",
        "the same, from three spectra",
        powerbox_coherence,
        lambda a, b: percent(a[: len(b)], b),
    ),
    Pair(
        "spectrum",
        "power spectrum and slope, Hann",
        lambda x: slope(power_spectrum(x)),
        "turbustat",
        "the same, its own bins",
        turbustat_slope,
        by_slope,
    ),
    Pair(
        "increments",
        INCREMENTS,
        structure_functions,
        "gstools",
        "S_2, pairs of at most 4096 pixels",
        gstools_variogram,
        second_order,
    ),
    Pair("increments", INCREMENTS, structure_functions, "fluidsf", "S_2 along both axes, all lags", fluidsf_axes, second_order),
    Pair("bispectrum", TRIANGLES, bispectrum, "turbustat", "100 random triangles a pair of k", turbustat_bispectrum),
    Pair("minkowski", FUNCTIONALS, minkowski, "scikit-image", "the same, in a loop", skimage_functionals, three_functionals),
    Pair("minkowski", FUNCTIONALS, minkowski, "quantimpy", "the same, in a loop", quantimpy_functionals, three_functionals),
    Pair("minkowski", FUNCTIONALS, minkowski, "pynkowski", "the same, from derivatives", pynkowski_functionals, two_functionals),
    Pair("peaks", COUNTS, counted_peaks, "scikit-image", "the same", skimage_peaks, lambda a, b: percent(a[: len(b)], b)),
    Pair("peaks", COUNTS, counted_peaks, "pynkowski", "extrema among 4 neighbours", pynkowski_peaks),
    Pair(
        "scattering",
        WAVELETS,
        scattering,
        "kymatio",
        "the same (numpy)",
        lambda: kymatio_scattering("numpy"),
        scattering_scatter,
    ),
    Pair(
        "scattering",
        WAVELETS,
        scattering,
        "kymatio",
        "the same (torch, float32)",
        lambda: kymatio_scattering("torch"),
        scattering_scatter,
    ),
    Pair("scattering", WAVELETS, scattering, "foscat", "scattering covariance", foscat_covariance),
    Pair("scattering", WAVELETS, scattering, "pywph", "wavelet phase harmonics", pywph_statistics),
    Pair(
        "morphology",
        "C, A, Gini, M20",
        morphology,
        "statmorph",
        "the same only",
        lambda: statmorph_shapes(four=True),
        four_shapes,
        galaxies=True,
    ),
    Pair(
        "morphology",
        "C, A, Gini, M20",
        morphology,
        "statmorph",
        "all that it computes",
        lambda: statmorph_shapes(four=False),
        four_shapes,
        galaxies=True,
    ),
)
ALONE: dict[str, Work] = {
    "quantiles": quantiles,
    "moments": moments,
    "gradient quantiles": gradient_quantiles,
    "all that a validation compares": features,
}
STREAMED: dict[str, Work] = {
    "quantiles": quantiles,
    "moments": moments,
    "power spectrum": power_spectrum,
    "structure functions": structure_functions,
    "gradient quantiles": gradient_quantiles,
    "bispectrum": bispectrum,
    "Minkowski functionals": minkowski,
    "peaks": lambda x: peaks(x, smoothing=1.0),
    "scattering": scattering,
    "morphology": morphology,
}


def stand_ins() -> None:
    """Names that the packages expect and that numpy and scipy have dropped."""
    for name, now in {"NaN": np.nan, "float": float, "product": np.prod, "in1d": np.isin, "trapz": np.trapezoid}.items():
        if name not in vars(np):
            setattr(np, name, now)
    if not hasattr(scipy.special, "sph_harm"):
        scipy.special.sph_harm = None


def quietly(work: Callable[..., Any], *args: Any) -> Any:
    """Without what packages print and warn."""
    with redirect_stdout(StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return work(*args)


def short(value: float) -> str:
    """Three digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def timed(work: Work, maps: Maps) -> tuple[float, Any]:
    """Processor seconds a map, and the result."""
    start = time.process_time()
    result = quietly(work, maps)
    return (time.process_time() - start) / len(maps), result


def one_by_one(work: Work) -> Work:
    return lambda maps: [work(m) for m in maps]


def compare(pair: Pair, maps: Maps, repetitions: int) -> list[str]:
    """A row of the table."""
    theirs = one_by_one(quietly(pair.rival))
    timed(theirs, maps[:1])
    few = maps[: max(1, min(len(maps), int(SECONDS / timed(theirs, maps[:1])[0])))]
    timed(pair.work, maps)
    times = []
    for _ in range(repetitions):
        (a, ours), (b, other) = timed(pair.work, maps), timed(theirs, few)
        times.append((a, b))
    a, b = np.array(times).T
    ratio = b / a
    return [
        pair.ours,
        f"{pair.package}: {pair.theirs}",
        short(1e3 * np.median(a)),
        short(1e3 * np.median(b)),
        f"{short(np.median(ratio))} ({short(ratio.min())} - {short(ratio.max())})",
        pair.difference(ours, other),
    ]


def side_by_side(size: int, n_maps: int, args: argparse.Namespace) -> None:
    """Print the table of one size."""
    maps, discs = np.exp(0.5 * gaussian_field(n_maps, size, -3.0, 1)), galaxies(n_maps, size)
    rows, missing = [], []
    for pair in PAIRS:
        if args.only in (None, pair.topic):
            try:
                rows.append(compare(pair, discs if pair.galaxies else maps, args.repetitions))
            # Whatever keeps a package from running, the others are still compared.
            except Exception as error:
                missing.append(f"{pair.package} ({pair.topic}): {type(error).__name__}: {str(error).splitlines()[0][:100]}")
    head = ["ours", "package", "ours ms/map", "theirs ms/map", "ratio (range)", "difference"]
    print(f"\n{n_maps} maps of {size} x {size}, {args.repetitions} repetitions\n\n{table(head, rows)}")
    for line in missing:
        print(f"left out: {line}")
    if args.only is None:
        times = {name: [1e3 * timed(work, maps)[0] for _ in range(args.repetitions + 1)][1:] for name, work in ALONE.items()}
        alone = [[name, short(np.median(ms))] for name, ms in times.items()]
        print(f"\n{table(['without a counterpart', 'ms/map'], alone)}", flush=True)


def peak_memory() -> float:
    """Largest resident memory of this process, in MB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def measure_memory(name: str, n: int) -> None:
    """Print what a statistic of n maps adds to the memory of this process, and its time."""
    work, one = STREAMED[name], (galaxies if name == "morphology" else gaussian_field)(1, 256)
    quietly(work, one)
    before, start = peak_memory(), time.perf_counter()
    # One map in all places: the stack itself takes no memory.
    quietly(work, np.broadcast_to(one, (n, 256, 256)))
    print(f"{peak_memory() - before:.0f} {time.perf_counter() - start:.2f}")


def memory(n: int) -> None:
    """Print the table of peak memory; every measurement has a process of its own."""
    rows = []
    for name in STREAMED:
        row = [name]
        for count in (max(1, n // 10), n):
            command = [sys.executable, __file__, "--memory", str(count), "--of", name]
            row += subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        rows.append(row)
    head = [part for count in (max(1, n // 10), n) for part in (f"{count} maps: MB", "s")]
    print(f"\npeak memory above that of the program and one map, 256 x 256\n\n{table(['statistic', *head], rows)}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--pixels", type=int, default=1 << 19, help="of all maps of a size together, in each repetition")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", choices=sorted({pair.topic for pair in PAIRS}))
    parser.add_argument("--memory", type=int, metavar="N", help="measure memory for N maps instead")
    parser.add_argument("--of", choices=list(STREAMED), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.set_num_threads(1)
    stand_ins()
    if args.of:
        measure_memory(args.of, args.memory)
        return
    print(machine(torch.device("cpu")), "" if os.environ.get("OMP_NUM_THREADS") == "1" else "(OMP_NUM_THREADS is not 1)")
    if args.memory:
        memory(args.memory)
        return
    for size in args.sizes:
        side_by_side(size, max(4, args.pixels // size**2), args)


if __name__ == "__main__":
    main()
