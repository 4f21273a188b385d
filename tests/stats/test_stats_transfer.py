"""The transfer function: a planted filter is undone, chance is not corrected."""

import numpy as np
import pytest
from scipy.fft import dctn, idctn

from astro_ood.errors import InputError
from astro_ood.stats.transfer import MOST, Transfer, bands, fit_transfer, wavenumbers


def fields(n: int, seed: int, channels: int = 1) -> np.ndarray:
    """Maps whose power falls as k^-2, their amplitudes differing."""
    rng = np.random.default_rng(seed)
    amplitude = 1 / (0.03 + wavenumbers(32, 32)) * np.exp(0.3 * rng.standard_normal((n, channels, 1, 1)))
    return 0.3 + idctn(amplitude * rng.standard_normal((n, channels, 32, 32)), axes=(-2, -1), norm="ortho") / 10


def filtered(x: np.ndarray, gain: np.ndarray) -> np.ndarray:
    return idctn(dctn(x, axes=(-2, -1), norm="ortho") * gain, axes=(-2, -1), norm="ortho")


def blur(k: np.ndarray) -> np.ndarray:
    """A Gaussian beam."""
    return np.exp(-((1.5 * k) ** 2))


BLUR = blur(wavenumbers(32, 32))


def test_a_planted_blur_is_undone():
    x = fields(12, 0)
    undone = fit_transfer(x, filtered(x, BLUR), paired=True)
    assert np.abs(undone.gain[0] * blur(undone.k) - 1).max() < 0.04
    fresh = fields(6, 1)
    blurred = filtered(fresh, BLUR)
    left = np.abs(undone(blurred) - fresh).mean()
    assert left < 0.15 * np.abs(blurred - fresh).mean()
    np.testing.assert_allclose(undone(blurred).mean(axis=(2, 3)), fresh.mean(axis=(2, 3)), atol=1e-12)


def test_other_maps_undo_it_too():
    undone = fit_transfer(fields(200, 2), filtered(fields(200, 3), BLUR))
    small = undone.k > 0.2
    assert (np.abs(undone.gain[0] * blur(undone.k) - 1)[small] < 0.1).all()


def test_chance_is_not_corrected():
    """Two sets of one law: no gain is off by more than chance, and most are 1."""
    gains = np.array([fit_transfer(fields(12, seed), fields(12, 100 + seed)).gain[0] for seed in range(40)])
    assert np.median(np.abs(np.log(gains))) < 0.01
    assert np.quantile(np.abs(np.log(gains)), 0.99) < 0.6
    x = fields(4, 0)
    np.testing.assert_array_equal(fit_transfer(x, x, paired=True).gain, 1)


def test_channels_have_gains_of_their_own_and_none_is_large():
    x = fields(8, 0, 2)
    y = x * np.array([1e3, 1.0])[:, None, None]
    gain = fit_transfer(x, y, paired=True).gain
    assert gain[0] == pytest.approx(1 / MOST)
    assert gain[1] == pytest.approx(1, abs=1e-9)


def test_it_is_taken_back_and_stored():
    x = fields(5, 0)
    found = fit_transfer(x, filtered(x, BLUR), paired=True)
    again = Transfer.from_dict(found.to_dict())
    np.testing.assert_array_equal(again(x), found(x))
    np.testing.assert_allclose(found.inverse()(found(x)), x, atol=1e-12)


def test_every_coefficient_has_a_band():
    band, k = bands(32, 48)
    assert band[0, 0] == -1
    assert sorted(set(band.ravel())) == list(range(-1, len(k)))
    assert (np.diff(k) > 0).all()
    assert np.bincount(band.ravel() + 1)[1:].min() >= 4


@pytest.mark.parametrize(
    ("real", "decoded", "code"),
    [
        (fields(1, 0), fields(4, 0), "IN40"),
        (fields(4, 0), fields(4, 0, 2), "IN32"),
        (fields(4, 0)[0], fields(4, 0), "IN16"),
        (np.full((3, 1, 8, 8), np.nan), fields(4, 0), "IN17"),
    ],
)
def test_refusals(real, decoded, code):
    with pytest.raises(InputError, match=code):
        fit_transfer(real, decoded)
    with pytest.raises(InputError, match="IN32"):
        fit_transfer(fields(4, 0), fields(4, 0))(fields(2, 0, 2))
