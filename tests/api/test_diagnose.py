"""`ao.diagnose`: what it says, shows, keeps, and refuses."""

import json

import numpy as np
import pytest

import astro_ood as ao


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((12, 1, 16, 16))
    maps = np.where(np.arange(256).reshape(16, 16) < 128, 0.01, 1.0) * rng.standard_normal(z.shape)
    others = {"moved": rng.standard_normal(z.shape) + 0.5, "alone": z[:1]}
    return ao.diagnose(z, maps, others=others, n_surrogates=19)


def test_every_question_is_answered(found):
    names = [one.name for one in found.judgements]
    assert names == ["Gaussian", "white", "geometry", "told from white noise", "told from moved", "smooth areas"]
    assert found["told from moved"].verdict == "different"
    assert found["Gaussian"].verdict == "no difference detected"
    assert "moved: no departure" in found["Gaussian"].words
    assert "told from moved" in found._repr_html_()


def test_they_are_kept(found, tmp_path):
    path = tmp_path / "diagnostics.json"
    found.save(path)
    back = ao.Diagnostics.load(path)
    assert [one.words for one in back.judgements] == [one.words for one in found.judgements]
    assert back.curves["separability"] == found.curves["separability"]
    assert back.curves["spectrum"]["coherence"][0] is None
    json.loads(path.read_text(), parse_constant=pytest.fail)
    path.write_text("{}")
    with pytest.raises(ao.AstroOodError, match=r"^AOD-ST02"):
        ao.Diagnostics.load(path)
    with pytest.raises(ao.AstroOodError, match=r"^AOD-ST01"):
        ao.Diagnostics.load(tmp_path / "none.json")


def test_they_are_drawn(found):
    from matplotlib.figure import Figure

    axes = Figure().subplots(2, 2).ravel()
    drawn = found.plot(axes)
    assert drawn.shape == (4,)
    assert all(one.has_data() for one in drawn)
    with pytest.raises(ValueError, match="4 are needed"):
        found.plot(axes[:2])


def test_little_is_no_error():
    few = ao.diagnose(np.zeros((3, 1, 16, 16)))
    assert few.judgements[0].verdict == "undecided"
    assert few.curves == {}


def test_what_does_not_fit_is_refused():
    z = np.zeros((5, 1, 16, 16))
    for bad in ({"maps": np.zeros((4, 1, 16, 16))}, {"others": {"x": np.zeros((5, 1, 8, 8))}}):
        with pytest.raises(ao.AstroOodError, match=r"^AOD-IN33"):
            ao.diagnose(z, **bad)
    with pytest.raises(ao.AstroOodError, match=r"^AOD-IN33"):
        ao.diagnose(np.zeros((5, 16)))


def test_constant_latents_break_nothing():
    assert len(ao.diagnose(np.zeros((8, 1, 16, 16)), n_surrogates=19).judgements) == 4


def test_arrays_have_no_network(model):
    with pytest.raises(ao.AstroOodError, match=r"^AOD-IN33 latents: an array, whose origin is not known"):
        ao.diagnose(np.zeros((5, 1, 32, 32)), model=model)


def test_a_network_is_asked_from_python(tiny_network):
    """Every second latent is decoded where nothing else stands for the domain; a network that did not invert is refused."""
    from astro_ood.maps import gaussian_field

    network = ao.open_model(str(tiny_network[0]), device="cpu")
    x = 0.3 * gaussian_field(10, 32, -3.0, np.random.default_rng(0))[:, None].astype(np.float32)
    latents = ao.invert(x, network, n_steps=4, estimate_error=False)
    found = ao.diagnose(latents, model=network, n_maps=2, etas=(0.0, 1.0), n_own=12, n_surrogates=9)
    assert found.curves["interference"]["n"] == 5
    assert [one.name for one in found.judgements][-2:] == ["bandwidth", "interference"]
    assert "own maps of the network" in found.curves["separability"]
    from matplotlib.figure import Figure

    assert found.plot(Figure().subplots(3, 2).ravel()).shape == (6,)
    few = ao.diagnose(latents[:6], model=network, n_maps=2, etas=(0.0, 1.0), n_own=12, n_surrogates=9)
    assert "3 maps of the domain" in few["interference"].words
    assert few["interference"].verdict == "undecided"
    interval = ao.fit_prior(latents).intervals("variance")
    assert interval.low[0] < interval.value[0] < interval.high[0]
    with pytest.raises(ao.AstroOodError, match=r"^AOD-MD56"):
        ao.diagnose(latents, model=ao.open_model("default", device="cpu"))
