"""A run whose network onnxruntime evaluates: the same latents, another entry in their provenance."""

import importlib.util
import os

import numpy as np
import pytest

from astro_ood import stages
from astro_ood.config import Config, Criteria, Data, Decoding, Inversion, Model, Prior, Proposal
from astro_ood.errors import ConfigError
from astro_ood.launch import check_config, plan_config
from astro_ood.maps import gaussian_field
from astro_ood.stores import open_shards

installed = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="the extra onnx is not installed",
)


@pytest.fixture
def make(tmp_path, monkeypatch, tiny_network):
    """A configuration by its name and the entries of its model."""
    monkeypatch.chdir(tmp_path)
    np.save("maps.npy", gaussian_field(8, 16, -3.0, np.random.default_rng(0)).astype(np.float32))

    def configured(name, **model):
        return Config(
            name=name,
            data=Data(files=["maps.npy"], patch=None, axis0="maps", stretch="linear", unit="K"),
            model=Model(name=str(tiny_network[0]), device="cpu", **model),
            inversion=Inversion(n_steps=4, shards=1, check_t_0=[]),
            prior=Prior(kind="spectral"),
            proposal=Proposal(kind="lol", n=4, k=2),
            criteria=Criteria(kind="calibrated"),
            decoding=Decoding(guidance=None),
        )

    return configured


@installed
def test_latents_are_those_of_torch(make):
    latents = {}
    for name, runtime in (("plain", "torch"), ("fast", "onnxruntime")):
        config = make(name, onnx=name == "fast")
        stages.prepare(config)
        stages.invert(config, 0)
        store = open_shards(config.run / "latents", "latents")
        assert store.shards[0].manifest.model["runtime"] == runtime
        latents[name] = store.load("z")
    assert np.sqrt(np.mean((latents["fast"] - latents["plain"]) ** 2)) < 1e-4 * latents["plain"].std()
    assert not np.array_equal(latents["fast"], latents["plain"])


@installed
def test_the_plan_says_what_is_gained(make):
    import torch

    threads = torch.get_num_threads()
    config = make("plan", channels_last=True)
    (line,) = (line for line in plan_config(config) if line.startswith("execution:"))
    for way in ("channels_last x ", "bf16 and channels_last x ", "onnx x "):
        assert way in line
    assert ("two threads x " in line) == (os.cpu_count() > 1)
    assert torch.get_num_threads() == config.model.threads == threads


def test_the_plan_of_a_machine_without_it(make, monkeypatch):
    monkeypatch.setattr("astro_ood.diffusion.onnx.find_spec", lambda name: None)
    (line,) = (line for line in plan_config(make("plan")) if line.startswith("execution:"))
    assert "channels_last x" in line
    assert "onnx" not in line.split("(")[0]


def test_a_check_refuses_what_does_not_go_together(make):
    with pytest.raises(ConfigError, match=r"AOD-CF44 precision: found bf16 with onnx, expected fp32"):
        list(check_config(make("both", onnx=True, precision="bf16")))
