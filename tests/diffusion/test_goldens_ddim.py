"""The preset `paper` against latents and reconstructions of the published code, through the published networks and the public calls."""

import json
from dataclasses import replace

import numpy as np
import pytest

import astro_ood as ao

CASES = {"iddpm_plain": "pt", "iddpm_updown": "pt", "ddpm_small": "ckpt"}


@pytest.mark.parametrize("case", CASES)
def test_paper_preset_gives_the_published_latents_and_reconstructions(shared, case):
    folder = shared / "goldens"
    if not folder.is_dir():
        pytest.skip("the numbers of the published code are absent")
    arguments = json.loads((folder / f"{case}.json").read_text())
    model = ao.open_model(folder / f"{case}.{CASES[case]}", case.split("_")[0], arguments, device="cpu")
    numbers = np.load(folder / f"{case}_ddim.npz")
    n_steps, t_0 = int(numbers["n_steps"]), float(numbers["t_0"])

    latents = ao.invert(numbers["x0"], model, "paper", n_steps=n_steps, t_0=t_0)
    decoded = ao.decode(replace(latents, z=numbers["latent"]), model)
    assert latents.evaluations == n_steps - 1
    assert not latents.usable.any()  # weights are random: the latents are those of the published code, and no noise
    for found, expected in ((latents.z, numbers["latent"]), (decoded.x, numbers["reconstruction"])):
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()
