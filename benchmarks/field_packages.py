"""The packages of the field behind one face, and how their results differ from ours.

A function named after a package imports it and returns what computes one map.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label

from astro_ood.stats.increments import structure_functions
from astro_ood.stats.minkowski import THRESHOLDS
from astro_ood.stats.peaks import peaks
from astro_ood.stats.spectrum import cross_spectrum, power_spectrum

Maps = NDArray[np.float64]
Work = Callable[[Maps], Any]
LEVELS = np.array(THRESHOLDS)
BINS = np.r_[-np.inf, LEVELS, np.inf]
NOISE = 0.002


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
