"""Networks as .safetensors with a card: the same network, and no pickle any more."""

import json

import numpy as np
import pytest
import torch

from astro_ood.diffusion.convert import convert
from astro_ood.diffusion.hub import open_model
from astro_ood.errors import ModelError


def same(a, b):
    x = torch.randn(2, *a.shape, generator=torch.Generator().manual_seed(0))
    t = a.schedule.last / 3
    torch.testing.assert_close(a.eps(x, t), b.eps(x, t), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(a.schedule.alpha_bar, b.schedule.alpha_bar)
    assert (a.shape, a.parameterisation, a.data_range, a.stride) == (b.shape, b.parameterisation, b.data_range, b.stride)


@pytest.mark.parametrize(("name", "arch"), [("iddpm_updown.pt", "iddpm"), ("iddpm_plain.pt", "iddpm"), ("ddpm_small.ckpt", "ddpm")])
def test_published_weights(shared, tmp_path, name, arch):
    source = shared / "goldens" / name
    out = tmp_path / "net.safetensors"
    card = convert(source, out, arch, source.with_suffix(".json"), licence="none")
    assert card["converted_from"]["name"] == name
    same(open_model(source, arch, source.with_suffix(".json"), device="cpu"), open_model(out, device="cpu"))


def test_diffusers_folder(tmp_path):
    diffusers = pytest.importorskip("diffusers")
    unet = diffusers.UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
    )
    unet.save_pretrained(tmp_path / "folder")
    scheduler = diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")
    scheduler.save_pretrained(tmp_path / "folder")
    convert(tmp_path / "folder", tmp_path / "net.safetensors")
    same(open_model(tmp_path / "folder", device="cpu"), open_model(tmp_path / "net.safetensors", device="cpu"))


def test_nothing_is_replaced_or_left_half(tiny_network, tmp_path):
    path, _, _ = tiny_network
    out = tmp_path / "again.safetensors"
    convert(path, out)
    with pytest.raises(ModelError, match=r"MD61.*already"):
        convert(path, out)
    with pytest.raises(ModelError, match=r"MD61.*ends in"):
        convert(path, tmp_path / "net.pt")
    path.write_bytes(b"damaged")
    with pytest.raises(ModelError, match="MD54"):
        convert(path, out, overwrite=True)
    assert open_model(out, device="cpu").card["sha256"] == json.loads(out.with_suffix(".json").read_text())["sha256"]
    assert not list(tmp_path.glob(".*"))
