r"""Non-parametric shape of galaxies, one object a map: concentration, asymmetry, Gini and M20.

Lengths are on the sky (pixels need not be square), apertures are circles whose overlap with every pixel is exact. Sources:
Conselice 2003 (astro-ph/0303065) for C and A, Lotz, Primack & Madau 2004 (astro-ph/0311352) for the Gini coefficient and M20;
conventions as in `statmorph` (Rodriguez-Gomez et al. 2019, arXiv 1809.08239) unless said otherwise.

**Sky.** The median of a frame along the border of the map, a sixteenth of its sides wide, is subtracted, unless the sky is given.

**Object.** Where the map, smoothed by one pixel, exceeds 2 % of its largest value and twice its noise, the region that holds that
value. Further objects are for the mask. The *Petrosian radius* r_p is where the surface brightness on a circle falls to 0.2 of its
mean inside.

**A**: the sum of \|I - I_180\| over that of \|I\| within 1.5 r_p of the centre of rotation for which it is least, less what the noise
contributes, which is the same sum over the frame, per pixel. I_180 is interpolated bilinearly; the centre is found to 1/1024 pixel
by a pattern search from the centroid of the object. r_p is that about the centre found (`statmorph`: about the centroid).

**C** = 5 log10(r_80 / r_20), the radii about that centre that hold 80 % and 20 % of the flux within 1.5 r_p.

**Gini and M20** on their own segmentation: the map smoothed by a Gaussian of r_p / 5 is cut at its mean on the ellipse of
semi-major axis r_p (axis ratio and angle from the second moments of the object; r_p along that ellipse), and the part connected
with the object is kept. Gini is the mean difference of \|I\| between pairs of its pixels over twice the mean; M20 is log10 of the
share in the second moment about the centroid of the brightest pixels that hold 20 % of the flux, the last of them (or several equal
ones) in part.

**Missing pixels** are left out of all sums, with their twins under the rotation; for r_p about the final centre and for C, which
need all the light, they take the value of their twin where that was observed.

A map without an object (constant, or nothing above the noise) gives 0 for all four; a Petrosian radius that the map does not reach
is replaced by the largest circle about the centre that fits into it. Neither counts as `measured`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter, label
from scipy.optimize import brentq

from astro_ood.errors import ConfigError
from astro_ood.stats._apertures import Cutout, Growth
from astro_ood.stats._arrays import BoolArray, FloatArray, in_chunks
from astro_ood.stats._rotation import Turn
from astro_ood.stats.spectrum import PixelScale, pixel_steps

MORPHOLOGY: tuple[str, ...] = ("concentration", "asymmetry", "gini", "m20")
PETROSIAN_RATIO = 0.2
_EXTENT = 1.5
_FRAME = 16
_FAINTEST = 0.02
_SMOOTHING = 0.2
_EIGHT = np.ones((3, 3), np.int64)
# Standard deviation of a Gaussian in units of the median absolute deviation.
_MAD = 1.4826


@dataclass(frozen=True)
class Morphology:
    """Shapes of the objects of a stack of maps, arrays of shape (N,) unless said otherwise.

    Attributes
    ----------
    concentration, asymmetry, gini, m20 : ndarray
    petrosian, r20, r80 : ndarray
        Radii, in `length_unit`.
    centre : ndarray, shape (N, 2)
        Centre of rotation, (y, x) in pixels from the centre of the first pixel.
    sky : ndarray
        Level that was subtracted.
    measured : ndarray of bool
        The object and its Petrosian radius were found.
    length_unit : str
        ``"arcmin"`` or ``"pixel"``.
    """

    concentration: FloatArray
    asymmetry: FloatArray
    gini: FloatArray
    m20: FloatArray
    petrosian: FloatArray
    r20: FloatArray
    r80: FloatArray
    centre: FloatArray
    sky: FloatArray
    measured: BoolArray
    length_unit: str

    @property
    def values(self) -> FloatArray:
        """The four of `MORPHOLOGY`, (N, 4)."""
        return np.stack([self.concentration, self.asymmetry, self.gini, self.m20], axis=1)


class _Sky(NamedTuple):
    """Level and noise per pixel, and mean |difference| of pixels opposite each other."""

    level: float
    noise: float
    asymmetry: float


def morphology(
    x: ArrayLike, pixel_scale: PixelScale = None, *, mask: ArrayLike | None = None, sky: float | None = None
) -> Morphology:
    """Concentration, asymmetry, Gini and M20 of the object of each map.

    Parameters
    ----------
    x : array_like, shape (N, H, W)
        Linear in flux.
    pixel_scale : float, (float, float) or None
        Pixel size, or (dy, dx), in arcmin.
    mask : array_like of bool, shape (N, H, W) or (H, W), optional
        True where a pixel is missing, or belongs to another object.
    sky : float, optional
        Level of the sky, in the unit of the maps; by default that of the border of each.

    Returns
    -------
    Morphology
    """
    steps = pixel_steps(pixel_scale)
    if sky is not None and not np.isfinite(sky):
        raise ConfigError("CF44", "sky", f"found {sky}, expected a number", "leave it out to take that of the border")

    def compute(maps: FloatArray, observed: BoolArray | None) -> tuple[FloatArray]:
        seen = np.broadcast_to(np.True_ if observed is None else observed, maps.shape)
        return (np.array([_measure(one, s, steps, sky) for one, s in zip(maps, seen, strict=True)], np.float64),)

    (table,) = in_chunks(compute, x, mask=mask)
    c, a, gini, m20, petrosian, r20, r80, cy, cx, level, measured = table.T
    unit = "pixel" if pixel_scale is None else "arcmin"
    return Morphology(c, a, gini, m20, petrosian, r20, r80, np.stack([cy, cx], axis=1), level, measured > 0, unit)


def gini_coefficient(values: ArrayLike) -> float:
    """Gini coefficient of |values| (M,), with the small-sample factor M / (M - 1); 0 for fewer than two, or zeros."""
    ranked = np.sort(np.abs(np.asarray(values, np.float64)))
    n, total = len(ranked), float(ranked.sum())
    return float((2 * np.arange(1, n + 1) - n - 1) @ ranked / ((n - 1) * total)) if n > 1 and total > 0 else 0.0


def second_moment_share(flux: FloatArray, y: FloatArray, x: FloatArray, fraction: float = 0.2) -> float:
    """log10 of the share in the second moment of the brightest pixels (M,) that hold `fraction` of the flux; 0 without a moment."""
    total = float(flux.sum())
    if total <= 0:
        return 0.0
    moment = flux * ((y - flux @ y / total) ** 2 + (x - flux @ x / total) ** 2)
    bright, group = np.unique(-flux, return_inverse=True)
    held = np.concatenate([[0.0], np.cumsum(-bright * np.bincount(group))])
    gathered = np.concatenate([[0.0], np.cumsum(np.bincount(group, moment))])
    # Noise below the sky lets the flux fall again at the faint end, which is never reached.
    rising = slice(int(np.argmax(held)) + 1)
    share = float(np.interp(fraction * total, held[rising], gathered[rising]))
    return float(np.log10(share / gathered[-1])) if share > 0 and gathered[-1] > 0 else 0.0


def _measure(image: FloatArray, seen: BoolArray, steps: tuple[float, float], level: float | None) -> tuple[float, ...]:
    """C, A, Gini, M20, r_p, r_20, r_80, centre y and x, sky, measured."""
    sky = _frame(image, seen, level)
    cut = Cutout(np.where(seen, image - sky.level, 0.0), seen, steps)
    found = _object(cut, sky)
    if found is None:
        middle = ((n - 1) / 2 for n in image.shape)
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, *middle, sky.level, 0.0
    start = _centroid(cut.flux, found)
    turn = Turn(cut)
    centre = turn.best(start, _EXTENT * _ring_petrosian(np.hypot(*cut.offsets(start)), cut), sky.asymmetry)
    whole = turn.filled(centre)
    growth = Growth(whole, centre)
    petrosian, reached = _petrosian(whole, centre, growth)
    a = turn.asymmetry(centre, _EXTENT * petrosian, sky.asymmetry)
    r20, r80 = growth.radii(_EXTENT * petrosian, (0.2, 0.8))
    c = 5 * np.log10(r80 / r20) if r20 > 0 else 0.0
    segment = _segment(cut, found, centre) & seen
    light, (y, x) = cut.flux[segment], (np.broadcast_to(o, image.shape)[segment] for o in cut.offsets(centre))
    m20 = second_moment_share(light, y, x)
    return float(c), a, gini_coefficient(light), m20, petrosian, r20, r80, *centre, sky.level, float(reached and r20 > 0)


def _frame(image: FloatArray, seen: BoolArray, level: float | None) -> _Sky:
    """Sky of the observed pixels along the border; of all where the border is missing."""
    depth = [max(1, round(n / _FRAME)) for n in image.shape]
    border = np.ones(image.shape, np.bool_)
    border[depth[0] : -depth[0], depth[1] : -depth[1]] = False
    if not (border & seen).any():
        border[:] = True
    values = image[border & seen]
    median = float(np.median(values))
    noise = _MAD * float(np.median(np.abs(values - median)))
    pairs = border & seen & seen[::-1, ::-1]
    difference = np.abs(image - image[::-1, ::-1])[pairs]
    return _Sky(median if level is None else level, noise, float(difference.mean()) if len(difference) else 0.0)


def _object(cut: Cutout, sky: _Sky) -> BoolArray | None:
    """The region of the brightest pixel of the map smoothed by one pixel, or None."""
    smooth = _smooth(cut, (1.0, 1.0))
    peak = np.unravel_index(np.argmax(smooth), smooth.shape)
    # White noise after a Gaussian of one pixel keeps 1 / (2 sqrt pi) of its standard deviation. Rounding is no object.
    rounding = 64 * np.finfo(np.float64).eps * (abs(sky.level) + float(np.abs(cut.flux).max()))
    threshold = max(_FAINTEST * float(smooth[peak]), 2 * sky.noise / (2 * np.sqrt(np.pi)), rounding)
    if smooth[peak] <= max(threshold, 5 * sky.noise / (2 * np.sqrt(np.pi))):
        return None
    regions, _ = label(smooth >= threshold, structure=_EIGHT)
    found = np.asarray(regions == regions[peak])
    return found if (cut.flux[found] > 0).any() else None


def _centroid(flux: FloatArray, region: BoolArray) -> tuple[float, float]:
    rows, columns = np.nonzero(region)
    light = np.maximum(flux[rows, columns], 0.0)
    total = float(light.sum())
    return float(light @ rows) / total, float(light @ columns) / total


def _petrosian(cut: Cutout, centre: tuple[float, float], growth: Growth) -> tuple[float, bool]:
    """Petrosian radius, and whether the map reaches it."""
    step, largest = min(cut.steps), cut.reach(centre)
    sums = cache(lambda i: growth.sums(i * step / 2))

    def excess(radius: float) -> float:
        return _excess(*(growth.sums(r) for r in (radius - step / 2, radius, radius + step / 2)))

    def inside(i: int) -> bool:
        return _excess(sums(i - 1), sums(i), sums(i + 1)) > 0

    # Rings of whole pixels say where to look; exact ones decide.
    i, last = int(2 * _ring_petrosian(np.hypot(*cut.offsets(centre)), cut) / step), int(2 * largest / step)
    i = min(max(i, 2), last)
    while i > 2 and not inside(i):
        i -= 1
    while i < last and inside(i):
        i += 1
    if i <= 2 or inside(i):
        return (largest, False) if i > 2 or inside(i) else (step, True)
    return float(brentq(excess, (i - 1) * step / 2, i * step / 2, xtol=1e-4 * step)), True


def _excess(inner: FloatArray, middle: FloatArray, outer: FloatArray) -> float:
    """Positive inside the Petrosian radius, from the flux and the number of pixels within three radii."""
    light, area = outer - inner
    # A ring without an observed pixel says nothing: go on outwards.
    return float(light * middle[1] - PETROSIAN_RATIO * middle[0] * area) if area > 0 else 1.0


def _segment(cut: Cutout, found: BoolArray, centre: tuple[float, float]) -> BoolArray:
    """Pixels of the object that are brighter than the smoothed map at its elliptical Petrosian radius."""
    y, x = cut.offsets(centre)
    a = _semi_major(np.where(found, np.maximum(cut.flux, 0.0), 0.0), y, x, min(cut.steps))
    petrosian = _ring_petrosian(a, cut)
    smooth = _smooth(cut, (_SMOOTHING * petrosian / cut.steps[0], _SMOOTHING * petrosian / cut.steps[1]))
    ring = np.abs(a - petrosian) <= max(cut.steps)
    threshold = float(smooth[ring].mean()) if ring.any() else 0.0
    top = np.unravel_index(np.argmax(np.where(found, smooth, -np.inf)), smooth.shape)
    regions, _ = label(smooth >= min(threshold, float(smooth[top])), structure=_EIGHT)
    return np.asarray(regions == regions[top])


def _semi_major(light: FloatArray, y: FloatArray, x: FloatArray, least: float) -> FloatArray:
    """Semi-major axis, through each pixel, of the ellipses with the second moments of the light (H, W) about the origin."""
    total = float(light.sum())
    yy, xx, xy = (float(np.sum(light * p)) / total for p in (y * y, x * x, x * y))
    # A pixel has the second moment of a uniform square.
    values, vectors = np.linalg.eigh(np.array([[yy, xy], [xy, xx]]) + np.eye(2) * least**2 / 12)
    minor, major = (vectors[0, i] * y + vectors[1, i] * x for i in (0, 1))
    return np.asarray(np.sqrt(major**2 + minor**2 * (values[1] / values[0])))


def _ring_petrosian(a: FloatArray, cut: Cutout) -> float:
    """Petrosian value of the radius or semi-major axis `a` (H, W), from sums over whole pixels.

    Where the mean on the ellipse is 0.2 of that inside; the largest ellipse in the map if there is none.
    """
    step = min(cut.steps)
    largest = max(min(float(side.min()) for side in (a[0], a[-1], a[:, 0], a[:, -1])), 2 * step)
    # Sums within radii that are a quarter of a pixel apart.
    ring = (a[cut.seen] * (4 / step)).astype(np.int64)
    light, number = (np.cumsum(np.bincount(ring, w, minlength=int(4 * largest / step) + 9)) for w in (cut.flux[cut.seen], None))
    at = np.arange(8, int(4 * largest / step) + 1)
    excess = (light[at + 4] - light[at - 4]) * number[at] - PETROSIAN_RATIO * light[at] * (number[at + 4] - number[at - 4])
    below = np.flatnonzero(excess < 0)
    if not len(below):
        return largest
    i = int(below[0])
    past = float(excess[i] / (excess[i] - excess[i - 1])) if i else 0.0
    return float((at[i] + 1 - past) * step / 4)


def _smooth(cut: Cutout, sigma: tuple[float, float]) -> FloatArray:
    """Gaussian mean of the observed pixels around each."""
    light, weight = (gaussian_filter(p, sigma, mode="constant") for p in (cut.flux, cut.seen.astype(np.float64)))
    return np.asarray(np.where(weight > 1e-3, light / np.maximum(weight, 1e-3), 0.0))
