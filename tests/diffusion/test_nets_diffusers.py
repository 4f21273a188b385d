"""Folders of diffusers against diffusers itself: outputs, schedules, DDIM both ways."""

from __future__ import annotations

import json
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.hub import open_model
from astro_ood.diffusion.nets.diffusers_unet import DiffusersUNet, folder_card, read_scheduler, weights_file
from astro_ood.diffusion.schedule import NoiseSchedule, make_schedule
from astro_ood.diffusion.solver import DDIM, integrate
from astro_ood.errors import ModelError

diffusers = pytest.importorskip("diffusers", reason="the extra diffusers is not installed")

TINY = {
    "sample_size": 16,
    "in_channels": 1,
    "out_channels": 1,
    "block_out_channels": [8, 16],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "attention_head_dim": 8,
}


@pytest.fixture
def folder(tmp_path):
    """A tiny random network as diffusers saves it, with the settings of its training."""
    torch.manual_seed(0)
    diffusers.UNet2DModel(**TINY).save_pretrained(tmp_path)
    diffusers.DDIMScheduler(beta_schedule="linear").save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def denoiser(folder):
    """The same network behind our convention."""
    return open_model(folder, device="cpu")


def open_folder(folder):
    """The network alone."""
    return open_model(folder, device="cpu").net


def noise(n=3, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, 1, 16, 16), dtype=np.float32))


def rms(x):
    return float(x.square().mean().sqrt())


def test_eps_is_the_output_of_the_model(folder, denoiser):
    theirs = diffusers.UNet2DModel.from_pretrained(folder, local_files_only=True).eval()
    for t in (0, 1, 500, 999):
        with torch.no_grad():
            expected = theirs(noise(), t).sample
        assert expected.std() > 0.01
        torch.testing.assert_close(denoiser.eps(noise(), float(t)), expected, rtol=1e-6, atol=1e-6)


def test_times_may_be_real_and_differ_between_items(denoiser):
    t = torch.tensor([3.25, 400.0, 871.5])
    together = denoiser.eps(noise(), t)
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], denoiser.eps(noise()[i : i + 1], float(t[i])), rtol=1e-5, atol=1e-5)
    assert not torch.equal(denoiser.eps(noise(), 400.0), denoiser.eps(noise(), 400.5))


def test_a_config_rebuilds_the_network(folder):
    net = open_folder(folder)
    again = DiffusersUNet(**json.loads(json.dumps(net.config)))
    again.load_state_dict(net.state_dict())
    assert torch.equal(again(noise(), torch.tensor([5.0])), net(noise(), torch.tensor([5.0])))
    assert (net.stride, net.fixed_size, net.channels) == (2, False, 1)


@pytest.mark.parametrize("kind", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_schedules_are_those_of_diffusers(kind):
    theirs = diffusers.DDIMScheduler(beta_schedule=kind, num_train_timesteps=400)
    schedule, parameterisation = read_scheduler(dict(theirs.config), "here")
    alpha_bar = make_schedule(schedule).alpha_bar
    # theirs are float32 products of 400 factors
    np.testing.assert_allclose(alpha_bar, theirs.alphas_cumprod.double().numpy(), rtol=3e-4)
    assert parameterisation == "eps"


def test_trained_betas_win_over_the_named_schedule():
    betas = np.linspace(0.001, 0.3, 50)
    schedule, _ = read_scheduler({"trained_betas": betas.tolist(), "beta_schedule": "linear"}, "here")
    np.testing.assert_allclose(make_schedule(schedule).alpha_bar, np.cumprod(1 - betas))


def test_habits_of_a_sampler_are_ignored():
    habits = {
        "clip_sample": True,
        "timestep_spacing": "leading",
        "set_alpha_to_one": False,
        "steps_offset": 1,
        "thresholding": True,
    }
    assert read_scheduler(habits, "here") == read_scheduler({}, "here")


@pytest.mark.parametrize(
    "settings",
    [
        {"rescale_betas_zero_snr": True},
        {"beta_schedule": "sigmoid"},
        {"beta_schedule": "laplace"},
        {"prediction_type": "flow_prediction"},
        {"_class_name": "EDMEulerScheduler"},
        {"_class_name": "ScoreSdeVeScheduler"},
        {"num_train_timesteps": 1e12},
        {"beta_end": float("nan")},
        {"trained_betas": ["many"]},
    ],
)
def test_what_is_not_known_is_refused(settings):
    with pytest.raises(ModelError, match="AOD-MD53 here"):
        read_scheduler(settings, "here")


@pytest.mark.parametrize(("said", "expected"), [("epsilon", "eps"), ("sample", "x0"), ("v_prediction", "v")])
def test_parameterisations_give_the_noise_that_diffusers_derives(folder, said, expected):
    scheduler = diffusers.DDIMScheduler(prediction_type=said, clip_sample=False)
    schedule, parameterisation = read_scheduler(dict(scheduler.config), "here")
    assert parameterisation == expected
    net = open_folder(folder)
    ours = Denoiser(net, make_schedule(schedule), (1, 16, 16), parameterisation=parameterisation)
    scheduler.set_timesteps(1000)
    with torch.no_grad():
        x0 = scheduler.step(net(noise(), torch.tensor([600.0])), 600, noise()).pred_original_sample
    torch.testing.assert_close(ours(noise(), 600.0), x0, rtol=2e-4, atol=2e-4)


def trailing(n=50):
    """A scheduler of `n` equal strides that decodes to the clean end."""
    scheduler = diffusers.DDIMScheduler(clip_sample=False, timestep_spacing="trailing")
    scheduler.set_timesteps(n)
    return scheduler


def test_decoding_equals_that_of_diffusers(denoiser):
    scheduler = trailing()
    x = noise(seed=1)
    with torch.no_grad():
        for t in scheduler.timesteps:
            x = scheduler.step(denoiser.net(x, t.float()[None]), int(t), x).prev_sample
    times = [*scheduler.timesteps.tolist(), -1]
    ours = integrate(DDIM(denoiser), noise(seed=1), times)
    assert ours.evaluations == 50
    assert rms(ours.x - x) < 1e-4 * rms(x)
    assert rms(noise(seed=1) - x) > 0.1 * rms(x)  # the loop did something


def test_inversion_equals_that_of_diffusers_with_its_pairing(denoiser):
    """diffusers evaluates the network at the time stepped *to*: the same step with eps(x_t, s) in place of eps(x_t, t)."""
    inverse = diffusers.DDIMInverseScheduler(clip_sample=False, timestep_spacing="trailing")
    inverse.set_timesteps(50)
    theirs = 0.3 * noise(seed=2)
    with torch.no_grad():
        for s in inverse.timesteps:
            theirs = inverse.step(denoiser.net(theirs, s.float()[None]), int(s), theirs).prev_sample

    class Target(DDIM):
        def step(self, x_t, t, s):
            self.at = s
            return super().step(x_t, t, s)

    class Shifted:
        schedule = denoiser.schedule

        def eps(self, x_t, t):
            return denoiser.eps(x_t, solver.at)

    solver = Target(Shifted())
    ours = integrate(solver, 0.3 * noise(seed=2), [-1, *inverse.timesteps.tolist()]).x
    assert rms(ours - theirs) < 1e-4 * rms(theirs)
    current = integrate(DDIM(denoiser), 0.3 * noise(seed=2), [0, *inverse.timesteps.tolist()[1:]]).x
    assert rms(current - theirs) > 1e-3 * rms(theirs)  # the pairing is visible


def test_a_pipeline_folder_and_a_safe_pickle_open(folder, tmp_path):
    home = tmp_path / "pipeline"
    (home / "unet").mkdir(parents=True)
    (home / "scheduler").mkdir()
    (home / "unet" / "config.json").write_text((folder / "config.json").read_text())
    (home / "scheduler" / "scheduler_config.json").write_text((folder / "scheduler_config.json").read_text())
    torch.save(load_file(weights_file(folder)), home / "unet" / "diffusion_pytorch_model.bin")
    assert folder_card(home) == folder_card(folder)
    assert torch.equal(open_folder(home)(noise(), torch.tensor([9.0])), open_folder(folder)(noise(), torch.tensor([9.0])))


def test_a_pickle_with_code_is_refused(folder, tmp_path):
    weights_file(folder).unlink()
    torch.save({"x": NoiseSchedule.linear(10)}, folder / "diffusion_pytorch_model.bin")
    with pytest.raises(ModelError, match="AOD-MD50"):
        open_folder(folder)


def rewrite(folder, change):
    path = weights_file(folder)
    state = load_file(path)
    change(state)
    save_file(state, path)


def test_old_names_of_attention_load(folder):
    new = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    expected = open_folder(folder)(noise(), torch.tensor([9.0]))

    def age(state):
        for key in list(state):
            for today, before in new.items():
                if f".{today}." in key:
                    state[key.replace(f".{today}.", f".{before}.")] = state.pop(key)

    rewrite(folder, age)
    assert any(".query." in key for key in load_file(weights_file(folder)))
    assert torch.equal(open_folder(folder)(noise(), torch.tensor([9.0])), expected)


def test_missing_and_damaged_weights_are_refused(folder):
    rewrite(folder, lambda state: state["conv_in.weight"].fill_(float("nan")))
    with pytest.raises(ModelError, match="AOD-MD52"):
        open_folder(folder)
    rewrite(folder, lambda state: state.pop("conv_in.weight"))
    with pytest.raises(ModelError, match=r"AOD-MD51.*conv_in"):
        open_folder(folder)
    weights_file(folder).write_bytes(b"no weights")
    with pytest.raises(ModelError, match="AOD-MD49"):
        open_folder(folder)
    weights_file(folder).unlink()
    with pytest.raises(ModelError, match="AOD-MD03"):
        open_folder(folder)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"_class_name": "UNet2DConditionModel"}, "MD53"),
        ({"num_class_embeds": 10}, "MD53"),
        ({"time_embedding_type": "fourier"}, "MD53"),
        ({"out_channels": 3}, "MD53"),
        ({"no_such_argument": 1}, "MD51"),
    ],
)
def test_other_networks_are_refused(folder, change, code):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match=f"^AOD-{code}"):
        open_folder(folder)


def test_incomplete_folders_are_refused(folder, tmp_path):
    (folder / "scheduler_config.json").unlink()
    with pytest.raises(ModelError, match=r"AOD-MD02.*scheduler_config"):
        folder_card(folder)
    with pytest.raises(ModelError, match=r"AOD-MD03.*nothing is downloaded"):
        folder_card(tmp_path / "google/ddpm-cat-256")


def test_what_the_caller_says_wins_over_the_folder(folder):
    (folder / "scheduler_config.json").unlink()
    said = {"schedule": {"kind": "cosine", "n": 50}, "parameterisation": "v", "range": [0, 1], "shape": [1, 32, 32]}
    model = open_model(folder, config=said, device="cpu")
    assert {key: model.card[key] for key in said} == said
    assert model.card["network"]["sample_size"] == 16
    with pytest.raises(ModelError, match=r"AOD-MD02.*scheduler_config"):
        open_model(folder, config={"schedule": said["schedule"]})


@pytest.mark.parametrize(
    ("choice", "code"),
    [({"arch": "ddpm"}, "MD51"), ({"config": {"arch": "ddpm"}}, "MD51"), ({"config": {"sha256": "0" * 64}}, "MD54")],
)
def test_what_a_folder_is_not_is_refused(folder, choice, code):
    assert open_model(folder, arch="diffusers", device="cpu").card["arch"] == "diffusers"
    with pytest.raises(ModelError, match=f"AOD-{code}"):
        open_model(folder, **choice)


def test_weights_alone_need_a_card(folder):
    path = weights_file(folder)
    with pytest.raises(ModelError, match=r"AOD-MD02.*diffusers network.*give the folder"):
        open_model(path)
    with pytest.raises(ModelError, match=r"AOD-MD51.*folder that holds its config.json"):
        open_model(path, "anime", {"channels": 1, "width": 8, "multipliers": [1], "blocks": 1, "attention": [False]})
    alone = open_model(path, config=folder_card(folder), device="cpu")
    assert torch.equal(alone.raw(noise(), 9.0), open_model(folder, device="cpu").raw(noise(), 9.0))
    rewrite(folder, lambda state: state.update({"unet.conv_in.bias": state["conv_in.bias"].clone()}))
    with pytest.raises(ModelError, match="AOD-MD51"):
        open_folder(folder)


def test_constants_that_no_file_holds_are_there(folder):
    """Kernels of blocks that resample, which are not saved."""
    kinds = {"down_block_types": ["KDownBlock2D"] * 2, "up_block_types": ["KUpBlock2D"] * 2, "block_out_channels": [32, 64]}
    theirs = diffusers.UNet2DModel(**TINY | kinds).eval()
    theirs.save_pretrained(folder)
    assert any("kernel" in name for name, _ in theirs.named_buffers())
    with torch.no_grad():
        expected = theirs(noise(), 9).sample
    torch.testing.assert_close(open_folder(folder)(noise(), torch.tensor([9.0])), expected)


def test_without_the_package_the_remedy_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ModelError, match=r"^AOD-MD58.*pip install 'astro-ood\[diffusers\]'"):
        open_model(folder)


def test_the_grid_of_the_oracle_is_the_one_meant():
    times = trailing(20).timesteps.tolist()
    assert times[0] == 999
    assert {a - b for a, b in pairwise(times)} == {50}
