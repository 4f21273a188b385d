"""Spectra, smooth areas and geometry of latents whose truth is known."""

import numpy as np
import pytest

from astro_ood.latents.diagnostics import (
    Judgement,
    compare_with_forward,
    compute_prediction,
    compute_smooth_areas,
    compute_spectrum,
    judge_against_forward,
    judge_prediction,
    judge_smooth_areas,
    judge_spectrum,
    spectra_against_t,
)


def white(n: int, seed: int, side: int = 16, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, channels, side, side))


def test_planted_spectrum_comes_back(coloured):
    power, draw = coloured
    found = compute_spectrum(draw(400, 1))
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(16), np.fft.fftfreq(16)))
    edges = np.append((found.k[1:] + found.k[:-1]) / 2, 1.0)
    for ring in (2, 5, 8):
        inside = (k > edges[ring - 1] + 0.01) & (k < edges[ring] - 0.01)
        if inside.any():
            assert found.mean[ring] == pytest.approx(power[inside].mean(), rel=0.15)
    told = judge_spectrum(found)
    assert told.passed is False
    assert told.p == pytest.approx(1e-3)
    assert "coloured" in told.words
    rho = np.fft.ifft2(power).real
    assert found.lag_1.mean() == pytest.approx(rho[0, 1] / rho[0, 0], abs=0.1)


def test_band_and_level_of_white_latents():
    found = [compute_spectrum(white(8, i), n_boot=199, seed=i) for i in range(60)]
    assert np.sum([s.p <= 0.05 for s in found]) <= 8
    assert np.mean([np.all((s.low <= 1) & (s.high >= 1)) for s in found]) > 0.88
    assert judge_spectrum(compute_spectrum(white(600, 1))).passed is True
    assert judge_spectrum(found[0]).passed is None


def test_coherence_of_channels_is_debiased():
    z = white(30, 2, channels=2)
    z[:, 1] = 0.6 * z[:, 0] + 0.8 * z[:, 1]
    coherence = compute_spectrum(z, n_boot=9).coherence
    assert coherence == pytest.approx(0.36, abs=0.15)
    alone = np.mean([compute_spectrum(white(4, i, channels=2), n_boot=2).coherence.mean() for i in range(60)])
    assert abs(alone) < 0.01
    assert np.isnan(compute_spectrum(white(4, 0), n_boot=2).coherence).all()


def test_spectra_stand_in_the_order_of_time():
    found = spectra_against_t({700.0: white(4, 1), 300.0: 0.5 * white(4, 1)}, n_boot=9)
    assert list(found) == [300.0, 700.0]
    np.testing.assert_allclose(found[300.0].power, 0.25 * found[700.0].power)


def halves(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Maps that are steep in a part of their own, and which pixels (a tenth and more) are flat in each."""
    rng = np.random.default_rng(seed)
    flat = np.zeros((n, 1, 16, 16), dtype=bool)
    for one in flat[:, 0]:
        y, x = rng.integers(0, 11, 2)
        one[y : y + 6, x : x + 6] = True
    return np.where(flat, 0.01, 1.0) * rng.standard_normal(flat.shape), flat


def test_smooth_areas_keep_their_variance():
    maps, flat = halves(24, 0)
    found = compute_smooth_areas(np.where(flat, 0.6, 1.0) * white(24, 1), maps, n_permutations=99)
    told = judge_smooth_areas(found)
    assert told.passed is False
    assert told.value < 0.6
    assert found.deciles[0] < found.deciles[-1]
    assert found.deciles.mean() == pytest.approx(1, abs=0.05)


def test_smooth_areas_leave_independent_latents_alone(coloured):
    _, draw = coloured
    p = [compute_smooth_areas(draw(9, i), halves(9, 50 + i)[0], n_permutations=39, seed=i).p for i in range(60)]
    assert np.sum(np.array(p) <= 0.05) <= 8
    few = compute_smooth_areas(draw(5, 0), halves(5, 3)[0], n_permutations=39)
    assert judge_smooth_areas(few).passed is None
    with pytest.raises(ValueError, match="as many maps"):
        compute_smooth_areas(draw(5, 0), halves(4, 3)[0])


def test_flat_maps_are_ranked_by_chance():
    """Where all gradients are equal, no corner of the map is preferred."""
    found = compute_smooth_areas(white(12, 4), np.zeros((12, 1, 16, 16)), n_permutations=39)
    assert abs(found.log_variance.mean()) < 0.2


def test_two_numbers_predict_and_amplitudes_break_it():
    z = 0.3 + 0.8 * white(12, 1, side=64)
    found = compute_prediction(z)
    assert judge_prediction(found).passed is True
    assert found.mu_2[1] <= 0.09 * 64**2 <= found.mu_2[2]
    assert found.s[1] <= 0.8 <= found.s[2]
    told = judge_prediction(compute_prediction(z * np.linspace(0.5, 1.5, 12)[:, None, None, None]))
    assert told.passed is False
    assert told.value < -0.01
    assert judge_prediction(compute_prediction(z[:4])).passed is None


def test_lemma_holds_for_forward_diffused_maps():
    maps = 0.5 + 0.3 * white(20, 1)
    alpha = {300.0: 0.8, 700.0: 0.2}
    forward = {t: a * maps + np.sqrt(1 - a**2) * white(20, int(t)) for t, a in alpha.items()}
    again = {t: a * maps + np.sqrt(1 - a**2) * white(20, 1 + int(t)) for t, a in alpha.items()}
    same = compare_with_forward(again, forward, maps=maps, alpha=alpha)
    assert np.all((same.mu_forward[:, 1] <= same.mu_lemma) & (same.mu_lemma <= same.mu_forward[:, 2]))
    assert same.mu_forward[0, 0] == pytest.approx(same.mu_lemma[0], rel=0.05)
    assert judge_against_forward(same, 20).passed is True
    moved = compare_with_forward({t: z + 0.5 for t, z in again.items()}, forward, maps=maps, alpha=alpha)
    told = judge_against_forward(moved, 20)
    assert told.passed is False
    assert "by the lemma" in told.words
    with pytest.raises(ValueError, match="same times"):
        compare_with_forward(again, {300.0: forward[300.0]})


def test_judgement_survives_its_record():
    told = Judgement("white", None, 0.2, 0.1, float("nan"), 0.03, "words")
    record = told.to_dict()
    assert record["verdict"] == "undecided"
    back = Judgement.from_dict({**record, "high": None})
    assert back.words == told.words
    assert np.isnan(back.high)
