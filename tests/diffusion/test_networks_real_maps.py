"""Every kind of network, from its file to the inversion of real maps.

Where no trained weights of a kind are at hand, a small network of that architecture learns for some seconds to denoise crops of the
photographs; saved as its publishers save it, it is then opened like any other.
"""

import json
import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

import astro_ood as ao
from astro_ood.diffusion.nets import ARCHITECTURES
from astro_ood.diffusion.schedule import NoiseSchedule, make_schedule
from astro_ood.diffusion.train import crops, load_photographs

IDDPM = {
    "image_size": 16,
    "num_channels": 32,
    "num_res_blocks": 1,
    "channel_mult": "1,2",
    "learn_sigma": True,
    "attention_resolutions": "8",
    "num_head_channels": 16,
    "use_scale_shift_norm": True,
    "resblock_updown": True,
}
DDPM = {
    "data": {"image_size": 16, "channels": 3},
    "model": {"ch": 32, "ch_mult": [1, 2], "num_res_blocks": 1, "attn_resolutions": [8], "in_channels": 3, "out_ch": 3},
}


def learn(net, schedule, target="eps", steps=200):
    """Some seconds of training on grey crops in three channels."""
    pytest.importorskip("skimage")
    photographs, rng = load_photographs(("camera", "coffee")), np.random.default_rng(0)
    torch.manual_seed(0)
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(steps):
        x_0 = crops(photographs, 8, 16, rng).expand(-1, 3, -1, -1)
        t = torch.from_numpy(rng.integers(0, schedule.alpha_bar.size, 8)).float()
        alpha, sigma = (torch.from_numpy(f(t.numpy())).float()[:, None, None, None] for f in (schedule.alpha, schedule.sigma))
        eps = torch.randn_like(x_0)
        wanted = eps if target == "eps" else alpha * eps - sigma * x_0
        loss = (net(alpha * x_0 + sigma * eps, t)[:, :3] - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net.eval()


@pytest.fixture(scope="session")
def bolocam(shared):
    """Six patches of the 1.1 mm continuum of the Galactic Centre, 30 x 30 pixels."""
    return ao.read_maps([shared / "data/gc_bolocam_gps.fits"], patch=30)[:6]


def check(model, maps, **options):
    latents = ao.invert(maps, model, micro_batch=3, **options)
    assert len(latents) > 0
    assert latents.z.std() == pytest.approx(1, abs=0.5)
    # from the latents alone comes what the inversion itself decoded
    again = ao.decode(latents, model)
    np.testing.assert_allclose(again.x, latents.reconstruction, atol=1e-4)
    assert {m.unit for m in again.to_maps()} == {m.unit for m in maps}
    return latents


def test_iddpm_pt(tmp_path, bolocam):
    net = learn(ARCHITECTURES["iddpm"].build(IDDPM), NoiseSchedule.linear())
    torch.save({f"module.{k}": v for k, v in net.state_dict().items()}, tmp_path / "net.pt")
    model = ao.open_model(tmp_path / "net.pt", arch="iddpm", config=IDDPM)
    latents = check(model, bolocam, channels="replicate", fit="pad")
    assert np.median(latents.round_trip) < 0.1
    assert latents.z.shape[1:] == (3, 30, 30)


def test_ddpm_ckpt(tmp_path, bolocam):
    net = learn(ARCHITECTURES["ddpm"].build(DDPM), NoiseSchedule.linear())
    config = tmp_path / "celeba.yml"
    config.write_text(json.dumps(DDPM))
    torch.save([net.state_dict(), {}, 10, 300, net.state_dict()], tmp_path / "net.ckpt")
    model = ao.open_model(tmp_path / "net.ckpt", arch="ddpm", config=config)
    assert np.median(check(model, bolocam, channels="replicate").round_trip) < 0.1


def test_diffusers_folder(tmp_path, bolocam):
    pytest.importorskip("diffusers")
    from diffusers import DDPMScheduler, UNet2DModel

    unet = UNet2DModel(
        sample_size=16,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=16,
    )
    scheduler = DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")
    schedule = make_schedule({"kind": "cosine", "n": 1000})
    learn(unet_as_net := _Plain(unet), schedule, "v")
    unet_as_net.unet.save_pretrained(tmp_path / "unet")
    scheduler.save_pretrained(tmp_path / "scheduler")
    model = ao.open_model(tmp_path)
    assert model.parameterisation == "v"
    assert np.median(check(model, bolocam, channels="stack", fit="crop").round_trip) < 0.1


class _Plain(torch.nn.Module):
    def __init__(self, unet):
        super().__init__()
        self.unet = unet

    def forward(self, x_t, t):
        return self.unet(x_t, t, return_dict=False)[0]


def _galaxygrad():
    """Folder of the weights of galaxygrad, which are not redistributed."""
    spec = find_spec("galaxygrad")
    folder = os.environ.get("ASTRO_OOD_GALAXYGRAD") or (spec and spec.submodule_search_locations[0])
    return Path(folder) if folder and Path(folder).is_dir() else None


@pytest.mark.skipif(_galaxygrad() is None, reason="galaxygrad is not at hand (ASTRO_OOD_GALAXYGRAD names its folder)")
def test_galaxygrad_eqx_and_windows(shared):
    model = ao.open_model(_galaxygrad() / "eqx_ZTF_ScoreNet64.eqx")
    maps = ao.read_maps([shared / "data/pywst_I_1.fits"], patch=64)[:4]
    assert np.median(check(model, maps).round_trip) < 0.2
    wide = ao.open_model(_galaxygrad() / "eqx_ZTF_ScoreNet64.eqx", window=64)
    larger = ao.read_maps([shared / "data/pywst_I_1.fits"], patch=96)[:2]
    assert np.median(check(wide, larger).round_trip) < 0.2


def test_anime_faces(shared):
    model = ao.open_model(shared / "data/anime_faces_ddpm64_uint8.safetensors")
    maps = ao.read_maps([shared / "data/spitzer_example_image.fits"], patch=64)[:1]
    latents = ao.invert(maps, model, n_steps=12, channels="replicate", micro_batch=1, estimate_error=False)
    assert latents.round_trip[0] < 0.2
    assert latents.channel_spread[0] < 0.1


def test_plain_functions(bolocam):
    """The exact denoiser of white noise is no model of maps, but a network like any other."""
    schedule = NoiseSchedule.cosine(100)

    def white(x_t, t):
        alpha, sigma = (float(f(float(t[0]))) for f in (schedule.alpha, schedule.sigma))
        return sigma * x_t / (0.09 * alpha**2 + sigma**2)

    x = np.stack([m.data for m in bolocam])
    x = 0.3 * (x - x.mean(axis=(2, 3), keepdims=True)) / x.std(axis=(2, 3), keepdims=True)
    model = ao.open_model(white, config={"schedule": {"kind": "cosine", "n": 100}, "shape": [1, 16, 16]})
    assert np.median(ao.invert(np.clip(x, -3, 3), model).round_trip) < 0.1
