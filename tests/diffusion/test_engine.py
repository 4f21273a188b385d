"""The embedded network on real maps: identity of results, errors, refusals."""

import logging
import sys
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from astro_ood.diffusion import engine
from astro_ood.diffusion.batching import MicroBatch, is_out_of_memory, largest_micro_batch
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.execution import pick_device
from astro_ood.diffusion.frame import Frame
from astro_ood.diffusion.presets import choose
from astro_ood.diffusion.schedule import NoiseSchedule
from astro_ood.diffusion.train import TrainingPlan, crops, train
from astro_ood.errors import InputError, ModelError, RunError
from astro_ood.selftest import gaussian_oracle


def test_round_trip_of_held_out_maps(model, hi4pi):
    found = engine.invert(model, hi4pi.x[6:], choose("fast", model.schedule))
    assert found.evaluations == 24
    assert np.median(found.round_trip) < 0.03
    assert np.median(found.latent_error) < 0.03
    assert found.z.std() == pytest.approx(1, abs=0.1)


def test_order_and_company_change_no_bit(model, hi4pi):
    preset = choose("fast", model.schedule, n_steps=3)
    order = np.array([7, 2, 11, 0, 5, 3, 9])
    whole = engine.invert(model, hi4pi.x, preset, micro_batch=4)
    shuffled = engine.invert(model, hi4pi.x[order], preset, micro_batch=4)
    alone = engine.invert(model, hi4pi.x[5:6], preset, micro_batch=4)
    assert np.array_equal(whole.z[order], shuffled.z)
    assert np.array_equal(whole.reconstruction[order], shuffled.reconstruction)
    assert np.array_equal(whole.z[5:6], alone.z)
    assert np.array_equal(whole.latent_error[5:6], alone.latent_error)


def test_another_micro_batch_agrees_to_rounding(model, hi4pi):
    preset = choose("fast", model.schedule, n_steps=3)
    a, b = (engine.invert(model, hi4pi.x[:3], preset, micro_batch=m, estimate_error=False) for m in (1, 3))
    np.testing.assert_allclose(a.z, b.z, atol=1e-4)


def test_stochastic_decoding_depends_on_seed_and_item_alone(model):
    preset = choose("fast", model.schedule, n_steps=3)
    z = np.random.default_rng(0).standard_normal((4, 1, 32, 32)).astype(np.float32)
    whole, _ = engine.decode(model, z, preset, eta=1.0, seed=5, micro_batch=3)
    part, _ = engine.decode(model, z[2:], preset, eta=1.0, seed=5, items=np.array([2, 3]), micro_batch=3)
    other, _ = engine.decode(model, z, preset, eta=1.0, seed=6, micro_batch=3)
    assert np.array_equal(whole[2:], part)
    assert not np.allclose(whole, other)


def test_refuses_shapes_that_the_network_cannot_take(model):
    preset = choose("fast", model.schedule)
    with pytest.raises(InputError, match=r"IN31.*multiples of 4"):
        engine.invert(model, np.zeros((2, 1, 30, 32), np.float32), preset)
    with pytest.raises(InputError, match=r"IN32.*3 channels"):
        engine.invert(model, np.zeros((2, 3, 32, 32), np.float32), preset)


def white_noise(fail=lambda batch: False):
    """Exact denoiser of independent pixels of variance 1/3, without weights; `fail` says when the memory ends."""
    schedule = NoiseSchedule.linear()

    def net(x_t, t):
        if fail(len(x_t)):
            raise torch.OutOfMemoryError("the device is full")
        alpha, sigma = (float(f(float(t[0]))) for f in (schedule.alpha, schedule.sigma))
        return sigma * x_t / (alpha**2 / 3 + sigma**2)

    return Denoiser(net, schedule, (1, 8, 8))


@pytest.mark.parametrize("t_0", [700.0, 900.0])
@pytest.mark.parametrize(
    ("preset", "solver"),
    [("paper", None), ("fast", None), ("accurate", None), ("fast", "ddim"), ("fast", "heun"), ("fast", "unipc"), ("fast", "rk4")],
)
def test_latent_error_is_that_of_the_closed_form(preset, solver, t_0):
    """The bare distance from half the step would be half of it for a solver of first order, three quarters for one of second."""
    oracle, maps = gaussian_oracle()
    found = engine.invert(oracle, maps.float().numpy(), choose(preset, oracle.schedule, t_0=t_0, solver=solver))
    true = engine.relative_error(found.z, oracle.exact(maps, 0.0, t_0).numpy())
    assert np.median(found.latent_error / true) == pytest.approx(1, abs=0.06)


def uniform(n):
    return np.random.default_rng(0).uniform(-1, 1, (n, 1, 8, 8)).astype(np.float32)


def test_many_values_that_are_not_finite_stop_the_run():
    x = uniform(20)
    x[1, 0, 3, 3] = np.inf
    preset = choose("fast", NoiseSchedule.linear(), n_steps=4)
    with pytest.raises(RunError, match=r"RN60.*1 of 20"):
        engine.decode(white_noise(), x, preset)
    with pytest.raises(RunError, match=r"RN60.*1 of 20"), np.errstate(invalid="ignore"):
        engine.invert(white_noise(), x, preset)


def test_a_few_values_that_are_not_finite_cost_their_items_only():
    x = uniform(200)
    x[7, 0, 3, 3] = np.nan
    found = engine.invert(white_noise(), x, choose("fast", NoiseSchedule.linear(), n_steps=4))
    assert np.flatnonzero(~found.usable).tolist() == [7]


def test_latents_that_are_no_noise_stop_the_run():
    """A network that answers the opposite of the noise: no card says so, the scale of its latents does."""
    diverging = Denoiser(lambda x, t: -x, NoiseSchedule.linear(), (1, 8, 8))
    found = engine.invert(diverging, uniform(8), choose("fast", NoiseSchedule.linear(), n_steps=8))
    assert not found.usable.any()
    with pytest.raises(RunError, match=r"RN61.*times the standard deviation of noise.*models check"):
        engine.Census("inversion", 8).usable(found)


def test_a_latent_that_is_no_noise_is_told_and_left_out(caplog):
    found = engine.invert(white_noise(), uniform(8), choose("fast", NoiseSchedule.linear(), n_steps=4), estimate_error=False)
    scale = np.where(np.arange(8) == 3, 3.9, found.latent_scale)
    with caplog.at_level(logging.WARNING, "astro_ood"):
        good = engine.Census("inversion", 8).usable(replace(found, latent_scale=scale))
    assert np.flatnonzero(~good).tolist() == [3]
    warned = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert warned == ["inversion: 1 of 8 latents are outside the band of noise: not usable"]


def test_a_lost_item_counts_against_the_whole_run():
    """One lost item of a block of eight is no reason to stop a run of 200; the third of the run is."""
    x = uniform(200)
    x[[7, 60, 150], 0, 3, 3] = np.nan
    preset, model = choose("fast", NoiseSchedule.linear(), n_steps=4), white_noise()
    frame, blocks = Frame.of(model, x.shape[1:]), [x[i : i + 8] for i in range(0, 200, 8)]
    done = []
    with pytest.raises(RunError, match=r"RN60.*3 of 200"):
        done.extend(engine.invert_blocks(model, blocks, preset, frame=frame, total=200))
    assert len(done) == 18


def test_other_ways_are_measured_by_their_round_trip_alone():
    x, model = uniform(6), white_noise()
    preset = choose("fast", NoiseSchedule.linear(), n_steps=4)
    checks = [choose("fast", NoiseSchedule.linear(), n_steps=4, t_0=t) for t in (300.0, 900.0)]
    frame = Frame.of(model, x.shape[1:])
    blocks = engine.invert_blocks(model, [x[:4], x[4:]], preset, frame=frame, total=6, checks=checks, estimates=5)
    found = np.concatenate([inversion.checks for inversion in blocks])
    for column, check in enumerate(checks):
        own = engine.invert(model, x, check, estimate_error=False).round_trip
        assert np.array_equal(found[:5, column], own[:5])
    assert np.isnan(found[5]).all()


def test_micro_batch_is_halved_where_the_memory_ends():
    preset = choose("fast", NoiseSchedule.linear(), n_steps=4)
    batches = MicroBatch(16)
    small = engine.invert(white_noise(lambda n: n > 5), uniform(20), preset, micro_batch=batches)
    assert (batches.asked, batches.size) == (16, 4)
    whole = engine.invert(white_noise(), uniform(20), preset, micro_batch=16)
    np.testing.assert_allclose(small.z, whole.z, atol=1e-5)
    np.testing.assert_allclose(small.round_trip, whole.round_trip, rtol=1e-3)


def test_no_memory_for_a_single_map_is_said():
    with pytest.raises(RunError, match=r"RN55.*single map"):
        engine.decode(white_noise(lambda n: True), uniform(3), choose("fast", NoiseSchedule.linear()))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"
        ),
        np._core._exceptions._ArrayMemoryError((1 << 40,), np.dtype(float)),
    ],
    ids=lambda error: str(error)[:30],
)
def test_ends_of_memory_are_known_in_every_wording(error):
    assert is_out_of_memory(error)

    def work(batch, part):
        if len(batch) > 2:
            raise error
        return (batch,)

    x, batches = uniform(5), MicroBatch(4)
    (found,) = batches.run(x, work)
    assert batches.size == 2
    assert np.array_equal(found, x)


def test_the_failed_batch_is_let_go_before_memory_is_given_back(monkeypatch):
    """What a traceback holds cannot be freed, so the cache would be emptied of nothing."""
    activations, seen = [], []

    def work(batch, part):
        activation = batch + 1
        activations.append(weakref.ref(activation))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("the device is full")
        return (activation,)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: seen.append((sys.exc_info()[1], activations[-1]())))
    MicroBatch(4).run(uniform(3), work)
    assert seen == [(None, None)]


def test_other_errors_of_a_network_are_not_taken_for_memory():
    broken = Denoiser(lambda x, t: x @ x[:, :, :3], NoiseSchedule.linear(), (1, 8, 8))
    with pytest.raises(RuntimeError, match="size"):
        engine.decode(broken, uniform(3), choose("fast", NoiseSchedule.linear()))


def test_blocks_change_no_bit():
    preset = choose("fast", NoiseSchedule.linear(), n_steps=4)
    x, model = uniform(20), white_noise()
    frame = Frame.of(model, x.shape[1:])
    whole = engine.invert(model, x, preset, micro_batch=4)
    parts = list(engine.invert_blocks(model, [x[:8], x[8:]], preset, frame=frame, total=20, micro_batch=4, estimates=12))
    assert np.array_equal(np.concatenate([p.z for p in parts]), whole.z)
    errors = np.concatenate([p.latent_error for p in parts])
    assert np.array_equal(errors[:12], whole.latent_error[:12])
    assert np.isnan(errors[12:]).all()


def test_largest_micro_batch_stops_where_the_memory_ends():
    size, tried = largest_micro_batch(white_noise(lambda n: n > 6), uniform(3), 500.0, gain=0.01)
    assert [n for n, _ in tried] == [1, 2, 4]
    assert size in (1, 2, 4)


def test_largest_micro_batch_stops_where_numpy_has_no_memory():
    model = white_noise()

    def net(x_t, t):
        if len(x_t) > 2:
            raise MemoryError("Unable to allocate 8. TiB")
        return model.net(x_t, t)

    _, tried = largest_micro_batch(Denoiser(net, model.schedule, (1, 8, 8)), uniform(3), 500.0, gain=0.01)
    assert [n for n, _ in tried] == [1, 2]


def test_unknown_device():
    with pytest.raises(ModelError, match="MD01"):
        pick_device("abacus")


def test_network_is_frozen_and_has_no_fixed_size(model):
    assert not any(p.requires_grad for p in model.net.parameters())
    assert not model.net.training
    for size in (32, 64, 48):
        assert model.eps(torch.zeros(2, 1, size, size), 10.0).shape == (2, 1, size, size)


def test_embedded_network_denoises_its_own_domain(model):
    from astro_ood.diffusion.train import HELD_OUT, eps_loss, load_photographs

    loss = eps_loss(model.net, load_photographs((HELD_OUT,)), model.schedule, n=64)
    assert loss < 0.05


def test_checkpoint_of_another_plan_is_refused(tmp_path):
    pytest.importorskip("skimage")
    plan = TrainingPlan(steps=1, batch=8, width=8, multipliers=(1, 2))
    list(train(plan, tmp_path / "c"))
    with pytest.raises(ModelError, match="MD57"):
        next(train(TrainingPlan(steps=2, batch=8, width=8, multipliers=(1, 2)), tmp_path / "c"))


def test_training_learns_and_goes_on_exactly_where_it_stopped(tmp_path):
    pytest.importorskip("skimage")
    plan = TrainingPlan(steps=12, batch=8, width=8, multipliers=(1, 2), warmup=2)
    rows = list(train(plan, tmp_path / "whole", every=4))
    assert rows[-1]["held_out"] < rows[0]["held_out"]
    half = TrainingPlan(**{**plan.__dict__})
    generator = train(half, tmp_path / "parts", every=4)
    next(generator)
    generator.close()
    assert [r["step"] for r in train(half, tmp_path / "parts", every=4)] == [8, 12]
    a, b = (torch.load(tmp_path / name, weights_only=True)["ema"] for name in ("whole", "parts"))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_crops_are_square_grey_and_in_range():
    rng = np.random.default_rng(0)
    x = crops([[torch.rand(3, 80, 100) * 2 - 1]], 5, 32, rng)
    assert x.shape == (5, 1, 32, 32)
    assert x.abs().max() <= 1
