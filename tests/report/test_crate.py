import json
import re
from dataclasses import replace

import numpy as np
import pytest
from crate_support import ids, read_crate
from report_fixture import make
from test_page import poisoned

from astro_ood.report.crate import write_crate
from astro_ood.stores import Variable, manifest_hash, verify_run, write_store
from astro_ood.stores.provenance import provenance


@pytest.fixture(scope="module")
def data():
    return make()


@pytest.fixture
def root(tmp_path):
    """Directory of a run with two real stores, one of them in shards, and the files around them."""
    maps = np.ones((4, 1, 8, 8), dtype=np.float32)
    real = {"field": Variable(maps, ("item", "channel", "y", "x"), "K")}
    write_store(tmp_path / "fields", real, stage="fields", attrs={}, settings={"data": {}}, inputs={})
    for i in range(2):
        write_store(
            tmp_path / f"latents/{i:04d}",
            {"z": Variable(maps[: 2 - i], ("item", "channel", "y", "x"))},
            stage="latents",
            attrs={"items": [[0, 1], [2]][i], "n_shards": 2},
            settings={"model": {"name": "default"}},
            inputs={"fields": manifest_hash(tmp_path / "fields")},
            model={"name": "default", "sha256": "0" * 64},
        )
    for name in ("config.yaml", "scores.csv", "scores.json", "report.html", "methods.txt"):
        (tmp_path / name).write_text(f"{name}\n")
    return tmp_path


def described(data, root, **changes):
    """Entities of the crate of some data in a directory."""
    stores = [{**entry, "inputs_ok": True} for entry in provenance(root)["stores"]]
    write_crate(replace(data, provenance=[*stores, *data.provenance[-1:]], **changes), root)
    return read_crate(root)


def test_a_run_is_described_as_the_specifications_require(data, root):
    before = {path.name for path in root.iterdir()}
    found = described(data, root)
    assert {path.name for path in root.iterdir()} == before | {"ro-crate-metadata.json"}
    assert found["./"]["name"] == data.title
    assert set(ids(found["./"]["hasPart"])) == {
        *("config.yaml", "scores.csv", "scores.json", "report.html", "methods.txt"),
        *("fields/", "latents/"),
    }
    assert verify_run(root) == []


def test_stores_are_datasets_with_units(data, root):
    found = described(data, root)
    array = found[found["fields/"]["variableMeasured"]["@id"]]
    assert (array["name"], array["unitText"]) == ("field", "K")
    assert array["description"] == "item 4 × channel 1 × y 8 × x 8, float32"
    assert found[found["latents/"]["variableMeasured"]["@id"]]["description"].startswith("item 3 ×")
    assert "unitText" not in found[found["latents/"]["variableMeasured"]["@id"]]
    assert ids(found["latents/"]["hasPart"]) == ["latents/0000/manifest.json", "latents/0001/manifest.json"]


def test_actions_say_what_was_made_from_what(data, root):
    found = described(data, root)
    assert set(ids(found["./"]["mentions"])) == {"#prepare", "#invert", "#evaluate", "#report"}
    assert ids(found["#prepare"]["object"]) == ["#input-0", "config.yaml"]
    assert ids(found["#invert"]["object"]) == ["fields/", "#network", "config.yaml"]
    assert json.loads(found["#invert"]["description"].removeprefix("Settings: ")) == {"model": {"name": "default"}}
    assert json.loads(found["#evaluate"]["description"].removeprefix("Settings: ")) == {"validation": {"permutations": 4999}}
    assert ids(found["#report"]["result"]) == ["report.html", "methods.txt"]
    software = found[found["#invert"]["instrument"]["@id"]]
    assert software["name"] == "astro-ood"
    assert {found[i]["name"] for i in ids(software["softwareRequirements"])} >= {"python", "numpy", "zarr"}


def test_files_outside_are_described_and_not_claimed(data, root):
    found = described(data, root)
    read = found["#input-0"]
    assert read["@type"] == "CreativeWork"
    assert read["name"] == data.data.files[0]["path"]
    assert read["sha256"] == data.data.files[0]["sha256"]


@pytest.mark.parametrize(
    ("licence", "expected"),
    [("MIT", {"@id": "https://spdx.org/licenses/MIT"}), ("ask me", "ask me"), ("not stated", None), ("", None)],
)
def test_a_licence_is_named_where_it_is_known(data, root, licence, expected):
    found = described(data, root, model={**data.model, "licence": licence})
    assert found["#network"].get("license") == expected
    assert found["./"]["license"] == {"@id": "#licence"}
    assert found["#licence"]["name"] == "No licence stated"


def test_what_is_cited_is_described(data, root):
    found = described(data, root)
    assert "https://arxiv.org/abs/2310.09213" in ids(found["./"]["citation"])
    assert found["https://arxiv.org/abs/2310.09213"]["@type"] == "ScholarlyArticle"


def test_an_unfinished_run_is_described_too(data, root):
    for name in ("scores.csv", "scores.json", "report.html", "methods.txt", "config.yaml"):
        (root / name).unlink()
    found = described(data, root)
    assert set(ids(found["./"]["mentions"])) == {"#prepare", "#invert"}


def test_hostile_words_are_only_words(data, root):
    found = described(poisoned(data), root, created="2026-01-05T10:31:07+00:00")
    text = (root / "ro-crate-metadata.json").read_text(encoding="utf-8")
    assert not re.search("[\x00\u202e\ud800]", text)
    assert "<script>alert(1)</script>" in found["./"]["name"]
    assert not any("<" in name for name in found)
