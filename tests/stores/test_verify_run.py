"""Every damage to a run is found and named, and provenance knows what is stale."""

from __future__ import annotations

import random
import shutil

import pytest
from stores_support import write, write_shard

from astro_ood.stores import open_store, verify_run
from astro_ood.stores.provenance import environment, provenance


def test_an_undamaged_run_has_no_problem(run):
    assert verify_run(run.root) == []
    run.report.touch()
    run.logs.mkdir()
    (run.fields / ".snakemake_timestamp").touch()
    assert verify_run(run.root) == []


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "append"])
def test_random_damage_is_always_found(run, damage):
    files = sorted(path for path in run.root.rglob("*") if path.is_file())
    rng = random.Random(damage)
    for path in [rng.choice(files) for _ in range(150)]:
        whole = path.read_bytes()
        changed = bytearray(whole)
        if damage == "flip":
            changed[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        elif damage == "truncate":
            del changed[rng.randrange(len(whole)) :]
        elif damage == "append":
            changed += bytes([rng.randrange(256)])
        path.unlink() if damage == "delete" else path.write_bytes(changed)
        problems = verify_run(run.root)
        named = path.parent if (damage, path.name) == ("delete", "manifest.json") else path
        assert any(problem.path == named or str(path) in problem.what for problem in problems), (path, problems)
        path.write_bytes(whole)
    assert verify_run(run.root) == []


def test_several_damages_are_all_named(run):
    chunks = [path for path in run.root.rglob("*") if path.is_file() and "/c/" in str(path)]
    assert len(chunks) == 8
    for path in chunks:
        path.unlink()
    extra = run.prior / "data.zarr" / "x" / "partial"
    extra.touch()
    assert {problem.path for problem in verify_run(run.root)} >= {*chunks, extra}


def test_half_finished_stores_empty_stages_and_lost_shards_are_named(run):
    half = run.root / "samples" / "0000.tmp-12-host" / "new"
    half.mkdir(parents=True)
    run.proposals.mkdir()
    shutil.rmtree(run.latents(1))
    problems = {problem.path: problem.what for problem in verify_run(run.root)}
    assert set(problems) == {half.parent, run.proposals, run.root / "latents"}
    assert "0001" in problems[run.root / "latents"]


def test_nothing_to_verify_is_a_problem(tmp_path):
    assert [problem.what for problem in verify_run(tmp_path)] == ["holds no store"]
    assert [problem.what for problem in verify_run(tmp_path / "nowhere")] == ["holds no store"]


def test_a_single_store_can_be_verified(run):
    assert verify_run(run.fields) == []
    (run.fields / "notes.txt").touch()
    assert [problem.path for problem in verify_run(run.fields)] == [run.fields / "notes.txt"]


def states(run):
    return {
        entry["store"]: {name: item["state"] for name, item in entry["inputs"].items()} for entry in provenance(run.root)["stores"]
    }


def test_the_chain_is_told_in_order_with_the_state_of_its_inputs(run):
    assert list(states(run)) == ["fields", "latents/0000", "latents/0001", "prior"]
    assert states(run)["prior"] == {"latents/0000": "current", "latents/0001": "current"}
    write(run.fields, seed=8, overwrite=True)
    assert states(run)["latents/0001"] == {"fields": "stale"}
    assert states(run)["prior"] == {"latents/0000": "current", "latents/0001": "current"}
    shutil.rmtree(run.latents(0))
    assert states(run)["prior"] == {"latents/0000": "missing", "latents/0001": "current"}


def test_provenance_survives_a_damaged_manifest(run):
    (run.fields / "manifest.json").write_text("{")
    entries = {entry["store"]: entry for entry in provenance(run.root)["stores"]}
    assert "AOD-ST02" in entries["fields"]["problem"]
    assert entries["latents/0000"]["inputs"]["fields"]["state"] == "missing"
    assert entries["prior"]["settings"] == open_store(run.prior).manifest.settings
    assert isinstance(entries["prior"]["command"], str)
    assert {"platform", "cpus", "versions"} <= set(environment())


def test_mixed_shards_are_a_problem(run):
    write_shard(run.root / "latents", 1, [1, 3], settings={"patch": 9}, overwrite=True)
    assert any("settings_hash" in problem.what for problem in verify_run(run.root))
