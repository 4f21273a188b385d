"""Runs that leave solver and micro-batch to a probe, networks of three channels, items that are left out."""

import numpy as np
import pytest
import torch

import astro_ood as ao
from astro_ood import stages
from astro_ood.config import Config, Criteria, Data, Decoding, Inversion, Model, Prior, Proposal, Validation
from astro_ood.diffusion import engine
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.maps import gaussian_field
from astro_ood.stores import open_shards, open_store, verify_run

N = 16


@pytest.fixture
def maps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("maps.npy", gaussian_field(N, 31, -3.0, np.random.default_rng(0)).astype(np.float32))
    return "maps.npy"


def make(maps, network, data=None, model=None, inversion=None):
    return Config(
        name="run",
        data=Data(files=[maps], patch=None, axis0="maps", stretch="linear", unit="K", **(data or {})),
        model=Model(name=str(network), device="cpu", **(model or {})),
        inversion=Inversion(**{"n_steps": 4, "shards": 2, "check_t_0": [], **(inversion or {})}),
        prior=Prior(kind="spectral"),
        proposal=Proposal(kind="lol", n=4, k=2),
        criteria=Criteria(kind="calibrated"),
        decoding=Decoding(guidance=None),
        validation=Validation(permutations=99),
    )


def run(config):
    stages.prepare(config)
    if config.probes:
        stages.probe(config)
    for shard in range(2):
        stages.invert(config, shard)
    stages.fit_prior(config)
    stages.propose(config)
    for shard in range(2):
        stages.decode(config, shard)
    stages.evaluate(config)
    stages.report(config)
    assert verify_run(config.run) == []
    return ao.open_run(config.run)


def test_a_probe_decides_once_for_all_shards(maps, tiny_network):
    inversion = {"preset": "tolerance", "tolerance": "20%", "n_steps": None}
    config = make(maps, tiny_network[0], {"crop": 4}, {"micro_batch": "auto"}, inversion)
    done = run(config)
    chosen = open_store("results/run/probe").attrs
    origin = open_shards("results/run/latents", "latents").attrs["origin"]
    assert origin["preset"] == "tolerance"
    assert all(origin[key] == chosen[key] for key in ("solver", "n_steps", "t_0", "micro_batch"))
    assert chosen["met"]
    trips = open_shards("results/run/latents", "latents").load("round_trip")
    assert np.median(trips) < 0.2
    assert done.fields.shape[2:] == (28, 28)


def test_a_probe_keeps_to_solver_and_cap(maps, tiny_network):
    inversion = {"preset": "tolerance", "tolerance": "1e-7", "n_steps": 20, "solver": "heun"}
    config = make(maps, tiny_network[0], {"crop": 4}, inversion=inversion)
    stages.prepare(config)
    stages.probe(config)
    store = open_store("results/run/probe")
    assert store.attrs["solver"] == "heun"
    assert store.load("evaluations").max() <= 20
    assert not store.attrs["met"]


def test_a_probe_of_the_micro_batch_leaves_the_solver_alone(maps, tiny_network):
    config = make(maps, tiny_network[0], {"crop": 4}, {"micro_batch": "auto"}, {"preset": "paper", "n_steps": 12})
    stages.prepare(config)
    stages.probe(config)
    attrs = open_store("results/run/probe").attrs
    assert (attrs["solver"], attrs["n_steps"], attrs["t_0"]) == ("ddim", 12, 900)


def test_the_micro_batch_that_memory_allowed_is_recorded(maps, tiny_network, monkeypatch, caplog):
    before = Denoiser.raw

    def full(denoiser, x_t, t):
        if len(x_t) > 3:
            raise torch.OutOfMemoryError("the device is full")
        return before(denoiser, x_t, t)

    monkeypatch.setattr(Denoiser, "raw", full)
    run(make(maps, tiny_network[0], {"crop": 4}, {"micro_batch": 8}))
    assert "going on with a micro-batch of 2" in caplog.text
    for stage in ("latents", "samples"):
        assert [shard.attrs["micro_batch_used"] for shard in open_shards(f"results/run/{stage}", stage).shards] == [2, 2]
    assert open_shards("results/run/latents", "latents").attrs["origin"]["micro_batch"] == 8


def test_one_map_in_three_channels(maps, tiny_three):
    done = run(make(maps, tiny_three, {"channels": "replicate", "fit": "pad"}))
    assert done.latents.shape[1:] == (3, 32, 32)
    assert done.samples.shape[1:] == (1, 31, 31)
    spread = open_shards("results/run/samples", "samples").load("channel_spread")
    assert (spread > 0).all()
    assert "channels of the network disagree" in (done.root / "report.html").read_text()


def test_three_maps_in_one_image(maps, tiny_three):
    done = run(make(maps, tiny_three, {"channels": "stack", "crop": 4}))
    # 8 maps to invert and 8 held out make 2 images each
    assert done.fields.shape == (4, 3, 28, 28)
    assert done.samples.shape == (4, 3, 28, 28)
    assert len(done.scores.curves["novelty"]["synthetic"]) == 12


def test_items_that_are_left_out_are_missed_nowhere(maps, tiny_network, monkeypatch):
    """One latent outside the band of noise: its map stays among the real ones, its latent is no parent."""
    before = engine.Inversion.usable.fget

    def without_the_fourth(found):
        good = before(found).copy()
        good[3] = False
        return good

    monkeypatch.setattr(engine.Inversion, "usable", property(without_the_fourth))
    done = run(make(maps, tiny_network[0], {"fit": "pad"}))
    store = open_shards("results/run/latents", "latents")
    lost = [done.fields.ids[i] for shard in store.shards for i in shard.attrs["left_out"]]
    assert len(lost) == 2
    assert not set(lost) & set(store.attrs["ids"])
    samples = open_shards("results/run/samples", "samples")
    assert not set(lost) & set(samples.attrs["parent_ids"])
    assert len(done.samples) == 4
    assert "2 latents are not finite or no noise" in (done.root / "report.html").read_text()
