"""The sets that need no network: which are made, how many maps, and what is said where they are fewer."""

import numpy as np
import pytest

import astro_ood as ao
from astro_ood.api.baselines import LARGEST, METHODS, make_baselines
from astro_ood.maps import gaussian_field
from astro_ood.stats.scattering import scattering


@pytest.fixture(scope="module")
def real():
    return 10 ** gaussian_field(6, 32, -3.0, 0)


def test_all_methods_keep_the_shape_and_synthesis_makes_few(real):
    made = make_baselines(real, 9, log=True, seed=1, most_synthesised=5)
    assert list(made) == ["augmentation", "Gaussian field", "IAAFT", "scattering synthesis"]
    assert {name: len(maps) for name, maps in made.items()} == dict.fromkeys(list(made)[:3], 9) | {"scattering synthesis": 5}
    assert all(maps.shape[1:] == (32, 32) and (maps > 0).all() for maps in made.values())
    again = make_baselines(real, 9, log=True, seed=1, most_synthesised=5)
    assert all(np.array_equal(made[name], again[name]) for name in made)


def test_synthesis_has_the_scattering_coefficients_that_surrogates_lack():
    """Threads: the ridges of Gaussian fields, whose phases carry them."""
    threads = np.exp(-((gaussian_field(6, 32, -3.0, 1) / 0.2) ** 2))
    made = make_baselines(threads, 6, log=False, seed=0, methods=("iaaft", "scattering"))
    wanted = scattering(threads).vector.mean(axis=0)
    missed = {name: np.abs(scattering(maps).vector.mean(axis=0) - wanted).max() for name, maps in made.items()}
    assert missed["scattering synthesis"] < 0.3 * missed["IAAFT"]


def test_synthesis_of_large_maps_is_made_on_request_only(monkeypatch):
    large = np.zeros((2, 1, LARGEST + 1))
    monkeypatch.setattr("astro_ood.api.baselines.iaaft", lambda *a: (large, None))
    monkeypatch.setattr("astro_ood.api.baselines.gaussian", lambda *a: large)
    monkeypatch.setattr("astro_ood.api.baselines.augment", lambda *a: (large, None))
    monkeypatch.setattr("astro_ood.api.baselines.synthesise", lambda *a, **options: (large, None))
    assert "scattering synthesis" not in make_baselines(large, 2, log=False, seed=0)
    assert len(make_baselines(large, 2, log=False, seed=0, methods=tuple(METHODS))) == 4
    assert "scattering synthesis" in make_baselines(large[:, :, :-1], 2, log=False, seed=0)


def test_methods_are_chosen_and_unknown_ones_refused(real):
    assert list(make_baselines(real, 4, log=True, seed=0, methods=("iaaft", "augmentation"))) == ["augmentation", "IAAFT"]
    assert make_baselines(real, 4, log=True, seed=0, methods=()) == {}
    with pytest.raises(ao.AstroOodError, match=r"AOD-CF44 baselines.*scattering"):
        make_baselines(real, 4, log=True, seed=0, methods=("magic",))


def test_fewer_maps_are_tested_as_fewer_and_said(real):
    synthetic = 10 ** gaussian_field(8, 32, -3.0, 2)
    scores = ao.validate(real, synthetic, n_permutations=99, baselines=("iaaft", "scattering"), most_synthesised=3)
    assert {row["set"]: row["n_synthetic"] for row in scores.rows} == {"synthetic": 8, "IAAFT": 8, "scattering synthesis": 3}
    (line,) = [s for s in scores.sentences if s.startswith("Baseline scattering synthesis")]
    assert "(3 maps, where there are 8 samples)" in line
    assert not any("maps, where" in s for s in scores.sentences if s.startswith("Baseline IAAFT"))
    assert len(scores.curves["power"]["scattering synthesis"]) == 3
