"""The configurations of other domains, on the real files where these are present; one small run through all stages."""

import json
import math
import re

import numpy as np
import pytest
from astropy.io import fits

import astro_ood as ao
from astro_ood import stages
from astro_ood.config import Config, load
from astro_ood.stages.fields import select

# configuration: files, unit, maps to invert, fewest held-out maps
DOMAINS = {
    "bolocam": (["gc_bolocam_gps"], "Jy / beam", 24, 30),
    "spitzer": (["spitzer_example_image"], "MJy / sr", 24, 50),
    "horsehead": (["HorseHead"], "", 24, 60),
    "mhd": (["pywst_I_1", "pywst_I_2", "pywst_I_3"], "", 24, 60),
}


def link(shared, files, folder):
    """The files of a configuration below `folder`, as a user would put them there."""
    (folder / "data").mkdir()
    for name in files:
        source = shared / "data" / f"{name}.fits"
        if not source.is_file():
            pytest.skip(f"{source.name} is not beside the project")
        (folder / "data" / source.name).symlink_to(source)


def test_every_domain_is_tested(root):
    assert {p.stem for p in (root / "config/domains").iterdir()} == set(DOMAINS)


@pytest.mark.parametrize("name", DOMAINS)
def test_a_configuration_finds_its_maps(root, shared, tmp_path, monkeypatch, name):
    files, unit, n_inverted, held_out = DOMAINS[name]
    link(shared, files, tmp_path)
    monkeypatch.chdir(tmp_path)
    found = select(load(root / f"config/domains/{name}.yaml"))
    assert found.n_inverted == n_inverted
    assert len(found.images) - n_inverted >= held_out
    assert {image.unit for image in found.images} == {unit}
    assert {image.shape for image in found.images} == {(1, 64, 64)}


def cut_out(shared, folder):
    """A corner of the map of the Galactic Centre, NaN at its border, with the original header."""
    link(shared, ["gc_bolocam_gps"], folder)
    path = folder / "data/gc_bolocam_gps.fits"
    with fits.open(path) as hdus:
        hdu = fits.PrimaryHDU(hdus[0].data[:160, :256], hdus[0].header)
    path.unlink()
    hdu.writeto(path)


@pytest.fixture(scope="module")
def bolocam(root, shared, tmp_path_factory):
    """Few small maps of it, few steps, all stages."""
    folder = tmp_path_factory.mktemp("domain")
    cut_out(shared, folder)
    record = load(root / "config/domains/bolocam.yaml").model_dump()
    record["data"] |= {"patch": 32, "max_inverted": 8}
    record["inversion"] |= {"n_steps": 4, "shards": 1, "estimates": 2}
    record["decoding"] |= {"shards": 1, "guidance": {"steps": 1, "last": 10}}
    record["proposal"] |= {"n": 8}
    record["validation"] |= {"permutations": 99, "baselines": ["gaussian"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        config = Config.model_validate(record)
        stages.prepare(config)
        stages.invert(config, 0)
        stages.fit_prior(config)
        stages.propose(config)
        stages.decode(config, 0)
        stages.evaluate(config)
        stages.report(config)
        yield ao.open_run(folder / config.run)


def test_maps_stay_in_their_unit(bolocam):
    real, new = (np.asarray(maps) for maps in (bolocam.fields, bolocam.samples))
    assert bolocam.samples.unit == "Jy / beam"
    assert np.isfinite(new).all()
    # values on either side of zero, of the size of the real ones
    assert new.min() < 0 < new.max()
    assert 0.2 < new.std() / real.std() < 5


def test_scores_hold_numbers_and_words_of_the_list(bolocam):
    text = (bolocam.root / "scores.json").read_text(encoding="utf-8")
    rows = json.loads(text)["rows"]
    assert "NaN" not in text
    assert {row["verdict"] for row in rows} <= {"no difference detected", "different", "undecided", "novel", "copies"}
    assert all(math.isfinite(row["value"]) for row in rows)
    lengths = [
        row["length"] for row in rows if row["statistic"] in ("spectrum", "increments", "bispectrum", "scattering") and row["scale"]
    ]
    assert 0.1 < min(lengths) < max(lengths) < 10
    assert {row["length_unit"] for row in rows if row["length"]} == {"arcmin"}


def test_the_report_says_what_was_done_in_words(bolocam):
    page = (bolocam.root / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"<style.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    assert "1.1 mm dust continuum of the Galactic Centre" in text
    assert "Jy / beam" in text
    assert re.search(r"\d+ of 40 maps with NaN dropped", text)
    assert "0.12 × 0.12 arcmin" in text
    assert not re.search(r"\b(nan|inf)\b|[=:] None", text)
    assert ("with these numbers of maps and regions" in text) or ("with fewer than 8" in text.lower())
    assert bolocam.scores.status in ("fails", "undecided")
    assert bolocam.scores.verdict.split(":")[0].split(" ")[0] in ("fails", "undecided")
    assert "moved towards" in text
