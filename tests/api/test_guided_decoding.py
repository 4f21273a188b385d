"""Guided decoding as the documentation writes it."""

import numpy as np
import pytest

import astro_ood as ao
from astro_ood.errors import ConfigError
from astro_ood.maps import FieldBatch, gaussian_field


@pytest.fixture(scope="module")
def maps():
    images = np.exp(0.6 * gaussian_field(6, 32, -2.5, 3))
    return [ao.Map(x[None], "K", f"m{i}", f"m{i}") for i, x in enumerate(images)]


def test_guided_samples_have_the_statistics_of_the_inverted_maps(maps, model):
    latents = ao.invert(maps, model, n_steps=4, device="cpu", estimate_error=False)
    proposals = ao.sample(latents, 6, criteria="none")
    how = ao.Guidance(700.0, steps=3, last=40)
    plain, guided = ao.decode(proposals, model), ao.decode(proposals, model, guidance=how, inverted=maps)
    batch = FieldBatch.from_maps(maps, latents.origin.stretch)
    same = ao.decode(proposals, model, guidance=how, inverted=batch)
    assert np.array_equal(same.x, guided.x)
    assert np.array_equal(ao.decode(proposals, model, guidance=how, inverted=batch.x).x, guided.x)
    other = FieldBatch.from_maps(maps, ao.Stretch.fit(maps, "linear"))
    np.testing.assert_allclose(ao.decode(proposals, model, guidance=how, inverted=other).x, guided.x, atol=0.2)
    real, far, near = (np.sort(b.x.reshape(6, -1), axis=1).mean(axis=0) for b in (batch, plain, guided))
    assert np.abs(near - real).mean() < 0.1 * np.abs(far - real).mean()
    assert guided.to_maps()[0].unit == "K"


def test_guidance_needs_the_inverted_maps(maps, model):
    latents = ao.invert(maps[:2], model, n_steps=4, device="cpu", estimate_error=False)
    with pytest.raises(ConfigError, match=r"CF44 inverted.*never held-out"):
        ao.decode(latents, model, guidance=ao.Guidance(700.0))
