"""Opening networks: cards, hashes, refusals."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from astro_ood._resources import resource
from astro_ood.diffusion import engine
from astro_ood.diffusion.hub import list_models, open_model
from astro_ood.diffusion.nets import DDPMUNet
from astro_ood.diffusion.presets import choose
from astro_ood.errors import ModelError


def test_card_tells_what_the_weights_are():
    card = list_models()["photos32"]
    weights = resource("data/models/photos32.safetensors")
    assert weights.stat().st_size < 20e6
    assert card["parameters"] == sum(v.numel() for v in load_file(weights).values())
    assert card["licence"] == "MIT"


def test_opens_weights_with_a_card(tiny_network):
    path, _, net = tiny_network
    model = open_model(path, device="cpu")
    x = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(model.raw(x, 7.0), net(x, torch.tensor([7.0])).detach())


def test_wrong_hash_is_refused(tiny_network):
    path, card, _ = tiny_network
    with pytest.raises(ModelError, match="MD54"):
        open_model(path, config={**card, "sha256": "0" * 64})


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x80\x04pickle", b"\xff" * 4096])
def test_damaged_weights_are_refused(tiny_network, content):
    path, card, _ = tiny_network
    path.write_bytes(content)
    with pytest.raises(ModelError, match="MD54"):
        open_model(path)
    with pytest.raises(ModelError, match="MD49"):
        open_model(path, config={**card, "sha256": None})


def test_other_weights_are_refused(tiny_network):
    path, card, net = tiny_network
    state = {k: v for k, v in net.state_dict().items() if "time" not in k}
    save_file(state, path)
    with pytest.raises(ModelError, match="MD51"):
        open_model(path, config={**card, "sha256": None})
    with pytest.raises(ModelError, match=r"MD51.*unknown architecture"):
        open_model(path, arch="resnet", config={**card, "sha256": None})


@pytest.mark.parametrize(("own", "other"), [("iddpm_plain.pt", "ddpm"), ("ddpm_small.ckpt", "iddpm"), ("ddpm_small.ckpt", "anime")])
def test_weights_of_another_architecture_say_which(shared, own, other):
    """Their own arguments lie beside them, and build no network of the architecture that was asked for."""
    arch = own.partition("_")[0]
    with pytest.raises(ModelError, match=rf"MD51.*no {other} network.*this looks like {arch}; try arch: {arch}"):
        open_model(shared / "goldens" / own, arch=other, device="cpu")


def test_other_arguments_are_named_but_ten(tmp_path):
    path = tmp_path / "net.pt"
    torch.save(DDPMUNet(resolution=8, ch=32, ch_mult=(1,), num_res_blocks=1, attn_resolutions=()).state_dict(), path)
    with pytest.raises(ModelError, match=r"MD02.*12 unknown arguments a0, .*a7 \.\.\.\)"):
        open_model(path, config={f"a{i}": i for i in range(12)}, device="cpu")


def test_weights_with_nan_are_refused(tiny_network):
    path, card, net = tiny_network
    state = net.state_dict()
    state["tail.bias"] = torch.full_like(state["tail.bias"], float("nan"))
    save_file(state, path)
    with pytest.raises(ModelError, match=r"MD52.*tail.bias"):
        open_model(path, config={**card, "sha256": None})


@pytest.mark.parametrize(("name", "code"), [("net.pt", "MD03"), ("missing.safetensors", "MD03"), ("unheard-of", "MD03")])
def test_names_that_are_no_network(name, code):
    with pytest.raises(ModelError, match=code):
        open_model(name)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"arch": "small_unet"}'])
def test_damaged_cards_are_refused(tiny_network, text):
    path, _, _ = tiny_network
    path.with_suffix(".json").write_text(text)
    with pytest.raises(ModelError, match="MD02"):
        open_model(path)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"schedule": {"kind": "sigmoid"}}, "MD53"),
        ({"parameterisation": "noise"}, "MD53"),
        ({"range": [1, -1]}, "MD53"),
        ({"range": [0]}, "MD02"),
        ({"network": {"depth": 3}}, "MD02"),
        ({"network": []}, "MD02"),
        ({"shape": "large"}, "MD02"),
        ({"schedule": {"kind": "linear", "n": 1}}, "MD02"),
    ],
)
def test_cards_that_would_be_misread_are_refused(tiny_network, change, code):
    path, card, _ = tiny_network
    with pytest.raises(ModelError, match=code):
        open_model(path, config={**card, **change})


def test_plain_functions_are_networks():
    config = {"schedule": {"kind": "cosine", "n": 100}, "shape": [1, 8, 8], "parameterisation": "x0", "range": [0, 1]}

    def blank(x_t, t):
        return 0.5 + 0 * x_t

    model = open_model(blank, config=config, device="cpu")
    assert model.name == "blank"
    x = np.zeros((2, 1, 8, 8), np.float32)
    found = engine.invert(
        model, x + np.linspace(-0.1, 0.1, 8, dtype=np.float32), choose("fast", model.schedule), estimate_error=False
    )
    assert found.z.shape == x.shape
    with pytest.raises(ModelError, match=r"MD02.*lacks schedule, shape"):
        open_model(blank)


def test_every_embedded_network_opens():
    for name, card in list_models().items():
        assert open_model(name, device="cpu").card["sha256"] == card["sha256"]
