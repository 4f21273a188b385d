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
import functools
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
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label

from astro_ood.maps.synthetic import gaussian_field
from astro_ood.stats.bispectrum import bispectrum
from astro_ood.stats.features import features
from astro_ood.stats.increments import gradient_quantiles, structure_functions
from astro_ood.stats.minkowski import THRESHOLDS, minkowski
from astro_ood.stats.morphology import morphology
from astro_ood.stats.onepoint import moments, quantiles
from astro_ood.stats.peaks import peaks
from astro_ood.stats.scattering import scattering
from astro_ood.stats.spectrum import cross_spectrum, power_spectrum, slope

Maps = NDArray[np.float64]
Work = Callable[[Maps], Any]
LEVELS = np.array(THRESHOLDS)
BINS = np.r_[-np.inf, LEVELS, np.inf]
# A package gets as many maps in each repetition as it computes in this many seconds.
SECONDS = 1.5
NOISE = 0.002


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


def percent(a: Any, b: Any) -> str:
    """Root mean square of a - b over that of b."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    share = 100 * float(np.sqrt(np.mean((a - b) ** 2) / np.mean(b**2)))
    return "rounding" if share < 1e-8 else f"{share:.2g} %"


# ---- spectra


def plain_spectrum(x: Maps) -> Maps:
    return power_spectrum(x, window=None).power


def plain_coherence(x: Maps) -> Maps:
    return cross_spectrum(x, np.roll(x, 7, axis=-1), window=None).coherence


def powerbox_power(m: Maps, other: Maps | None = None) -> Maps:
    from powerbox import get_power

    return get_power(m, float(len(m)), deltax2=other, bins=radian_edges(len(m)), remove_shotnoise=False).power


@functools.cache
def radian_edges(size: int) -> Maps:
    """Edges of the bins of our spectra, as an angular frequency."""
    found = power_spectrum(np.zeros((size, size)))
    return 2 * np.pi * np.append(found.edges[:, 0], found.edges[-1, 1])


def powerbox_spectrum() -> Work:
    import powerbox  # noqa: F401

    return powerbox_power


def powerbox_coherence() -> Work:
    import powerbox  # noqa: F401

    def work(m: Maps) -> Maps:
        other = np.roll(m, 7, axis=-1)
        return powerbox_power(m, other) / np.sqrt(powerbox_power(m) * powerbox_power(other))

    return work


def turbustat_header() -> Any:
    from astropy.io import fits

    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg", "CRPIX1": 1, "CRPIX2": 1})
    header.update({"CDELT1": -1 / 60, "CDELT2": 1 / 60, "CRVAL1": 0.0, "CRVAL2": 0.0, "BMAJ": 1 / 60})
    return header


def turbustat_slope() -> Work:
    from turbustat.statistics import PowerSpectrum

    header = turbustat_header()

    def work(m: Maps) -> float:
        spectrum = PowerSpectrum((m, header))
        spectrum.run(apodize_kernel="hanning", fit_2D=False, verbose=False)
        return spectrum.slope

    return work


def turbustat_bispectrum() -> Work:
    from astropy.io import fits
    from turbustat.statistics import BiSpectrum

    return lambda m: BiSpectrum(fits.PrimaryHDU(m)).compute_bispectrum(nsamples=100)


def by_slope(ours: Any, theirs: list[Any]) -> str:
    return f"slopes {np.mean(ours.slope):.2f} and {np.mean(theirs):.2f}"


# ---- increments


def lags(size: int) -> Maps:
    return structure_functions(np.arange(size * size, dtype=float).reshape(size, size)).lag


def gstools_variogram() -> Work:
    from gstools import vario_estimate

    width = 0.25

    def work(m: Maps) -> Any:
        edges = np.concatenate([[lag - width, lag + width] for lag in lags(len(m))])
        at = np.mgrid[: len(m), : len(m)].reshape(2, -1).astype(float)
        found = vario_estimate(at, m.ravel(), edges, sampling_size=min(m.size, 4096), sampling_seed=1)
        return 2 * found[1][::2]

    return work


def fluidsf_axes() -> Work:
    import fluidsf

    def work(m: Maps) -> Any:
        at = np.arange(len(m), dtype=float)
        found = fluidsf.generate_structure_functions_2d(m, m, at, at, sf_type=["SS"], scalar=m, boundary=None)
        both = (np.asarray(found["SF_SS_x"]) + np.asarray(found["SF_SS_y"])) / 2
        return np.interp(lags(len(m)), np.arange(len(both)), both)

    return work


def second_order(ours: Any, theirs: list[Any]) -> str:
    return "S2: " + percent(ours.values[: len(theirs), :, 1], theirs)


# ---- shapes of excursion sets


def standard(m: Maps) -> Maps:
    return (m - m.mean()) / m.std()


def skimage_functionals() -> Work:
    from skimage.measure import euler_number, perimeter_crofton

    def work(m: Maps) -> Any:
        z = standard(m)
        sets = [z >= level for level in LEVELS]
        return np.array([[b.mean(), perimeter_crofton(b, 4) / b.size, euler_number(b, 2) / b.size] for b in sets])

    return work


def quantimpy_functionals() -> Work:
    from quantimpy.minkowski import functionals

    def work(m: Maps) -> Any:
        z = standard(m)
        # Counted on the blocks of 2 x 2 pixels.
        blocks = (m.shape[0] - 1) * (m.shape[1] - 1)
        return np.array([functionals(z >= level) for level in LEVELS]) * [1, 2 * np.pi, np.pi] / blocks

    return work


def pynkowski_functionals() -> Work:
    from pynkowski import V0, V1, V2, DataArray

    def work(m: Maps) -> Any:
        field = DataArray(m - m.mean())
        found = [np.ravel(v(field, LEVELS, verbose=False)) for v in (V0, V1, V2)]
        return np.stack([found[0], 4 * found[1], found[2]], axis=1)

    return work


def three_functionals(ours: Any, theirs: list[Any]) -> str:
    parts = zip(("area", "length", "Euler"), (ours.area, ours.length, ours.euler), np.moveaxis(theirs, 2, 0), strict=True)
    return ", ".join(f"{name} {percent(part[: len(theirs)], other)}" for name, part, other in parts)


def two_functionals(ours: Any, theirs: list[Any]) -> str:
    """Area and length: Euler characteristics from second derivatives are those of another field on rough maps."""
    return three_functionals(ours, theirs).split(", Euler")[0]


def skimage_peaks() -> Work:
    from skimage.feature import peak_local_max

    def work(m: Maps) -> Any:
        z = standard(m)
        found = [peak_local_max(s * z, min_distance=1, exclude_border=1, threshold_abs=-np.inf) for s in (1, -1)]
        return [np.histogram(z[tuple(at.T)], BINS)[0] for at in found]

    return work


def pynkowski_peaks() -> Work:
    from pynkowski import DataArray, maxima, minima

    def work(m: Maps) -> Any:
        field = DataArray(m - m.mean())
        return [extrema(field, LEVELS, verbose=False)[1] for extrema in (maxima, minima)]

    return work


def counted_peaks(x: Maps) -> Any:
    found = peaks(x)
    side = (x.shape[1] - 2) * (x.shape[2] - 2)
    return np.rint(np.stack([found.peak_histogram, found.void_histogram], axis=1) * side)


# ---- scattering


def kymatio_scattering(frontend: str) -> Work:
    import importlib

    scattering_2d = importlib.import_module(f"kymatio.{frontend}").Scattering2D
    made = functools.cache(lambda size: scattering_2d(J=int(np.log2(size)) - 1, shape=(size, size), L=4, max_order=2))

    def work(m: Maps) -> Any:
        m = m - m.mean()
        found = made(len(m))(torch.from_numpy(m).float() if frontend == "torch" else m)
        return np.asarray(found).mean(axis=(-2, -1))

    return work


def reduced(coefficients: Maps, n_scales: int, n_angles: int = 4) -> Maps:
    """ln of the first order, and of the second over the first, averaged over angles; kymatio lists the wavelets scale by scale."""
    first = coefficients[1 : 1 + n_scales * n_angles].reshape(n_scales, n_angles).mean(axis=1)
    rest, second = iter(coefficients[1 + n_scales * n_angles :]), np.zeros((n_scales, n_scales))
    for j1 in range(n_scales):
        for _ in range(n_angles):
            for j2 in range(j1 + 1, n_scales):
                second[j1, j2] += sum(next(rest) for _ in range(n_angles)) / n_angles**2
    upper = np.triu_indices(n_scales, 1)
    return np.concatenate([np.log(first), np.log(second[upper] / first[upper[0]])])


def scattering_scatter(ours: Any, theirs: list[Any]) -> str:
    """Constant factors, in which conventions differ, do not count."""
    if len(theirs) < 3:
        return "too few maps"
    n = ours.s1.shape[1]
    gap = np.concatenate([ours.ln_s1, ours.s21], axis=1)[: len(theirs)] - np.stack([reduced(c, n) for c in theirs])
    spread = 100 * gap.std(axis=0)
    return f"S1 {np.median(spread[:n]):.2g} %, S2/S1 {np.median(spread[n:]):.2g} %"


def foscat_covariance() -> Work:
    from foscat.scat_cov import funct

    transform = funct(NORIENT=4, KERNELSZ=5, all_type="float64", silent=True, use_2D=True)
    return lambda m: transform.eval(m)


def pywph_statistics() -> Work:
    import pywph

    made = functools.cache(lambda size: pywph.WPHOp(size, size, int(np.log2(size)) - 1, L=4, device="cpu"))
    return lambda m: made(len(m)).apply(m)


# ---- galaxies


def galaxies(n: int, size: int) -> Maps:
    """Inclined exponential discs with clumps and noise."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    length, result = size / 20, []
    for _ in range(n):
        angle, ratio = rng.uniform(0, np.pi), rng.uniform(0.4, 1)
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        light = np.exp(-np.hypot(u, v / ratio) / length)
        for dy, dx in rng.normal(scale=1.5 * length, size=(4, 2)):
            light += 0.2 * np.exp(-((y - dy) ** 2 + (x - dx) ** 2) / (0.6 * length) ** 2)
        result.append(light + NOISE * rng.standard_normal((size, size)))
    return np.stack(result)


def statmorph_shapes(*, four: bool) -> Work:
    from statmorph import SourceMorphology

    class Four(SourceMorphology):
        """Without the quantities that are not compared."""

        def _calculate_morphology(self) -> None:
            for name in ("concentration", "asymmetry", "gini", "m20"):
                getattr(self, name)

    def work(m: Maps) -> Any:
        smooth = gaussian_filter(m, 1.0)
        regions, _ = label(smooth > max(0.02 * smooth.max(), 2 * NOISE))
        segments = (regions == regions[np.unravel_index(np.argmax(smooth), m.shape)]).astype(int)
        found = (Four if four else SourceMorphology)(m, segments, 1, gain=1000.0)
        return [found.concentration, found.asymmetry, found.gini, found.m20]

    return work


def four_shapes(ours: Any, theirs: list[Any]) -> str:
    gap = np.median(np.abs(ours.values[: len(theirs)] - np.asarray(theirs)), axis=0)
    return "median: " + ", ".join(f"{name} {value:.1g}" for name, value in zip(("C", "A", "Gini", "M20"), gap, strict=True))


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
