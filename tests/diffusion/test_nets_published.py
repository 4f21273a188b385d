"""Networks of other people against what the published code computes."""

import json

import numpy as np
import pytest
import torch

from astro_ood.diffusion.nets import ARCHITECTURES, ADMUNet, DDPMUNet, FacesUNet, SmallUNet, time_embedding
from astro_ood.diffusion.nets.blocks import GroupNorm, attend
from astro_ood.diffusion.weights import fit_state, read_state

CASES = {"iddpm_plain": "pt", "iddpm_updown": "pt", "ddpm_small": "ckpt"}
AFHQ = {
    "image_size": 256,
    "num_channels": 128,
    "num_res_blocks": 1,
    "learn_sigma": True,
    "num_head_channels": 64,
    "resblock_updown": True,
    "use_scale_shift_norm": True,
}
TINY_ADM = {"image_size": 16, "num_channels": 32, "num_res_blocks": 1, "channel_mult": "1,2", "attention_resolutions": "8"}
TINY_DDPM = {"resolution": 16, "ch": 32, "ch_mult": [1, 2], "num_res_blocks": 1, "attn_resolutions": [8]}
TINY_FACES = {"channels": 1, "width": 8, "multipliers": [1, 2], "blocks": 1, "attention": [False, True]}


@pytest.fixture(scope="module")
def goldens(shared):
    folder = shared / "goldens"
    if not folder.is_dir():
        pytest.skip("the numbers of the published code are absent")
    return folder


def opened(path, arch, network):
    """Network with its weights, built as the hub does it."""
    with torch.device("meta"):
        net = ARCHITECTURES[arch].build(network)
    fit_state(net, read_state(path), path, arch)
    return net.eval()


def answer(net, x, t):
    with torch.inference_mode():
        return net(torch.as_tensor(x), torch.as_tensor(t, dtype=torch.float32)).numpy()


def assert_agrees(net, numbers, rtol=1e-4):
    found, expected = answer(net, numbers["x"], numbers["t"]), numbers["output"]
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < rtol * np.abs(expected).max()


def randomised(net, seed=0):
    """Networks start silent; here every layer speaks."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return net.eval()


@pytest.mark.parametrize("case", CASES)
def test_outputs_of_the_published_code(goldens, case):
    network = json.loads((goldens / f"{case}.json").read_text())
    net = opened(goldens / f"{case}.{CASES[case]}", case.split("_")[0], network)
    assert_agrees(net, np.load(goldens / f"{case}_forward.npz"))
    assert net.image_size == 32


def test_outputs_of_the_quantised_network(shared, goldens):
    path = shared / "data" / "anime_faces_ddpm64_uint8.safetensors"
    if not path.is_file():
        pytest.skip("the third-party network is absent")
    said = ARCHITECTURES["anime"].arguments_from(read_state(path))
    assert said["shape"] == [3, 64, 64]
    assert_agrees(opened(path, "anime", said["network"]), np.load(goldens / "anime_faces_forward.npz"))


@pytest.mark.parametrize(
    ("case", "arch", "network", "millions"), [("afhq_dog", "iddpm", AFHQ, 93.56), ("ddpm", "ddpm", {}, 113.67)]
)
def test_parameters_of_the_real_networks(goldens, case, arch, network, millions):
    listed = json.loads((goldens / f"{case}_256_parameters.json").read_text())
    with torch.device("meta"):
        net = ARCHITECTURES[arch].build(network)
        state = {name: torch.empty(shape) for name, shape in listed.items()}
    fit_state(net, state, case, arch)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize(
    ("kind", "network"), [(ADMUNet, TINY_ADM), (DDPMUNet, TINY_DDPM), (FacesUNet, TINY_FACES), (SmallUNet, {"width": 8})]
)
def test_convention_of_all_networks(kind, network):
    net = randomised(kind(**network))
    again = kind(**json.loads(json.dumps(net.config)))
    again.load_state_dict(net.state_dict())
    x = torch.randn(2, net.channels, 3 * net.stride, 5 * net.stride)
    one, each = answer(net, x, [3.25]), answer(again.eval(), x, [3.25, 3.25])
    np.testing.assert_allclose(one, each, atol=1e-5)
    assert one.shape == x.shape
    assert not net.fixed_size
    # time is real-valued, and seen
    assert 0 < np.abs(answer(net, x, [3.5]) - one).max() < np.abs(answer(net, x, [30.0]) - one).max()


@pytest.mark.parametrize(("kind", "network"), [(ADMUNet, TINY_ADM), (DDPMUNet, TINY_DDPM), (FacesUNet, TINY_FACES)])
def test_half_precision_stays_close(kind, network):
    net = randomised(kind(**network))
    x = torch.randn(2, net.channels, 16, 16)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        half = net(x, torch.tensor([10.0]))
    full = answer(net, x, [10.0])
    assert half.dtype is torch.bfloat16
    assert np.abs(half.float().numpy() - full).max() < 0.05 * np.abs(full).max()


def test_attention_orders_differ_by_a_permutation_of_rows():
    heads, c = 4, 64
    old = randomised(ADMUNet(**TINY_ADM, num_heads=heads))
    new = ADMUNet(**TINY_ADM, num_heads=heads, use_new_attention_order=True).eval()
    # row of the old order (head, qkv, channel) for each row of the new one (qkv, head, channel)
    rows = torch.arange(3 * c).view(heads, 3, c // heads).transpose(0, 1).flatten()
    state = old.state_dict()
    x = torch.randn(1, 3, 16, 16)
    new.load_state_dict(state)
    assert np.abs(answer(new, x, [5.0]) - answer(old, x, [5.0])).max() > 1e-4
    new.load_state_dict({name: tensor[rows] if ".qkv." in name else tensor for name, tensor in state.items()})
    np.testing.assert_allclose(answer(new, x, [5.0]), answer(old, x, [5.0]), atol=1e-5)


def test_heads_by_number_or_by_channels():
    by_number = ADMUNet(**TINY_ADM, num_heads=4, num_heads_upsample=2)
    by_channels = ADMUNet(**TINY_ADM, num_head_channels=16)
    assert {m.heads for m in by_number.modules() if hasattr(m, "heads")} == {4, 2}
    assert {m.heads for m in by_channels.modules() if hasattr(m, "heads")} == {4}


@pytest.mark.parametrize(("size", "levels"), [(256, 6), (128, 5), (64, 4)])
def test_levels_by_size(size, levels):
    with torch.device("meta"):
        assert ADMUNet(size, 32, 1).stride == 2 ** (levels - 1)


def test_what_an_adm_network_cannot_be():
    with pytest.raises(ValueError, match="no class label"):
        ADMUNet(**TINY_ADM, class_cond=True)
    with pytest.raises(ValueError, match="no table names the levels of size 48"):
        ADMUNet(48, 32, 1)
    with pytest.raises(TypeError, match="colour"):
        ADMUNet(**TINY_ADM, colour=True)


def test_ddpm_without_convolutions_between_levels():
    net = DDPMUNet(**TINY_DDPM, resamp_with_conv=False)
    assert not any("sample.conv" in name for name in net.state_dict())
    assert answer(net, torch.randn(1, 3, 16, 16), [1.0]).shape == (1, 3, 16, 16)


def test_ddpm_arguments_are_those_of_the_published_file():
    flat = {key: value for key, value in TINY_DDPM.items() if key != "resolution"}
    nested = {
        "data": {"image_size": 16, "channels": 3},
        "model": {**flat, "type": "simple", "dropout": 0.1, "var_type": "fixedlarge"},
    }
    assert ARCHITECTURES["ddpm"].build(nested).config == DDPMUNet(**TINY_DDPM).config
    with pytest.raises(TypeError, match="colour"):
        DDPMUNet(colour=True)


def test_embeddings_of_time():
    t = np.array([0.0, 3.5, 999.0])
    cosine_first = t[:, None] * 10_000.0 ** (-np.arange(4) / 4)
    sine_first = t[:, None] * 10_000.0 ** (-np.arange(4) / 3)
    found = time_embedding(torch.from_numpy(t), 8)
    np.testing.assert_allclose(found, np.hstack([np.cos(cosine_first), np.sin(cosine_first)]), atol=1e-4)
    found = time_embedding(torch.from_numpy(t), 8, sine_first=True)
    np.testing.assert_allclose(found, np.hstack([np.sin(sine_first), np.cos(sine_first)]), atol=1e-4)


def test_attention_is_a_softmax_head_by_head():
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 2, 5, 3, 4))
    weight = np.exp(np.einsum("nihc,njhc->nhij", q, k) / 2)
    expected = np.einsum("nhij,njhc->nihc", weight / weight.sum(-1, keepdims=True), v).reshape(2, 5, 12)
    np.testing.assert_allclose(attend(*map(torch.from_numpy, (q, k, v))), expected, atol=1e-12)


def test_group_norm_in_half_precision_computes_in_single():
    norm = GroupNorm(2, 4)
    x = 200 + torch.randn(1, 4, 64, 64)
    half = norm(x.half())
    assert half.dtype is torch.float16
    np.testing.assert_allclose(half.detach().float(), norm(x.half().float()).detach(), atol=2e-3)


def test_cards_of_all_architectures_can_be_used():
    from astro_ood.diffusion.denoiser import PARAMETERISATIONS
    from astro_ood.diffusion.schedule import make_schedule

    for kind in ARCHITECTURES.values():
        assert make_schedule(kind.defaults["schedule"]).last > 0
        assert kind.defaults["parameterisation"] in PARAMETERISATIONS
        low, high = kind.defaults["range"]
        assert low < high
