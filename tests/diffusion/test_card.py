"""The card that training leaves: enough to open the weights, and measured, not claimed."""

import json

import pytest

from astro_ood.diffusion.card import describe
from astro_ood.diffusion.hub import open_model
from astro_ood.diffusion.train import TrainingPlan, train

pytest.importorskip("skimage", reason="the photographs come with scikit-image")


def test_trained_weights_open_with_their_card(tmp_path):
    plan = TrainingPlan(steps=2, batch=8, width=8, multipliers=(1, 2))
    list(train(plan, tmp_path / "net.checkpoint"))
    out = tmp_path / "net.safetensors"
    card = describe(plan, tmp_path / "net.checkpoint", out, n=2)
    assert json.loads(out.with_suffix(".json").read_text()) == json.loads(json.dumps(card))
    model = open_model(out, device="cpu")
    assert model.sha256 == card["sha256"]
    assert model.stride == 2
    assert card["training"]["steps"] == card["loss_curve"][-1]["step"] == 2
    assert card["training"]["seconds"] > 0
    # after two steps the network has learned next to nothing: the card must say so
    assert card["held_out_eps_loss"]["32"] > 0.3
    assert set(card["in_domain"]) == {"t_0=300", "t_0=700", "t_0=900"}
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
