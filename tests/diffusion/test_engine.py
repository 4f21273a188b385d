"""The embedded network on real maps: identity of results, errors, refusals."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from astro_ood._resources import resource
from astro_ood.diffusion import engine
from astro_ood.diffusion.hub import list_models, open_model
from astro_ood.diffusion.presets import choose
from astro_ood.diffusion.train import TrainingPlan, crops, train
from astro_ood.errors import InputError, ModelError, RunError


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
    whole = engine.decode(model, z, preset, eta=1.0, seed=5, micro_batch=3)
    part = engine.decode(model, z[2:], preset, eta=1.0, seed=5, items=np.array([2, 3]), micro_batch=3)
    other = engine.decode(model, z, preset, eta=1.0, seed=6, micro_batch=3)
    assert np.array_equal(whole[2:], part)
    assert not np.allclose(whole, other)


def test_refuses_shapes_that_the_network_cannot_take(model):
    preset = choose("fast", model.schedule)
    with pytest.raises(InputError, match=r"IN31.*multiples of 4"):
        engine.invert(model, np.zeros((2, 1, 30, 32), np.float32), preset)
    with pytest.raises(InputError, match=r"IN32.*3 channels"):
        engine.invert(model, np.zeros((2, 3, 32, 32), np.float32), preset)


def test_values_that_are_not_finite_stop_the_run(model):
    x = np.zeros((2, 1, 32, 32), np.float32)
    x[1, 0, 3, 3] = np.inf
    with pytest.raises(RunError, match=r"RN60.*1 of 2"):
        engine.decode(model, x, choose("fast", model.schedule, n_steps=2))


def test_unknown_device():
    with pytest.raises(ModelError, match="MD01"):
        engine.pick_device("abacus")


def test_network_is_frozen_and_has_no_fixed_size(model):
    assert not any(p.requires_grad for p in model.net.parameters())
    assert not model.net.training
    for size in (32, 64, 48):
        assert model.eps(torch.zeros(2, 1, size, size), 10.0).shape == (2, 1, size, size)


def test_card_tells_what_the_weights_are():
    card = list_models()["photos32"]
    weights = resource("data/models/photos32.safetensors")
    assert weights.stat().st_size < 20e6
    assert card["parameters"] == sum(v.numel() for v in load_file(weights).values())
    assert card["licence"] == "MIT"


def test_embedded_network_denoises_its_own_domain(model):
    from astro_ood.diffusion.train import HELD_OUT, eps_loss, load_photographs

    loss = eps_loss(model.net, load_photographs((HELD_OUT,)), model.schedule, n=64)
    assert loss < 0.05


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
        open_model(path, arch="resnet", config=card)


def test_weights_with_nan_are_refused(tiny_network):
    path, card, net = tiny_network
    state = net.state_dict()
    state["tail.bias"] = torch.full_like(state["tail.bias"], float("nan"))
    save_file(state, path)
    with pytest.raises(ModelError, match=r"MD52.*tail.bias"):
        open_model(path, config={**card, "sha256": None})


@pytest.mark.parametrize(("name", "code"), [("net.pt", "MD50"), ("missing.safetensors", "MD03"), ("unheard-of", "MD03")])
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
        ({"schedule": {"kind": "cosine"}}, "MD53"),
        ({"parameterisation": "v"}, "MD53"),
        ({"range": [0, 1]}, "MD53"),
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
