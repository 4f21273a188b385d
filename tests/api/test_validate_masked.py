"""Real maps with missing pixels, and sets that are read block by block."""

import numpy as np
import pytest

import astro_ood as ao
from astro_ood.api.run import View
from astro_ood.maps import gaussian_field
from astro_ood.stats import measured
from astro_ood.stats.stack import Stack, filled


@pytest.fixture(autouse=True)
def few_divisions(monkeypatch):
    monkeypatch.setattr("astro_ood.stats.scores.DIVISIONS", 10)


@pytest.fixture(scope="module")
def sets():
    """Real, synthetic and held-out maps (N, 16, 16), and masks with one large hole in each real map."""
    x = np.exp(0.5 * gaussian_field(44, 16, -2.5, np.random.default_rng(5)))
    rng = np.random.default_rng(6)
    gone = np.zeros((28, 16, 16), bool)
    for one in gone:
        top, left = rng.integers(1, 9, size=2)
        one[top : top + 6, left : left + 6] = True
    return {"real": x[:14], "held_out": x[14:28], "synthetic": x[28:]}, {"real": gone[:14], "held_out": gone[14:]}


def head(scores, name="synthetic"):
    return {r["statistic"]: r for r in scores.rows if r["scale"] is None and r["set"] == name}


def plain(scores):
    return [{**row, "set": ""} for row in scores.rows]


def as_maps(x, gone):
    return [ao.Map(np.where(hole, np.nan, m), "K", f"m{i}", mask=hole) for i, (m, hole) in enumerate(zip(x, gone, strict=True))]


def test_missing_pixels_of_maps_and_masks_of_arrays_are_the_same_and_hold_nothing(sets):
    x, gone = sets
    synthetic = [ao.Map(m, "K", f"s{i}") for i, m in enumerate(x["synthetic"])]
    options = {"log": True, "baselines": ("augmentation", "gaussian"), "n_permutations": 99}
    of_maps = ao.validate(as_maps(x["real"], gone["real"]), synthetic, as_maps(x["held_out"], gone["held_out"]), **options)
    junk = {name: np.where(gone[name], -7.0, x[name]) for name in gone}
    of_arrays = ao.validate(junk["real"], x["synthetic"], junk["held_out"], unit="K", masks=gone, **options)
    assert [r["value"] for r in of_maps.rows] == pytest.approx([r["value"] for r in of_arrays.rows], rel=1e-5, abs=1e-6)
    assert of_maps.curves["log"]
    assert np.isfinite(of_maps.curves["power"]["synthetic"]).all()
    found = head(of_arrays)
    assert not [s for s in found if found[s]["verdict"] == "different"]
    assert head(of_arrays, "augmentation")["novelty_nn"]["value"] < 0.5


def test_samples_are_judged_under_the_masks_of_the_real_maps(sets):
    """Pieces, peaks and power of a map with a hole are not those of a whole one: masks on one side alone would be found."""
    x, gone = sets
    one_side = {name: np.stack([filled(m[None], g[None])[0] for m, g in zip(x[name], gone[name], strict=True)]) for name in gone}
    options = {"log": False, "baselines": (), "n_permutations": 499}
    naive = head(ao.validate(one_side["real"], x["synthetic"], one_side["held_out"], **options))
    right = head(ao.validate(x["real"], x["synthetic"], x["held_out"], masks=gone, **options))
    # pieces that are smooth where they were filled
    assert naive["scattering"]["value"] > 1.5 * right["scattering"]["value"]
    assert not [s for s, row in right.items() if row["verdict"] == "different"]
    wrong = head(ao.validate(x["real"], 1.5 * x["synthetic"], x["held_out"], masks=gone, **options))
    assert wrong["moments"]["verdict"] == "different"


def test_each_mask_is_lent_equally_often(sets):
    x, gone = sets
    lender = Stack.of(x["real"], mask=gone["real"])
    lent = Stack.of(np.repeat(x["synthetic"], 3, axis=0)[:42]).dealt(lender, np.random.default_rng(0))
    shown = np.concatenate([missing for _, missing in lent.blocks()])
    counts = [np.count_nonzero((shown == one).all(axis=(1, 2))) for one in gone["real"]]
    assert counts == [3] * 14
    assert Stack.of(x["synthetic"]).dealt(Stack.of(x["real"]), np.random.default_rng(0)).missing is None


def test_filled_pixels_lie_between_their_neighbours(sets):
    x, gone = sets
    got = filled(x["real"], gone["real"])
    np.testing.assert_allclose(got[~gone["real"]], x["real"][~gone["real"]])
    assert got.max() <= x["real"].max()
    np.testing.assert_allclose(filled(np.full((1, 16, 16), 3.0), gone["real"][:1]), 3.0)


def test_masks_that_do_not_fit_are_refused(sets):
    x, gone = sets
    with pytest.raises(ao.AstroOodError, match="AOD-IN25"):
        ao.validate(x["real"], x["synthetic"], masks={"real": gone["real"][:3]})
    with pytest.raises(ao.AstroOodError, match="AOD-IN18"):
        ao.validate(x["real"], x["synthetic"], masks={"real": gone["real"] | True})
    with pytest.raises(ao.AstroOodError, match="AOD-IN17"):
        ao.validate(np.where(gone["real"], np.nan, x["real"]), x["synthetic"], log=False)


class OnDisk:
    """An array of which the size of every part that is read is remembered."""

    def __init__(self, x):
        self.x, self.shape, self.dtype, self.ndim, self.read = x, x.shape, x.dtype, x.ndim, []

    def __getitem__(self, key):
        self.read.append(len(self.x[key]))
        return self.x[key]


def test_sets_are_read_and_kept_in_blocks(sets, monkeypatch):
    da = pytest.importorskip("dask.array")
    x, _ = sets
    options = {"log": True, "baselines": (), "n_permutations": 99, "unit": "K"}
    whole = ao.validate(x["real"], x["synthetic"], x["held_out"], **options)
    kept = []
    monkeypatch.setattr("astro_ood.stats.stack._BLOCK_BYTES", 1)

    def spy(maps, *args, **rest):
        kept.append(len(maps))
        return features(maps, *args, **rest)

    features = measured.features
    monkeypatch.setattr("astro_ood.stats.measured.features", spy)
    stored = {name: OnDisk(values) for name, values in x.items()}
    lazy = {name: View(da.from_array(s, chunks=(4, 16, 16))[:, None], ("i", "c", "y", "x"), "K", {}) for name, s in stored.items()}
    monkeypatch.setattr(Stack.blocks, "__defaults__", (5 * 8 * 16 * 16,))
    monkeypatch.setattr(Stack.filled, "__defaults__", (5 * 8 * 16 * 16,))
    parts = ao.validate(lazy["real"], lazy["synthetic"], lazy["held_out"], **options)
    assert max(kept) == 5
    assert sum(kept) == 44
    assert max(n for s in stored.values() for n in s.read) <= 5
    for a, b in zip(whole.rows, parts.rows, strict=True):
        assert a["value"] == pytest.approx(b["value"], rel=1e-9)
        assert (a["p"], a["verdict"]) == (b["p"], b["verdict"])
    assert parts.curves["pdf"]["synthetic"] == whole.curves["pdf"]["synthetic"]
