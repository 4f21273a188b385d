"""Guided decoding: targets are met, nothing else moves, and no item depends on its company."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from astro_ood.diffusion import engine
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.frame import Frame
from astro_ood.diffusion.guidance import Guidance, Guided, Targets, map_of, misfit, move, to_network
from astro_ood.diffusion.methods import SOLVERS
from astro_ood.diffusion.presets import choose
from astro_ood.diffusion.schedule import NoiseSchedule
from astro_ood.diffusion.solver import integrate
from astro_ood.errors import ConfigError, InputError
from astro_ood.maps import gaussian_field
from astro_ood.selftest import gaussian_oracle

GROUPS = ("spectrum", "pdf", "scattering")


def skewed(n, size=32, slope=-2.5, seed=0):
    """Maps in [-1, 1] that are no Gaussian fields."""
    x = gaussian_field(n, size, slope, seed)
    x = np.exp(0.8 * x / x.std())
    return (0.4 * (x - x.mean()) / x.std())[:, None].astype(np.float32)


def _aims(targets, n=4):
    return targets.at(targets.weights(range(n)))


def test_guided_decoding_on_the_oracle_reaches_its_targets():
    """The oracle alone makes Gaussian fields of its own spectrum; guided it makes maps with other statistics."""
    oracle, maps = gaussian_oracle()
    before = oracle.power.clone()
    preset = choose("fast", oracle.schedule, n_steps=12)
    z = oracle.exact(maps, 0.0, 700.0).float().numpy()
    targets = Targets(skewed(4), Guidance(500.0, steps=4, last=40, statistics=GROUPS))
    aim = _aims(targets)
    plain, _ = engine.decode(oracle, z, preset, micro_batch=4)
    guided, _ = engine.decode(oracle, z, preset, micro_batch=4, guided=targets)
    far, near = (misfit(targets.statistics(torch.from_numpy(x[:, 0])), aim) for x in (plain, guided))
    assert (near < 0.02 * far).all()
    found = targets.statistics(torch.from_numpy(guided[:, 0]))
    for name in GROUPS:
        assert float((found[name] - aim[name]).square().mean().sqrt()) < 0.12
    assert torch.equal(oracle.power, before)


def test_weights_of_a_network_stay_untouched(tiny_weights):
    before = {name: value.clone() for name, value in tiny_weights.state_dict().items()}
    model = Denoiser(tiny_weights, NoiseSchedule.linear(), (1, 32, 32))
    z = np.random.default_rng(0).standard_normal((2, 1, 32, 32)).astype(np.float32)
    engine.decode(model, z, choose("fast", model.schedule, n_steps=4), guided=Targets(skewed(3), Guidance(700.0, steps=2, last=2)))
    assert all(torch.equal(before[name], value) for name, value in tiny_weights.state_dict().items())


@pytest.mark.parametrize("solver", ["ddim", "heun", "dpm2m", "ab2"])
def test_any_solver_takes_a_guided_network(solver):
    oracle, maps = gaussian_oracle()
    z = oracle.exact(maps, 0.0, 700.0).float()
    targets = Targets(skewed(4), Guidance(700.0, steps=3, last=60))
    guided = Guided(oracle, targets, Frame.of(oracle, (1, 32, 32)), range(4))
    times = oracle.schedule.timesteps(9, 700.0, "log_snr")[::-1]
    y = guided.finish(integrate(SOLVERS[solver].make(guided), z, times).x)
    assert (misfit(targets.statistics(y[:, 0]), _aims(targets)) < 0.1).all()


def test_moved_estimate_and_noise_belong_together():
    """eps' and x_t give the moved estimate back; above t_from the network's own answer stands."""
    oracle, maps = gaussian_oracle()
    x_t = oracle.exact(maps, 0.0, 400.0).float()
    targets = Targets(skewed(4), Guidance(400.0, steps=3, strength=0.5, soft=False))
    guided = Guided(oracle, targets, Frame.of(oracle, (1, 32, 32)), range(4))
    own, moved = oracle(x_t, 400.0)[:, 0], guided(x_t, 400.0)[:, 0]
    wanted = own + 0.5 * (move(targets.statistics, own, _aims(targets), 3) - own)
    torch.testing.assert_close(moved, wanted, atol=2e-3, rtol=0)
    assert torch.equal(guided.eps(x_t, 401.0), oracle.eps(x_t, 401.0))


def test_no_item_ends_farther_than_it_began_and_each_goes_alone():
    targets = Targets(skewed(4), Guidance(1.0), dtype=torch.float64)
    statistics, aim = targets.statistics, _aims(targets)
    x = torch.from_numpy(gaussian_field(4, 32, -2.0, 3))
    values = [misfit(statistics(move(statistics, x, aim, steps)), aim) for steps in (0, 5, 20, 80)]
    for before, after in pairwise(values):
        assert (after <= before).all()
    assert (values[-1] < 0.03 * values[0]).all()
    alone = move(statistics, x[2:3], {name: value[2:3] for name, value in aim.items()}, 20)
    torch.testing.assert_close(alone[0], move(statistics, x, aim, 20)[2], atol=1e-6, rtol=0)


def test_first_move_sets_the_spectrum_exactly():
    targets = Targets(skewed(4), Guidance(1.0), dtype=torch.float64)
    aim = _aims(targets)
    x = move(targets.statistics, torch.from_numpy(gaussian_field(4, 32, -1.0, 3)), aim, 0)
    torch.testing.assert_close(targets.statistics(x)["spectrum"], aim["spectrum"])


def test_choice_depends_on_seed_and_item_alone():
    targets = Targets(skewed(5), Guidance(1.0, aim="parent"), seed=3)
    whole = targets.weights(range(20))
    assert np.array_equal(whole[[7, 2]], targets.weights([7, 2]))
    assert (whole.reshape(4, 5, 5).sum(axis=1) == 1).all()
    assert not np.array_equal(whole, Targets(skewed(5), Guidance(1.0, aim="parent"), seed=4).weights(range(20)))


def test_draws_have_the_mean_and_the_covariance_of_the_inverted_maps():
    targets = Targets(skewed(6), Guidance(1.0, aim="draw"), dtype=torch.float64)
    weights = targets.weights(range(4000))
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    drawn, real = targets.at(weights)["scattering"].numpy(), targets.at(np.eye(6))["scattering"].numpy()
    sd = real.std(axis=0, ddof=1)
    assert np.abs((drawn.mean(axis=0) - real.mean(axis=0)) / sd).max() < 0.1
    np.testing.assert_allclose(np.cov(drawn.T) / np.outer(sd, sd), np.cov(real.T) / np.outer(sd, sd), atol=0.15)
    assert np.linalg.matrix_rank(drawn - drawn.mean(axis=0), tol=1e-6) == 5
    assert (targets.at(weights[:50])["pdf"].diff(dim=1) >= 0).all()


def test_mean_aims_at_the_mean():
    targets = Targets(skewed(3), Guidance(1.0, aim="mean"))
    every = targets.at(np.eye(3))
    for name, value in _aims(targets, 2).items():
        torch.testing.assert_close(value[1], every[name].mean(dim=0))


def test_targets_seen_through_noise_lose_what_the_best_filter_loses():
    """White maps of variance 1 under noise of variance 1: the best estimate keeps half of the power."""
    maps = np.random.default_rng(0).standard_normal((200, 1, 16, 16)).astype(np.float32)
    targets = Targets(maps, Guidance(1.0, statistics=("spectrum",)))
    clean, seen = (targets.at(np.full((1, 200), 1 / 200), noise)["spectrum"] for noise in (0.0, 1.0))
    np.testing.assert_allclose((clean - seen).numpy(), np.log(2), atol=0.1)


def test_samples_depend_on_seed_and_item_alone(model):
    preset = choose("fast", model.schedule, n_steps=3)
    z = np.random.default_rng(0).standard_normal((5, 1, 32, 32)).astype(np.float32)
    targets = Targets(skewed(3), Guidance(700.0, steps=2, last=3), seed=5)
    whole, _ = engine.decode(model, z, preset, guided=targets, micro_batch=3)
    again, _ = engine.decode(model, z, preset, guided=targets, micro_batch=3)
    assert np.array_equal(whole, again)
    order = np.array([4, 1, 3])
    part, _ = engine.decode(model, z[order], preset, guided=targets, items=order, micro_batch=3)
    np.testing.assert_allclose(part, whole[order], atol=1e-4)
    other, _ = engine.decode(model, z, preset, guided=targets, micro_batch=2)
    np.testing.assert_allclose(other, whole, atol=1e-3)


def test_padding_does_not_poison_a_batch(model):
    preset = choose("fast", model.schedule, n_steps=3)
    z = np.random.default_rng(0).standard_normal((1, 1, 32, 32)).astype(np.float32)
    alone, _ = engine.decode(model, z, preset, guided=Targets(skewed(3), Guidance(700.0, steps=2, last=3)), micro_batch=4)
    assert np.isfinite(alone).all()


def test_stochastic_decoding_is_guided_as_well(model):
    preset = choose("fast", model.schedule, n_steps=4)
    z = np.random.default_rng(0).standard_normal((2, 1, 32, 32)).astype(np.float32)
    targets = Targets(skewed(2), Guidance(700.0, steps=3, last=20))
    x, _ = engine.decode(model, z, preset, guided=targets, eta=0.5)
    assert (misfit(targets.statistics(torch.from_numpy(x[:, 0])), _aims(targets, 2)) < 0.1).all()


def test_copies_and_margins_of_a_network_move_alike():
    frame = Frame((1, 30, 32), (3, 32, 32), (0.0, 255.0))
    x = skewed(2)[:, :, :30]
    y = torch.from_numpy(frame.to_network(x))
    torch.testing.assert_close(map_of(frame, y), torch.from_numpy(x[:, 0]), atol=1e-5, rtol=0)
    change = torch.from_numpy(skewed(2, seed=1)[:, 0, :30])
    moved, spread = frame.to_maps((y + to_network(frame, change)).numpy())
    np.testing.assert_allclose(moved, x + change[:, None].numpy(), atol=1e-5)
    assert spread.max() < 1e-5
    both = torch.from_numpy(frame.to_network((x + change[:, None].numpy()).astype(np.float32)))
    torch.testing.assert_close(y + to_network(frame, change), both, atol=1e-3, rtol=0)


def test_a_network_of_three_channels_is_guided_through_its_frame():
    schedule = NoiseSchedule.linear()

    def net(x_t, t):
        alpha, sigma = (float(f(float(t[0]))) for f in (schedule.alpha, schedule.sigma))
        return sigma * x_t / (alpha**2 / 3 + sigma**2)

    model = Denoiser(net, schedule, (3, 32, 32), data_range=(0.0, 1.0), stride=8)
    frame = Frame.of(model, (1, 30, 30), "replicate", "pad")
    targets = Targets(skewed(3)[:, :, :30, :30], Guidance(700.0, steps=2, last=60))
    z = np.random.default_rng(0).standard_normal((3, 3, 32, 32)).astype(np.float32)
    x, _ = engine.decode(model, z, choose("fast", schedule, n_steps=4), frame=frame, guided=targets)
    assert (misfit(targets.statistics(torch.from_numpy(x[:, 0])), _aims(targets, 3)) < 0.1).all()


def test_refuses_what_it_cannot_steer(model):
    with pytest.raises(InputError, match=r"IN32.*one map an item"):
        Targets(np.zeros((4, 3, 32, 32), np.float32), Guidance(1.0))
    with pytest.raises(InputError, match=r"IN32"):
        Targets(np.zeros((0, 1, 32, 32), np.float32), Guidance(1.0))
    with pytest.raises(InputError, match=r"IN17.*does not vary"):
        Targets(np.zeros((4, 1, 32, 32), np.float32), Guidance(1.0))
    z = np.zeros((1, 1, 32, 32), np.float32)
    with pytest.raises(InputError, match=r"IN32.*size of the inverted"):
        engine.decode(model, z, choose("fast", model.schedule), guided=Targets(skewed(2, 16), Guidance(1.0)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"t_from": np.nan},
        {"steps": -1},
        {"last": -1},
        {"strength": 0.0},
        {"strength": 1.1},
        {"aim": "best"},
        {"statistics": ("colour",)},
    ],
)
def test_refuses_impossible_guidance(wrong):
    with pytest.raises(ConfigError, match="CF44"):
        Guidance(**{"t_from": 500.0, **wrong})
