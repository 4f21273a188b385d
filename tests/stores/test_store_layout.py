"""Paths of a run."""

from __future__ import annotations

from pathlib import Path

from astro_ood.stores import RunPaths, complete_shards


def test_paths():
    paths = RunPaths(Path("r"))
    assert paths.latents(3) == Path("r/latents/0003")
    assert paths.samples(12) == Path("r/samples/0012")
    assert [p.name for p in (paths.fields, paths.prior, paths.proposals, paths.logs)] == ["fields", "prior", "proposals", "logs"]
    assert [p.name for p in (paths.scores_csv, paths.scores_json, paths.report)] == ["scores.csv", "scores.json", "report.html"]


def test_complete_shards_have_a_manifest_and_a_number(tmp_path):
    for name in ("0000", "0002", "10000", "0001.tmp-3-h", "notes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").touch()
    (tmp_path / "0003").mkdir()
    assert [path.name for path in complete_shards(tmp_path)] == ["0000", "0002", "10000"]
    assert complete_shards(tmp_path / "nowhere") == []
