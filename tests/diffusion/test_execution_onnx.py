"""Execution by onnxruntime: the answers of torch at every time and shape, and one clear line where it cannot be."""

import importlib.util
import logging
import sys
import warnings

import pytest
import torch

from astro_ood.diffusion import onnx
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.execution import Execution, Runner
from astro_ood.diffusion.hub import open_model
from astro_ood.diffusion.nets import ADMUNet, DDPMUNet, FacesUNet, ScoreNet, SmallUNet
from astro_ood.diffusion.presets import choose
from astro_ood.diffusion.schedule import ContinuousSchedule, NoiseSchedule
from astro_ood.diffusion.solver import integrate
from astro_ood.diffusion.windows import Windowed
from astro_ood.errors import ConfigError, ModelError

CPU = torch.device("cpu")
ONNX = Execution(onnx=True)
NETWORKS = {
    "small_unet": lambda: SmallUNet(width=8, multipliers=(1, 2), blocks=1),
    "iddpm": lambda: ADMUNet(16, 32, 1, channel_mult="1,2", attention_resolutions="8", learn_sigma=True),
    "ddpm": lambda: DDPMUNet(16, ch=32, ch_mult=[1, 2], num_res_blocks=1, attn_resolutions=[8]),
    "anime": lambda: FacesUNet(1, 8, [1, 2], 1, [False, True]),
    "galaxygrad": lambda: ScoreNet((1, 16, 16), hidden=4, mix_patch=4, mix_hidden=4, blocks=1),
}

installed = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in onnx.PACKAGES), reason="the extra onnx is not installed"
)


class Scaled(torch.nn.Module):
    """A network of one line, `answer(x_t, t)`."""

    def __init__(self, answer):
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 1, 1)
        self.answer = answer

    def forward(self, x_t, t):
        return self.answer(self.layer(x_t), t)


def awake(net):
    """Fresh networks answer zero; here every layer speaks."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return net.eval().requires_grad_(requires_grad=False)


def maps(n=2, channels=1, side=16, seed=0):
    return torch.randn(n, channels, side, side, generator=torch.Generator().manual_seed(seed))


def deviation(found, expected):
    return float((found - expected).square().mean().sqrt() / expected.square().mean().sqrt())


@pytest.fixture(scope="module")
def fast():
    """The embedded network in onnxruntime."""
    return open_model("default", device="cpu", execution=ONNX)


@installed
def test_embedded_network_agrees_at_every_time_and_shape(model, fast):
    assert fast.execution.onnx
    for n, side in ((2, 32), (1, 48)):
        x = maps(n, 1, side)
        for t in (0.0, 0.5, 300.25, 999.0):
            assert deviation(fast.eps(x, t), model.eps(x, t)) < 1e-5
    assert len(fast.runner._call._sessions) == 2


@installed
def test_round_trip_is_that_of_torch(model, fast):
    preset = choose("fast", model.schedule, n_steps=6)
    x = 0.5 * maps(2, 1, 32)
    found = []
    for denoiser in (model, fast):
        z = integrate(preset.make_solver(denoiser), x, preset.times_up(denoiser.schedule)).x
        found.append((z, integrate(preset.make_solver(denoiser), z, preset.times_down(denoiser.schedule)).x))
    (z, back), (z_onnx, back_onnx) = found
    assert deviation(z_onnx, z) < 1e-4
    assert deviation(back_onnx, back) < 1e-4
    assert fast.runner.seconds > 0


@installed
def test_order_and_company_change_no_bit(fast):
    x = maps(2, 1, 32)
    together = fast.eps(x, 400.0)
    assert torch.equal(fast.eps(x.flip(0), 400.0).flip(0), together)
    assert torch.equal(fast.eps(torch.cat([torch.zeros_like(x[:1]), x[:1]]), 400.0)[1], together[0])


@installed
@pytest.mark.parametrize("arch", NETWORKS)
def test_every_architecture_agrees(arch):
    net = awake(NETWORKS[arch]())
    plain, fast = Runner(net, CPU, Execution()), Runner(net, CPU, ONNX)
    x = maps(2, net.channels)
    # of galaxygrad's networks the last time is 10
    early, late = (torch.tensor([t if arch == "galaxygrad" else 100 * t]) for t in (0.2, 9.9))
    expected = [plain(x, t) for t in (early, late)]
    assert deviation(*expected) > 1e-3, "this network does not listen to time"
    for t, y in zip((early, late), expected, strict=True):
        assert deviation(fast(x, t), y) < 1e-4
        assert torch.equal(plain(x, t), y), "exporting changed the network"


@installed
def test_one_time_per_item(tiny_weights):
    plain, fast = Runner(tiny_weights, CPU, Execution()), Runner(tiny_weights, CPU, ONNX)
    for t in ([3.5, 700.0, 999.0], [900.0, 0.0, 1.0]):
        assert deviation(fast(maps(3), torch.tensor(t)), plain(maps(3), torch.tensor(t))) < 1e-4


@installed
def test_diffusers_agrees():
    pytest.importorskip("diffusers", reason="the extra diffusers is not installed")
    from astro_ood.diffusion.nets.diffusers_unet import DiffusersUNet

    blocks = {"down_block_types": ["DownBlock2D", "AttnDownBlock2D"], "up_block_types": ["AttnUpBlock2D", "UpBlock2D"]}
    sizes = {"sample_size": 16, "block_out_channels": [8, 16], "layers_per_block": 1, "norm_num_groups": 4}
    net = awake(DiffusersUNet(in_channels=1, out_channels=1, attention_head_dim=8, **blocks, **sizes))
    plain, fast = Runner(net, CPU, Execution()), Runner(net, CPU, ONNX)
    for t in (0.0, 871.5):
        assert deviation(fast(maps(), torch.tensor([t])), plain(maps(), torch.tensor([t]))) < 1e-4


def test_sessions_are_kept_and_their_number_is_bounded(tiny_weights, monkeypatch):
    made = []

    class Session:
        def __init__(self, net, x_t, t):
            made.append((*x_t.shape, *t.shape))
            self.net = net

        def run(self, _, inputs):
            return [self.net(*(torch.from_numpy(inputs[name]) for name in ("x_t", "t"))).numpy()]

    monkeypatch.setattr(onnx, "PACKAGES", ())
    monkeypatch.setattr(onnx, "_session", Session)
    model = Denoiser(tiny_weights, NoiseSchedule.linear(), (1, 16, 16)).to(CPU, ONNX)
    for n in (1, 2, 1, 2):
        model.eps(maps(n), 10.0)
    assert made == [(1, 1, 16, 16, 1), (2, 1, 16, 16, 1)]
    for n in range(3, 3 + onnx.MOST_SESSIONS):
        model.eps(maps(n), 10.0)
    assert len(model.runner._call._sessions) == onnx.MOST_SESSIONS
    model.eps(maps(1), 10.0)
    assert len(made) == 3 + onnx.MOST_SESSIONS


@installed
def test_layout_does_not_matter_and_nothing_reaches_the_user(tiny_weights, capfd, caplog):
    net, x, t = tiny_weights, maps(3), torch.tensor([100.0])
    level, filters = logging.getLogger("torch").level, list(warnings.filters)
    caplog.set_level(logging.INFO)
    expected = Runner(net, CPU, Execution())(x, t)
    fast = Runner(net, CPU, Execution(onnx=True, channels_last=True))
    with torch.inference_mode():
        inside = fast(x, t)
    last = fast(x.to(memory_format=torch.channels_last), t)
    turned = fast(x.transpose(2, 3).contiguous().transpose(2, 3).requires_grad_(), t)
    Runner(net, CPU, Execution())
    for found in (inside, last, turned):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert capfd.readouterr() == ("", "")
    # a logger of torch that is always on, and that it keeps from users by other means
    assert [r.name for r in caplog.records if r.name != "torch.__trace"] == []
    assert (logging.getLogger("torch").level, warnings.filters) == (level, filters)


@installed
def test_windows_go_through_it(tiny_weights):
    schedule = NoiseSchedule.linear()
    x = maps(1, 1, 24)
    plain = Windowed(Denoiser(tiny_weights, schedule, (1, 16, 16)), 16, batch=3).eps(x, 500.0)
    model = Windowed(Denoiser(tiny_weights, schedule, (1, 16, 16)), 16, batch=3)
    model.to(CPU, ONNX)
    assert deviation(model.eps(x, 500.0), plain) < 1e-4


@installed
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda x, t: x if t[0] > 5 else -x, "cannot be exported to ONNX"),
        (lambda x, t: torch.linalg.svd(x)[0] * t, "cannot be exported to ONNX"),
    ],
)
def test_networks_that_cannot_be_exported(answer, reason, capfd):
    with pytest.raises(ModelError, match=rf"AOD-MD62 Scaled: {reason}.*; leave onnx out") as caught:
        Runner(Scaled(answer), CPU, ONNX)(maps(), torch.tensor([1.0]))
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@installed
def test_a_graph_that_answers_otherwise_is_refused(monkeypatch):
    """As if the time of the export had become a constant."""
    net, session = awake(NETWORKS["small_unet"]()), onnx._session

    class Frozen(torch.nn.Module):
        def __init__(self, t):
            super().__init__()
            self.net, self.t = net, t

        def forward(self, x_t, t):
            return self.net(x_t, self.t + 0 * t)

    monkeypatch.setattr(onnx, "_session", lambda _, x, t: session(Frozen(t), x, t))
    with pytest.raises(ModelError, match=r"AOD-MD62 SmallUNet: by ONNX its output is .* off, expected at most 0\.001"):
        Runner(net, CPU, ONNX)(maps(), torch.tensor([1.0]))


@pytest.mark.parametrize(
    ("option", "found"),
    [("precision", "bf16"), ("precision", "tf32"), ("compiled", True), ("graphs", True)],
)
def test_onnx_is_plain_float32(option, found):
    expected = {"precision": "fp32"}.get(option, "false")
    line = rf"AOD-CF44 {option}: found {str(found).lower()} with onnx, expected {expected}.*set {option}: {expected}"
    with pytest.raises(ConfigError, match=line):
        Execution(onnx=True, **{option: found})


def test_onnx_is_for_processors(tiny_weights):
    with pytest.raises(ConfigError, match=r"AOD-CF44 device: found cuda with onnx, expected cpu.*set device: cpu"):
        Runner(tiny_weights, torch.device("cuda"), ONNX)


def test_memory_that_ends_is_told_as_torch_tells_it():
    """So that a micro-batch is halved."""

    class Session:
        def run(self, *_):
            raise ValueError("Failed to allocate memory for requested buffer of size 134217728")

    with pytest.raises(torch.OutOfMemoryError, match="requested buffer"):
        onnx._run(Session(), maps(), torch.zeros(1))


@installed
def test_functions_are_refused():
    def oracle(x, t):
        return x

    with pytest.raises(ModelError, match=r"AOD-MD62 oracle: found a function, expected a torch.nn.Module"):
        Denoiser(oracle, ContinuousSchedule(last=10.0), (1, 8, 8)).to(CPU, ONNX)


@pytest.mark.parametrize("name", onnx.PACKAGES)
def test_without_the_packages_the_remedy_is_named(name, monkeypatch, tiny_weights):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModelError, match=rf"AOD-MD58 onnx: .*{name}.* not installed.*pip install 'astro-ood\[onnx\]'"):
        Runner(tiny_weights, CPU, ONNX)
