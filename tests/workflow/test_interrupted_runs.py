"""Runs that fail, are killed, or meet another run; and what brings them to an end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from workflow_support import environment, process, save

import astro_ood as ao
from astro_ood import stages
from astro_ood.config import Config, load
from astro_ood.stores import RunLock


def changed(config: Config, **sections: object) -> Config:
    record = config.model_dump()
    for name, values in sections.items():
        record[name] = record[name] | values if isinstance(values, dict) else values
    return Config.model_validate(record)


@pytest.fixture
def copied(toy, tmp_path) -> tuple[Path, Config]:
    """Working directory of a finished run, to be damaged, and its configuration."""
    cwd = tmp_path / "cwd"
    shutil.copytree(toy.cwd, cwd, symlinks=True)
    return cwd, load(cwd / "results/toy/config.yaml")


def test_an_error_inside_a_rule_is_the_users(copied):
    """The last line on stderr says what to do, the status is 2, and what was computed stays."""
    cwd, config = copied
    before = {name: (cwd / "results/toy" / name / "manifest.json").read_bytes() for name in ("fields", "latents/0002", "prior")}
    save(changed(config, proposal={"budget": 1}), cwd / "c.yaml")
    done = process(cwd, "astro_ood", "run", "c.yaml", "--cores", "1")
    assert done.returncode == 2, done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("error AOD-")]
    assert done.stderr.splitlines()[-1] == lines[-1]
    assert lines[-1].startswith("error AOD-RN13 criteria calibrated: ")
    assert "of 1 candidates accepted, 7 wanted" in lines[-1]
    assert "Traceback" not in done.stderr
    assert not (cwd / "results/toy/.astro-ood.lock").exists()
    assert not (cwd / "results/toy/proposals/manifest.json").exists()
    for name, content in before.items():
        assert (cwd / "results/toy" / name / "manifest.json").read_bytes() == content


def test_a_killed_run_goes_on(copied, toy):
    """SIGKILL between two shards; `--resume` ends the run."""
    cwd, config = copied
    path = save(changed(config, decoding={"eta": 0.5}), cwd / "c.yaml")
    command = [sys.executable, "-m", "astro_ood", "run", path.name, "--cores", "1"]
    running = subprocess.Popen(
        command, cwd=cwd, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    shard = cwd / "results/toy/samples/0000/manifest.json"
    old = shard.stat().st_mtime_ns
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and running.poll() is None and not (shard.is_file() and shard.stat().st_mtime_ns != old):
            time.sleep(0.05)
        assert running.poll() is None
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    assert (cwd / "results/toy/.astro-ood.lock").exists()
    done = process(cwd, "astro_ood", "run", path.name, "--cores", "2", "--resume")
    assert done.returncode == 0, done.stderr[-3000:]
    assert process(cwd, "astro_ood", "verify", "results/toy").returncode == 0
    resumed, first = ao.open_run(cwd / "results/toy"), ao.open_run(toy.run)
    assert np.array_equal(np.asarray(resumed.latents), np.asarray(first.latents))
    assert resumed.samples.shape == first.samples.shape
    assert not np.isclose(np.asarray(resumed.samples), np.asarray(first.samples)).all(axis=(1, 2, 3)).any()
    assert resumed.samples.attrs["eta"] == 0.5


def test_two_runs_at_once_are_refused(toy, here, astro_ood):
    shutil.copytree(toy.cwd, here, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".snakemake"))
    with RunLock(here / "results/toy"):
        ended = astro_ood("run", "results/toy/config.yaml", "--cores", "1")
    assert ended.status == 2
    assert ended.err.splitlines()[-1].startswith("error AOD-ST10 results/toy: in use by ")
    assert f"process {os.getpid()}" in ended.err
    assert not (here / ".snakemake").exists()


def test_a_dead_process_holds_nothing(here):
    """The lock of a process that is gone is taken over."""
    (here / "run").mkdir()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with RunLock(here / "run"):
        holder = json.loads((here / "run/.astro-ood.lock").read_text())
    (here / "run/.astro-ood.lock").write_text(json.dumps({**holder, "pid": dead.pid}))
    with RunLock(here / "run"):
        pass


def test_extra_arguments_reach_snakemake(copied):
    cwd, _ = copied
    done = process(cwd, "astro_ood", "run", "results/toy/config.yaml", "--cores", "1", "--", "--dry-run", "--forceall")
    assert done.returncode == 0, done.stderr
    assert "This was a dry-run" in done.stdout + done.stderr


def test_stages_refuse_what_is_missing(here, toy, astro_ood):
    shutil.copytree(toy.cwd, here, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".snakemake"))
    config = "results/toy/config.yaml"
    manifest = here / "results/toy/latents/0001/manifest.json"
    manifest.rename(here / "kept.json")
    ended = astro_ood("propose", config, "--overwrite")
    assert (ended.status, ended.err.count("\n")) == (2, 1), ended
    assert ended.err.startswith("error AOD-ST08 ")
    (here / "kept.json").rename(manifest)
    for verb in (["prepare"], ["invert", "--shard", "2"], ["fit-prior"], ["propose"], ["decode", "--shard", "1"]):
        ended = astro_ood(verb[0], config, *verb[1:])
        assert ended.status == 2, verb
        assert ended.err.startswith("error AOD-ST06 "), verb
    ended = astro_ood("invert", config, "--shard", "3", "--overwrite")
    assert ended.err.startswith("error AOD-CF44 shard: found 3, expected 0 to 2")
    shutil.rmtree(here / "results/toy/fields")
    for verb in ("evaluate", "report", "fit-prior"):
        ended = astro_ood(verb, config)
        assert ended.status == 2, verb
        assert ended.err.startswith("error AOD-ST01 "), verb


def test_another_number_of_shards_leaves_no_old_ones(copied, monkeypatch):
    """Old shards would stand beside the new ones, and every later stage would refuse the mixture."""
    cwd, config = copied
    monkeypatch.chdir(cwd)
    before = np.asarray(ao.open_run("results/toy").samples)
    stages.decode(changed(config, decoding={"shards": 1}), 0, overwrite=True)
    assert np.array_equal(np.asarray(ao.open_run("results/toy").samples), before)
    for shard in (0, 1):
        stages.invert(changed(config, inversion={"shards": 2}), shard, overwrite=True)
    assert sorted(p.name for p in Path("results/toy/latents").iterdir()) == ["0000", "0001"]
    assert ao.open_run("results/toy").latents.shape == ao.open_run("results/toy").fields.shape
