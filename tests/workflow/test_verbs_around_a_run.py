"""Plan, compare and check: verbs that only look."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from astro_ood._resources import resource


def test_plan_counts_the_evaluations_that_the_run_makes(toy, astro_ood, monkeypatch):
    monkeypatch.chdir(toy.cwd)
    ended = astro_ood("plan", toy.run / "config.yaml")
    assert ended.status == 0
    lines = dict(line.split(": ", 1) for line in ended.out.splitlines())
    steps, checks = toy.config.inversion.n_steps, len(toy.config.inversion.check_t_0 or [])
    up, fine = steps, 2 * steps - 1
    assert f"{2 * up} evaluations each (+ {fine + 2 * checks * up} for errors" in lines["invert"]
    assert f"{toy.config.proposal.n} maps, {steps} evaluations each" in lines["decode"]
    assert {"disk", "memory", "network time"} <= set(lines)


def test_compare_puts_runs_side_by_side(toy, astro_ood):
    ended = astro_ood("compare", toy.run, toy.run)
    assert ended.status == 0
    head, first, second = ended.out.splitlines()
    assert head.split() == ["run", "status", "round", "trip", "worst", "P(k)", "distance", "ratio", "verdict"]
    assert first == second
    assert first.startswith("toy")


def test_compare_refuses_what_is_no_run(astro_ood, tmp_path):
    ended = astro_ood("compare", tmp_path / "nothing")
    assert ended.status == 2
    assert ended.err.startswith("error AOD-ST01")


def test_embedded_network_is_what_its_card_says(astro_ood):
    ended = astro_ood("models", "check")
    assert ended.status == 0, ended.out
    assert ended.out.count("ok  ") == 6


@pytest.mark.parametrize("fault", ["noise", "scale"])
def test_network_that_is_not_what_its_card_says_fails_the_check(astro_ood, tmp_path, fault):
    card = resource("data/models/photos32.json")
    state = load_file(resource("data/models/photos32.safetensors"))
    if fault == "noise":
        state = {k: torch.randn_like(v) * 0.02 for k, v in state.items()}
    else:
        state["tail.weight"] = state["tail.weight"] * 2
    path = tmp_path / "wrong.safetensors"
    save_file(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".json").write_text(json.dumps({**json.loads(card.read_text()), "sha256": digest}))
    ended = astro_ood("models", "check", path)
    assert ended.status == 1
    assert "FAIL" in ended.out
