"""Stages called directly, through a tiny network with random weights: what a run must not depend on, and what it must keep."""

import numpy as np
import pytest
from astropy.io import fits

from astro_ood import config as sections
from astro_ood import stages
from astro_ood.api.run import open_run
from astro_ood.config import Config, Criteria, Data, Decoding, Diagnostics, Guidance, Inversion, Model, Prior, Proposal, Validation
from astro_ood.diffusion.hub import open_model
from astro_ood.errors import AstroOodError, ConfigError, InputError, ModelError
from astro_ood.latents import criteria
from astro_ood.launch import plan_config
from astro_ood.maps import Stretch, gaussian_field
from astro_ood.stages import prior as prior_stage
from astro_ood.stats.transfer import Transfer
from astro_ood.stores import ShardedStore, open_shards, open_store

N = 8


@pytest.fixture
def network(tiny_network):
    return tiny_network[0]


@pytest.fixture
def files(tmp_path):
    fields = np.exp(gaussian_field(N, 32, -3.0, np.random.default_rng(0)))
    names = []
    for i, field in enumerate(fields):
        names.append(str(tmp_path / f"map{i}.fits"))
        header = fits.Header({"BUNIT": "Jy/beam"})
        fits.PrimaryHDU(field.astype(np.float32), header).writeto(names[-1])
    return names


def make(name, files, network, **changes):
    """Combinations of latents that meet criteria, unguided, unless a test says otherwise."""
    data = {"files": files, "patch": 32, "stretch": "log10", **changes.pop("data", {})}
    usual = {"prior": Prior(kind="spectral"), "criteria": Criteria(kind="calibrated"), "decoding": Decoding(guidance=None)}
    return Config(
        name=name,
        data=Data(**data),
        model=Model(name=str(network), micro_batch=4, device="cpu"),
        inversion=Inversion(n_steps=3, shards=1, **changes.pop("inversion", {})),
        proposal=Proposal(kind="lol", n=4, k=2),
        validation=Validation(permutations=99),
        **(usual | changes),
    )


def run(config):
    stages.prepare(config)
    for shard in range(config.inversion.shards):
        stages.invert(config, shard)
    stages.fit_prior(config)
    stages.propose(config)
    for shard in range(config.decoding.shards):
        stages.decode(config, shard)
    return open_run(config.run)


def test_order_of_the_files_changes_no_sample(files, network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = run(make("first", files, network))
    second = run(make("second", files[::-1], network))
    assert first.samples.ids == second.samples.ids
    assert np.array_equal(np.asarray(first.samples), np.asarray(second.samples))
    parents = [open_shards(r.root / "samples", "samples").load("parents") for r in (first, second)]
    assert np.array_equal(*parents)


def test_convertible_units_become_one(files, network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with fits.open(files[5], mode="update") as opened:
        opened[0].data = opened[0].data * 1000
        opened[0].header["BUNIT"] = "mJy/beam"
    stages.prepare(make("units", files, network))
    view = open_run("results/units").fields
    order = [int(name[3:].split(":")[0]) for name in view.ids]
    reference = np.exp(gaussian_field(N, 32, -3.0, np.random.default_rng(0)))[order]
    np.testing.assert_allclose(np.asarray(view)[:, 0], reference, rtol=1e-5)
    assert view.unit == "Jy / beam"


def test_values_beyond_single_precision_survive(files, network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in files:
        with fits.open(name) as opened:
            bright = opened[0].data.astype(np.float64) * 1e42
        fits.PrimaryHDU(bright, fits.Header({"BUNIT": "erg/s"})).writeto(name, overwrite=True)
    done = run(make("bright", files, network))
    assert done.fields.data.dtype == done.samples.data.dtype == np.float64
    assert np.asarray(done.fields).min() > 1e40
    assert np.isfinite(np.asarray(done.samples)).all()


def test_only_the_network_that_inverted_decodes(files, network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = make("other", files, network)
    stages.prepare(config)
    stages.invert(config, 0)
    stages.fit_prior(config)
    stages.propose(config)
    default = config.model_copy(update={"model": Model(name="default", device="cpu")})
    with pytest.raises(ModelError, match=r"MD56.*inverted through net"):
        stages.decode(default, 0)


def test_round_trip_is_checked_at_the_published_time_by_default(files, network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = make("check", files, network)
    stages.prepare(config)
    stages.invert(config, 0)
    store = open_store("results/check/latents/0000")
    assert store.attrs["check_t_0"] == [900.0]
    assert store.load("round_trip_check").shape == (N, 1)
    assert store.manifest.model["device"] == "cpu"
    assert store.manifest.model["sha256"] == open_model(network, device="cpu").sha256


def test_patterns_name_files(files, network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sections.expand([str(tmp_path / "map*.fits")]) == sorted(files)
    assert sections.expand([*files[:2], files[0]]) == sorted(files[:2])
    with pytest.raises(InputError, match=r"IN34.*no file matches"):
        sections.expand(["nothing*.fits"])


def test_too_many_file_names_ask_for_a_pattern(network):
    config = make("long", [f"maps/{i:0100d}.fits" for i in range(1000)], network)
    with pytest.raises(ConfigError, match=r"CF03.*pattern"):
        config.settings("data")
    assert len(config.settings("model", "inversion")) < 2000


def test_stage_settings_are_enough_for_the_stage(files, network):
    config = make("part", files, network)
    for keys in (("data",), ("model", "inversion"), ("seed", "prior", "criteria"), ("title", "seed", "validation")):
        part = sections.load(config.settings(*keys))
        assert part.name == config.name
        assert all(getattr(part, key) == getattr(config, key) for key in keys)


def test_stages_refuse_what_is_not_there(network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = make("none", ["missing.fits"], network)
    for stage in (stages.prepare, stages.fit_prior, stages.propose, stages.evaluate, stages.report):
        with pytest.raises(AstroOodError, match="AOD-"):
            stage(config)
    with pytest.raises(AstroOodError, match="AOD-ST01"):
        stages.invert(config, 0)


def test_files_that_gave_no_map_are_not_listed_as_read(files, network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with fits.open(files[2], mode="update") as opened:
        opened[0].data[3, 3] = -1
    stages.prepare(make("odd", files, network, data={"on_error": "skip"}))
    attrs = open_store("results/odd/fields").attrs
    assert [f["path"] for f in attrs["files"]] == files[:2] + files[3:]
    (skipped,) = attrs["skipped"]
    assert skipped[0].startswith(files[2])
    assert "AOD-IN19" in skipped[1]


def test_priors_and_proposals_hold_a_block_at_a_time(files, network, tmp_path, monkeypatch):
    """Whatever the blocks, the prior and the proposals are the same, and no more latents are in memory than a block or the references."""
    monkeypatch.chdir(tmp_path)
    config = make("whole", files, network, data={"inverted": None})
    run(config)
    stores = [open_store(config.run / name) for name in ("prior", "proposals")]
    whole = {name: store.load(name) for store in stores for name in store}
    monkeypatch.setattr(prior_stage, "BLOCK", 1)
    monkeypatch.setattr(criteria, "MOST_REFERENCES", 4)
    sizes = []
    load = ShardedStore.load

    def counted(self, name, rows=None):
        found = load(self, name, rows)
        if name == "z":
            sizes.append(len(found))
        return found

    monkeypatch.setattr(ShardedStore, "load", counted)
    stages.fit_prior(config, overwrite=True)
    assert max(sizes) <= 4
    assert sizes.count(1) >= 4
    stages.propose(config, overwrite=True)
    for path in (config.run / "prior", config.run / "proposals"):
        store = open_store(path)
        for name in store:
            np.testing.assert_allclose(store.load(name), whole[name], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("kind", ["isotropic_corrected", "diagonal", "lowrank", "wavelet"])
def test_every_prior_is_stored_and_drawn_from(files, network, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    config = make("kinds", files, network, prior=Prior(kind=kind), criteria=Criteria(kind="none"))
    config = config.model_copy(update={"proposal": Proposal(n=4, kind="gaussian")})
    samples = np.asarray(run(config).samples)
    assert np.isfinite(samples).all()
    assert len(samples) == 4


@pytest.mark.parametrize("kind", ["bands", "forward", "parent", "shell"])
def test_every_proposal_is_stored_with_its_parents(files, network, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    config = make("kinds", files, network, criteria=Criteria(kind="none"))
    run(config.model_copy(update={"proposal": Proposal(n=4, k=2, kind=kind, noise=0.25, t=200)}))
    store = open_store(config.run / "proposals")
    parents, weights = store.load("parents"), store.load("weights")
    columns = {"bands": 2 * 4, "forward": 1, "parent": 1, "shell": 1}[kind]
    assert parents.shape == weights.shape == (4, columns)
    assert (parents < len(store.attrs["parent_ids"])).all()
    if kind == "parent":
        np.testing.assert_allclose(weights, np.sqrt(1 - 0.25**2))
    assert store.attrs["origin"]["t_0"] == (200 if kind == "forward" else 700)
    assert ("model" in store.manifest.settings) == (kind == "forward")


def test_guided_maps_have_the_statistics_of_inverted_ones_in_any_division(files, network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    how = Guidance(steps=2, last=40)
    found = {}
    for name, shards, guidance in (("plain", 1, None), ("guided", 1, how), ("divided", 4, how)):
        # one map a call: another micro-batch would be another rounding
        config = make(name, files, network, decoding=Decoding(shards=shards, guidance=guidance), criteria=Criteria(kind="none"))
        config = config.model_copy(update={"model": config.model.model_copy(update={"micro_batch": 1})})
        found[name] = run(config)
    maps = {name: np.log10(np.asarray(opened.samples)[:, 0].astype(np.float64)) for name, opened in found.items()}
    np.testing.assert_array_equal(maps["guided"], maps["divided"])
    inverted = np.array(found["plain"].fields.attrs["split"]) == "inverted"
    real = np.log10(np.asarray(found["plain"].fields)[inverted, 0].astype(np.float64))
    far = {name: np.abs(np.sort(x.ravel()) - np.sort(np.resize(real, x.shape).ravel())).mean() for name, x in maps.items()}
    assert far["guided"] < 0.2 * far["plain"]
    store = open_shards(found["guided"].root / "samples", "samples").shards[0]
    assert store.manifest.settings["decoding"]["guidance"]["aim"] == "parent"
    assert set(store.manifest.inputs) == {"proposals", "fields"}


def test_a_transfer_function_is_one_for_all_shards_and_can_be_taken_back(files, network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = {}
    for name, shards, transfer in (("plain", 1, False), ("filtered", 1, True), ("divided", 2, True)):
        config = make(
            name, files, network, decoding=Decoding(guidance=None, shards=shards, transfer=transfer), criteria=Criteria(kind="none")
        )
        config = config.model_copy(update={"model": config.model.model_copy(update={"micro_batch": 1})})
        found[name] = run(config)
    np.testing.assert_array_equal(*(np.asarray(found[name].samples) for name in ("filtered", "divided")))
    store = open_shards(found["filtered"].root / "samples", "samples").shards[0]
    gains, stretch = Transfer.from_dict(store.attrs["transfer"]), Stretch.from_dict(store.attrs["stretch"])
    assert np.abs(np.log(gains.gain)).max() > 0.1
    plain, filtered = (stretch.forward(np.asarray(found[name].samples)) for name in ("plain", "filtered"))
    np.testing.assert_allclose(gains.inverse()(filtered), plain, atol=2e-4)
    assert open_shards(found["plain"].root / "samples", "samples").shards[0].attrs["transfer"] is None


def test_diagnostics_ask_the_network_where_they_should(files, network, tmp_path, monkeypatch):
    """Own maps among those that latents are told from; bandwidth and capture; the network recorded; the cost announced."""
    monkeypatch.chdir(tmp_path)
    config = make("asked", files, network, diagnostics=Diagnostics(trajectories=True, maps=2, etas=[0, 1], own=12))
    stages.prepare(config)
    stages.invert(config, 0)
    stages.diagnose(config)
    found = open_run(config.run).diagnostics
    assert found.record["settings"] == config.only("seed", "diagnostics", "model")
    assert found["told from own maps of the network"].value >= 0
    assert "own maps of the network: " in found["told from white noise"].words
    assert found["bandwidth"].verdict in ("holds", "does not hold", "undecided")
    curves = found.curves
    assert "captured" in found["interference"].words
    assert len(curves["bandwidth"]["noise"]) == 2
    assert curves["interference"]["etas"] == [0, 1]
    assert curves["interference"]["n"] == 4
    plan = next(line for line in plan_config(config) if line.startswith("diagnose:"))
    assert "12 maps of the network's own" in plan
