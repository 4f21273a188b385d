"""The preset `paper` against latents and reconstructions of the published code, through the published networks."""

import json

import numpy as np
import pytest
import torch

from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.nets import ARCHITECTURES
from astro_ood.diffusion.presets import choose
from astro_ood.diffusion.schedule import NoiseSchedule
from astro_ood.diffusion.solver import integrate
from astro_ood.diffusion.weights import fit_state, read_state

CASES = {"iddpm_plain": "pt", "iddpm_updown": "pt", "ddpm_small": "ckpt"}


@pytest.mark.parametrize("case", CASES)
def test_paper_preset_gives_the_published_latents_and_reconstructions(shared, case):
    folder = shared / "goldens"
    if not folder.is_dir():
        pytest.skip("the numbers of the published code are absent")
    path, arch = folder / f"{case}.{CASES[case]}", case.split("_")[0]
    net = ARCHITECTURES[arch].build(json.loads((folder / f"{case}.json").read_text()))
    fit_state(net, read_state(path), path, arch)
    numbers = np.load(folder / f"{case}_ddim.npz")
    schedule = NoiseSchedule.linear()
    denoiser = Denoiser(net.eval(), schedule, numbers["x0"].shape[1:])

    preset = choose("paper", schedule, n_steps=int(numbers["n_steps"]), t_0=float(numbers["t_0"]))
    up = preset.times_up(schedule)
    np.testing.assert_array_equal(up, numbers["sequence"])
    latent = integrate(preset.make_solver(denoiser), torch.from_numpy(numbers["x0"]), up)
    back = integrate(preset.make_solver(denoiser), torch.from_numpy(numbers["latent"]), preset.times_down(schedule))
    assert (latent.evaluations, back.evaluations) == (11, 12)
    for found, expected in ((latent.x, numbers["latent"]), (back.x, numbers["reconstruction"])):
        assert np.abs(found.numpy() - expected).max() < 1e-3 * np.abs(expected).max()
