"""The calls of `import astro_ood`, as its documentation writes them."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

import astro_ood as ao
from astro_ood.maps import FieldBatch, Stretch, gaussian_field


def write(path, values, unit="K"):
    header = fits.Header({"BUNIT": unit, "CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN", "CUNIT1": "deg", "CUNIT2": "deg"})
    header.update({"CRPIX1": 32.5, "CRPIX2": 32.5, "CRVAL1": 10.0, "CRVAL2": 40.0, "CDELT1": -0.02, "CDELT2": 0.02})
    fits.PrimaryHDU(values.astype(np.float32), header).writeto(path)
    return path


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    """Eight maps (1, 32, 32) in kelvin, read from two files."""
    folder = tmp_path_factory.mktemp("maps")
    images = np.exp(gaussian_field(2, 64, -2.5, 3))
    return ao.read_maps([write(folder / f"{name}.fits", x) for name, x in zip("ab", images, strict=True)], patch=32)


@pytest.fixture(scope="module")
def latents(maps, model):
    return ao.invert(maps, model, n_steps=4, device="cpu")


def test_latents_and_their_errors(maps, latents):
    assert latents.z.shape == latents.reconstruction.shape == (8, 1, 32, 32)
    assert latents.z.dtype == np.float32
    assert latents.round_trip.shape == latents.latent_error.shape == (8,)
    assert latents.ids == [m.name for m in maps]
    assert latents.evaluations == 4
    assert (latents.origin.unit, latents.origin.preset, latents.origin.t_0) == ("K", "fast", 700)
    stretched = np.stack([latents.origin.stretch.forward(m.data) for m in maps])
    error = np.sqrt(np.mean((latents.reconstruction - stretched) ** 2, axis=(1, 2, 3))) / stretched.std(axis=(1, 2, 3))
    np.testing.assert_allclose(latents.round_trip, error, rtol=1e-3)


def test_maps_batches_and_arrays_are_the_same(maps, latents, model):
    batch = FieldBatch.from_maps(maps, Stretch.fit(maps, latents.origin.stretch.kind))
    for same in (batch, np.asarray(batch), np.asarray(batch, dtype=np.float64)):
        found = ao.invert(same, model, n_steps=4, estimate_error=False)
        assert np.array_equal(found.z, latents.z)
        assert np.isnan(found.latent_error).all()
    assert found.origin.unit == ""
    assert ao.decode(found[:2], model).to_maps()[0].data == pytest.approx(found.reconstruction[0], abs=1e-6)


def test_latents_that_are_no_noise_stay_and_are_not_used(latents):
    scale = latents.latent_scale.copy()
    scale[[1, 4]] = [np.nan, 3.0]
    z = latents.z.copy()
    z[1] = np.nan
    odd, rest = replace(latents, z=z, latent_scale=scale), latents[[0, 2, 3, 5, 6, 7]]
    assert np.flatnonzero(~odd.usable).tolist() == [1, 4]
    a, b = (ao.sample(some, 6, seed=1, criteria="none") for some in (odd, rest))
    assert np.array_equal(a.z, b.z)
    assert [odd.ids[i] for i in a.parents.ravel()] == [rest.ids[i] for i in b.parents.ravel()]
    drawn = [ao.sample(ao.fit_prior(some), 2, seed=1, criteria="none") for some in (odd, rest)]
    assert np.array_equal(drawn[0].z, drawn[1].z)
    assert (drawn[0].parents == -1).all()
    with pytest.raises(ao.AstroOodError, match=r"AOD-RN61.*none of 8"):
        ao.fit_prior(replace(latents, latent_scale=np.full(8, 5.0)))


def test_rows_of_latents(latents):
    one = latents[3]
    assert (len(one), one.ids, one.z.shape) == (1, [latents.ids[3]], (1, 1, 32, 32))
    part = latents[[5, 1]]
    assert part.ids == [latents.ids[5], latents.ids[1]]
    assert np.array_equal(part.z, latents.z[[5, 1]])
    mask = np.arange(8) % 2 == 0
    assert np.array_equal(latents[mask].round_trip, latents.round_trip[mask])
    assert len(latents[2:]) == 6
    assert latents[-1].ids == latents.ids[-1:]
    with pytest.raises(IndexError):
        latents[8]


def test_decoding_latents_gives_their_reconstruction(latents, model, maps):
    again = ao.decode(latents, model)
    np.testing.assert_allclose(again.x, latents.reconstruction, atol=1e-5)
    found = again.to_maps()
    assert [m.name for m in found] == latents.ids
    assert found[0].unit == "K"
    assert found[0].shape == maps[0].shape
    np.testing.assert_allclose(found[0].data, latents.origin.stretch.inverse(latents.reconstruction[0]), rtol=1e-4)


@pytest.mark.parametrize(("preset", "n_steps", "evaluations"), [("fast", 3, 3), ("paper", 12, 11), ("accurate", 5, 5)])
def test_latents_are_decoded_the_way_they_were_made(maps, model, preset, n_steps, evaluations):
    found = ao.invert(maps[:2], model, preset, n_steps=n_steps, t_0=500, estimate_error=False)
    assert found.evaluations == evaluations
    assert (found.origin.preset, found.origin.n_steps, found.origin.t_0) == (preset, n_steps, 500)
    np.testing.assert_allclose(ao.decode(found, model).x, found.reconstruction, atol=1e-5)


def test_stochastic_decoding(latents, model):
    calm, noisy, again, other = (
        ao.decode(latents[:2], model, eta=eta, seed=seed).x for eta, seed in ((0, 0), (1, 0), (1, 0), (1, 1))
    )
    assert np.array_equal(noisy, again)
    assert not np.allclose(calm, noisy, atol=0.05)
    assert not np.allclose(other, noisy, atol=0.05)


@pytest.mark.parametrize("kind", ["spectral", "isotropic", "isotropic_corrected", "diagonal", "lowrank", "wavelet"])
def test_priors(latents, kind):
    prior = ao.fit_prior(latents, kind)
    assert prior.kind == kind
    drawn = prior.sample(3, seed=2)
    assert drawn.shape == (3, 1, 32, 32)
    assert np.array_equal(drawn, prior.sample(3, seed=2))
    assert prior.log_prob(drawn).shape == (3,)
    proposals = ao.sample(prior, 3, seed=2, criteria="none")
    assert np.array_equal(proposals.z, drawn.astype(np.float32))
    assert (proposals.parents == -1).all()


@pytest.mark.parametrize(
    "proposal", [None, "lol", "slerp", "gaussian", "shell", "parent", "lerp", "norm_path", "bands", "low_high"]
)
def test_exactly_as_many_as_asked_for(latents, proposal):
    found = ao.sample(latents, 5, seed=1, proposal=proposal, criteria="none")
    assert len(found) == len(found.z) == len(found.parents) == 5
    assert found.kind == (proposal or "lol")
    assert found.accepted.sum() == found.tally["accepted"] == 5
    assert np.array_equal(found.z, ao.sample(latents, 5, seed=1, proposal=proposal, criteria="none").z)
    assert np.array_equal(found.z[:3], ao.sample(latents, 3, seed=1, proposal=proposal, criteria="none").z)


def test_a_forward_start_stands_and_is_decoded_at_its_time(latents, model):
    found = ao.sample(latents, 4, seed=3, proposal="forward", t=300, model=model, criteria="none")
    assert (found.kind, found.origin.t_0, latents.origin.t_0) == ("forward", 300, 700)
    parents = latents.reconstruction[found.parents[:, 0]]
    alpha, sigma = (float(f(300.0)) for f in (model.schedule.alpha, model.schedule.sigma))
    assert found.weights == pytest.approx(alpha)
    noise = (found.z - alpha * parents) / sigma
    assert noise.std() == pytest.approx(1, abs=0.05)
    assert abs(np.corrcoef(noise.ravel(), parents.ravel())[0, 1]) < 0.06
    # the less noise, the nearer to the parent
    near = ao.sample(latents, 4, seed=3, proposal="forward", t=30, model=model, criteria="none")
    far = [np.abs(ao.decode(x, model).x - latents.reconstruction[x.parents[:, 0]]).mean() for x in (near, found)]
    assert far[0] < far[1] < 1
    assert ao.sample(latents, 2, proposal="forward", model=model, criteria="none").origin == latents.origin
    # at the time of the latents bands hold, and tell white noise from latents
    with pytest.raises(ao.AstroOodError, match=r"RN13 .* the proposal forward cannot meet these bands, because of distance"):
        ao.sample(latents, 2, proposal="forward", model=model, budget=8)


def test_a_forward_start_needs_its_network_and_its_bands(latents, model):
    with pytest.raises(ao.AstroOodError, match=r"CF12.*give the network"):
        ao.sample(latents, 2, proposal="forward", t=300, criteria="none")
    with pytest.raises(ao.AstroOodError, match=r"CF12 proposal.t: candidates stand at 300, .* at 700"):
        ao.sample(latents, 2, proposal="forward", t=300, model=model)
    with pytest.raises(ao.AstroOodError, match=r"CF44 t_0"):
        ao.sample(latents, 2, proposal="forward", t=3000, model=model, criteria="none")


def test_calibrated_criteria_are_the_default(latents):
    found = ao.sample(latents, 4, false_reject=0.01)
    assert found.criteria["kind"] == "calibrated"
    assert found.criteria["false_reject"] == 0.01
    assert found.tally["candidates"] == len(found.accepted)
    assert [band["name"] for band in found.criteria["bands"]] == ["distance", "origin_angle", "spectrum", "whiteness"]
    chosen = ao.sample(latents, 4, criteria_names=("radius",), false_reject=0.01)
    assert [band["name"] for band in chosen.criteria["bands"]] == ["radius"]


def test_an_ended_budget_is_an_error_with_the_tally(latents):
    with pytest.raises(ao.AstroOodError, match=r"AOD-RN13 .* of 2 candidates accepted, 9 wanted"):
        ao.sample(latents, 9, budget=2)


def test_new_maps_in_physical_units(latents, model):
    proposals = ao.sample(latents, 3, criteria="none")
    fields = ao.decode(proposals, model)
    assert fields.x.shape == (3, 1, 32, 32)
    maps = fields.to_maps()
    assert [m.name for m in maps] == ["synth-00000", "synth-00001", "synth-00002"]
    assert {m.unit for m in maps} == {"K"}
    assert maps[0].pixel_scale == pytest.approx((1.2, 1.2))
    assert maps[0].wcs is not None
    np.testing.assert_allclose(maps[1].data, latents.origin.stretch.inverse(fields.x[1]), rtol=1e-5)


@pytest.mark.parametrize("held_out", [True, False])
def test_validation_of_maps(maps, held_out, tmp_path):
    turned = [ao.Map(m.data[:, ::-1].copy(), m.unit, f"t-{m.name}", header=m.header) for m in maps]
    scores = ao.validate(maps[:4], turned[4:], maps[4:] if held_out else None, n_permutations=99)
    assert {"pdf", "spectrum", "novelty_nn", "novelty_copy"} <= {row["statistic"] for row in scores.rows}
    keys = {"statistic", "scale", "value", "floor", "p", "p_adjusted", "p_min", "verdict", "unit"}
    assert all(keys <= set(row) for row in scores.rows)
    assert isinstance(scores.verdict, str)
    assert scores.verdict
    assert scores.status != "usable"
    scores.save(tmp_path)
    assert {"scores.csv", "scores.json"} <= {p.name for p in tmp_path.iterdir()}
    assert scores._repr_html_().startswith("<table>")


def test_validation_of_arrays(monkeypatch):
    monkeypatch.setattr("astro_ood.stats.scores.DIVISIONS", 25)
    fields = gaussian_field(18, 32, -2.0, 0)
    scores = ao.validate(fields[:6], fields[6:12], fields[12:], n_permutations=99, baselines=("iaaft",))
    assert scores.status == "undecided" or not any(r["verdict"] == "different" for r in scores.rows if r["set"] == "synthetic")
    same = ao.validate(fields[:6, None], fields[6:12, None], fields[12:, None], n_permutations=99, baselines=("iaaft",))
    assert [r["value"] for r in same.rows] == [r["value"] for r in scores.rows]


def test_copies_are_found(monkeypatch):
    monkeypatch.setattr("astro_ood.stats.scores.DIVISIONS", 25)
    fields = gaussian_field(16, 32, -2.0, 0)
    scores = ao.validate(fields[:12], fields[:6] + 1e-3, n_permutations=99)
    assert scores.status == "copies"


def test_shifted_maps_fail():
    fields = gaussian_field(36, 32, -2.0, 0)
    scores = ao.validate(fields[:12], 3 * fields[12:24], fields[24:], n_permutations=999, baselines=())
    assert scores.status == "fails"
    assert not scores.verdict.startswith("usable")


@pytest.mark.parametrize(
    ("real", "synthetic", "code"),
    [
        (np.ones((1, 32, 32)), np.ones((4, 32, 32)), "IN40"),
        (np.ones((4, 32, 32)), np.ones((32, 32)), "IN40"),
        (np.ones((4, 2, 32, 32)), np.ones((4, 32, 32)), "IN40"),
        ([], np.ones((4, 32, 32)), "IN40"),
    ],
)
def test_sets_that_cannot_be_compared(real, synthetic, code):
    with pytest.raises(ao.AstroOodError, match=rf"^AOD-{code}"):
        ao.validate(real, synthetic)


def test_units_and_shapes_that_differ_are_refused(maps):
    other = [ao.Map(m.data, "Jy/beam", m.name) for m in maps]
    with pytest.raises(ao.AstroOodError, match=r"^AOD-IN23"):
        ao.validate(maps, other)
    small = [ao.Map(m.data[:, :16, :16], m.unit, m.name, header=m.header) for m in maps]
    with pytest.raises(ao.AstroOodError, match=r"^AOD-IN25"):
        ao.validate(maps, small)


def test_refusals_of_the_calls(maps, latents, model):
    for nothing in ([], np.zeros((0, 1, 32, 32))):
        with pytest.raises(ao.AstroOodError, match=r"^AOD-IN40"):
            ao.invert(nothing, model)
    with pytest.raises(ao.AstroOodError, match=r"^AOD-(IN17|RN60)"):
        ao.invert(np.full((2, 1, 32, 32), np.nan), model, n_steps=2)
    hole = maps[0].data.copy()
    hole[0, 3, 3] = np.nan
    masked = ao.Map(hole, "K", mask=np.isnan(hole[0]))
    with pytest.raises(ao.AstroOodError, match=r"^AOD-IN17"):
        ao.invert([masked, *maps], model)
    with pytest.raises(ao.AstroOodError, match=r"^AOD-CF10"):
        ao.invert(maps, model, "slow")
    with pytest.raises(ao.AstroOodError, match=r"^AOD-CF11"):
        ao.fit_prior(latents, "flow")
    with pytest.raises(ao.AstroOodError, match=r"^AOD-CF12"):
        ao.sample(latents, 2, proposal="magic")
    with pytest.raises(ao.AstroOodError, match=r"^AOD-CF13"):
        ao.sample(latents, 2, criteria="strict")
    with pytest.raises(ao.AstroOodError, match=r"^AOD-IN40"):
        ao.fit_prior(latents[:1])
    with pytest.raises(ao.AstroOodError, match=r"^AOD-IN31"):
        ao.invert(np.zeros((2, 1, 30, 30), np.float32), model)
    with pytest.raises(ao.AstroOodError, match=r"^AOD-IN25"):
        ao.invert(np.zeros((2, 32, 32), np.float32), model)
    with pytest.raises(AttributeError):
        _ = ao.nothing_of_the_kind


def test_few_latents_say_so(latents, caplog):
    with caplog.at_level(logging.WARNING, "astro_ood"):
        found = ao.sample(latents[:3], 2)
    assert found.criteria["kind"] == "none"
    assert "cannot calibrate" in caplog.text


def test_public_names():
    assert len(ao.__all__) <= 25
    assert set(ao.__all__) == set(dir(ao))
    for name in ao.__all__:
        value = getattr(ao, name)
        assert name == "__version__" or value.__doc__, name


def test_tables_for_notebooks_escape_names(latents):
    from dataclasses import replace

    hostile = replace(latents, origin=replace(latents.origin, model="<script>alert(1)</script>"))
    for text in (hostile._repr_html_(), ao.sample(latents, 2, criteria="none")._repr_html_()):
        assert text.startswith("<table>")
        assert "<script>" not in text
    assert "<b>" not in ao.Map(np.zeros((16, 16)), name="<b>")._repr_html_()
    scores = ao.Scores([{"statistic": "<i>", "set": "<i>", "scale": None, "verdict": "<i>"}], "<i>", [], "fails")
    assert "<i>" not in scores._repr_html_()
    assert "not measured" in replace(latents, latent_error=np.full(8, np.nan))._repr_html_()


def test_every_object_shows_itself_in_a_notebook(latents, maps, model):
    hostile = "<img src=x onerror=alert(1)>\u202e\x00" + 1000 * "x"
    named = replace(latents, origin=replace(latents.origin, model=hostile, unit=hostile))
    batch = FieldBatch.from_maps(maps, latents.origin.stretch)
    proposals = ao.sample(latents, 2, criteria="none")
    for thing in (
        named,
        ao.FittedPrior(ao.fit_prior(latents).prior, named),
        replace(proposals, kind=hostile, tally={hostile: 1}),
        replace(batch, unit=hostile),
        ao.Map(np.zeros((16, 16)), hostile, hostile, hostile, hostile),
        ao.Scores([{"statistic": hostile, "set": "synthetic", "scale": None, "verdict": hostile}], hostile, [], "fails"),
    ):
        text = thing._repr_html_()
        assert text.startswith("<table><caption>")
        assert "<img" not in text
        assert "\u202e" not in text
        assert "\x00" not in text
        assert len(text) < 4500
    assert "item 8, channel 1, y 32, x 32" in batch._repr_html_()
    assert "8 of 8 usable" in ao.fit_prior(latents)._repr_html_()


def test_selftest_passes():
    from astro_ood.selftest import run_selftest

    lines = list(run_selftest())
    assert len(lines) >= 6
    assert all(good for _, good in lines), lines


def test_a_validation_looks_for_neighbours_once(monkeypatch):
    from astro_ood.stats import scores

    calls = []

    def counted(*args, **options):
        calls.append(options["regions"])
        return novelty(*args, **options)

    novelty = scores.novelty
    monkeypatch.setattr(scores, "novelty", counted)
    real, synthetic = gaussian_field(8, 32, -2.5, 1), gaussian_field(9, 32, -2.5, 2)
    found = ao.validate(real, synthetic, baselines=[], regions=(["north"] * 4 + ["south"] * 4, []), parents=np.arange(9) % 8)
    assert len(calls) == 1
    near = found.curves["novelty"]
    assert len(near["closest"]) == len(near["scattering"]["closest"]) == 6
    assert [d for _, _, d in near["scattering"]["closest"]] == sorted(near["scattering"]["synthetic"])[:6]
    (row,) = [r for r in found.rows if r["statistic"] == "novelty_parent"]
    assert np.median(near["parent_correlation"]) == pytest.approx(row["value"])
    assert "parent_correlation" not in near["scattering"]
