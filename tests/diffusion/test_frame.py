"""Range, channels and size at the edges of a network; windows without seams."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from astro_ood.diffusion import engine
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.execution import Execution
from astro_ood.diffusion.frame import Frame
from astro_ood.diffusion.presets import choose
from astro_ood.diffusion.schedule import NoiseSchedule
from astro_ood.diffusion.windows import Windowed
from astro_ood.errors import InputError, ModelError

SCHEDULE = NoiseSchedule.linear()


def network(channels=1, side=16, stride=4, fixed_size=False, data_range=(-1.0, 1.0)):
    """A denoiser that works pixel by pixel."""
    return Denoiser(
        lambda x, t: x.sin(), SCHEDULE, (channels, side, side), stride=stride, fixed_size=fixed_size, data_range=data_range
    )


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([1, 3]),
    st.sampled_from([(-1.0, 1.0), (0.0, 1.0), (0.0, 35.0)]),
)
def test_what_goes_in_comes_out(h, w, channels, data_range):
    model = network(channels, data_range=data_range)
    frame = Frame.of(model, (1, h, w), "replicate", "pad")
    x = np.random.default_rng(0).uniform(-1, 1, (2, 1, h, w)).astype(np.float32)
    y = frame.to_network(x)
    assert y.shape[1] == channels
    assert all(n % 4 == 0 for n in y.shape[2:])
    assert y.min() >= data_range[0] - 1e-5
    assert y.max() <= data_range[1] + 1e-5
    back, spread = frame.to_maps(y)
    np.testing.assert_allclose(back, x, atol=2e-6)
    np.testing.assert_allclose(spread, 0, atol=1e-4)
    assert Frame.from_dict(frame.to_dict()) == frame


def test_spread_tells_how_far_channels_disagree():
    frame = Frame.of(network(3), (1, 16, 16), "replicate")
    rng = np.random.default_rng(0)
    common, apart = rng.standard_normal((1, 1, 16, 16)), rng.standard_normal((1, 3, 16, 16))
    y = (common + 0.1 * (apart - apart.mean(axis=1, keepdims=True))).astype(np.float32)
    _, spread = frame.to_maps(y)
    expected = np.sqrt(np.mean(np.var(y.astype(np.float64), axis=1))) / np.std(y.mean(axis=1))
    assert spread[0] == pytest.approx(expected, rel=1e-5)


def test_refusals_say_what_to_do():
    with pytest.raises(InputError, match=r"IN32.*1 channels.*has 3.*replicate"):
        Frame.of(network(3), (1, 16, 16))
    with pytest.raises(InputError, match=r"IN32.*3 channels.*another network"):
        Frame.of(network(1), (3, 16, 16), "replicate")
    with pytest.raises(InputError, match=r"IN31.*18 x 16.*multiples of 4.*fit: pad"):
        Frame.of(network(), (1, 18, 16))
    with pytest.raises(InputError, match=r"IN31.*16 x 16 only.*window"):
        Frame.of(network(fixed_size=True), (1, 32, 32), fit="pad")
    assert Frame.of(network(fixed_size=True), (1, 10, 16), fit="pad").network_shape == (1, 16, 16)


@pytest.mark.parametrize("size", [(16, 16), (23, 16), (50, 37)])
def test_windows_of_a_local_network_are_the_network_itself(size):
    model = network()
    windowed = Windowed(model, 16, batch=3)
    x = torch.randn(2, 1, *size)
    torch.testing.assert_close(windowed.eps(x, 10.0), model.eps(x, 10.0), rtol=1e-5, atol=1e-6)
    times = torch.tensor([10.0, 500.0])
    torch.testing.assert_close(windowed.eps(x, times), model.eps(x, times), rtol=1e-5, atol=1e-6)


def test_windows_cover_every_pixel_and_end_with_the_map():
    windowed = Windowed(network(), 16)
    for side in range(16, 80):
        starts = windowed.starts(side)
        assert starts[0] == 0
        assert starts[-1] == side - 16
        assert all(0 < b - a <= 8 for a, b in itertools.pairwise(starts))


def test_windows_that_the_network_cannot_take_are_refused():
    for model, window in ((network(), 18), (network(fixed_size=True), 32)):
        with pytest.raises(ModelError, match="MD60"):
            Windowed(model, window)


def test_windows_keep_the_execution_of_the_network():
    inner = network()
    inner.to(torch.device("cpu"), Execution("bf16", channels_last=True))
    windowed = Windowed(inner, 16)
    assert windowed.execution == inner.execution == Execution("bf16", channels_last=True)
    assert windowed.to(torch.device("cpu")).execution.precision == "bf16"


def test_maps_larger_than_the_network_have_no_seams(model, hi4pi):
    """Neighbouring pixels on both sides of a window's end differ no more than others, in maps inverted and in maps made from noise."""
    windowed = Windowed(model, 32)
    preset = choose("fast", model.schedule, n_steps=12)
    found = engine.invert(windowed, hi4pi.x[6:8], preset, estimate_error=False)
    assert np.median(found.round_trip) < 0.1
    z = np.random.default_rng(1).standard_normal((4, 1, 80, 80), dtype=np.float32)
    made, _ = engine.decode(windowed, z, choose("fast", model.schedule, n_steps=12, t_0=999))
    steps = np.abs(np.diff(made[:, 0], axis=2)).mean(axis=(0, 1))
    ends = sorted({e for s in windowed.starts(80) for e in (s - 1, s + 31) if 0 <= e < 79})
    others = np.delete(steps, ends)
    assert steps[ends].max() < others.mean() + 4 * others.std()


def test_replicated_maps_through_a_network_of_three_channels():
    frame = Frame.of(network(3), (1, 16, 16), "replicate")
    x = np.random.default_rng(0).uniform(-1, 1, (3, 1, 16, 16)).astype(np.float32)

    def white_noise(x_t, t):
        alpha, sigma = (float(f(float(t[0]))) for f in (SCHEDULE.alpha, SCHEDULE.sigma))
        return sigma * x_t / (alpha**2 / 3 + sigma**2)

    model = Denoiser(white_noise, SCHEDULE, (3, 16, 16), stride=4)
    found = engine.invert(model, x, choose("fast", SCHEDULE), frame=frame)
    assert found.z.shape == (3, 3, 16, 16)
    assert found.reconstruction.shape == x.shape
    assert found.channel_spread.max() < 1e-5
