"""What surrounds a run: nothing foreign is executed, a dry run leaves no mark, a replaced file is noticed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from astro_ood import launch
from astro_ood.config import Config, Data, Inversion
from astro_ood.configfile import dump_yaml
from astro_ood.errors import ConfigError, RunError
from astro_ood.launch import run_workflow
from astro_ood.maps import gaussian_field


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i, field in enumerate(np.exp(gaussian_field(6, 32, -3.0, np.random.default_rng(0)))):
        fits.PrimaryHDU(field.astype(np.float32)).writeto(f"map{i}.fits")
    return Config(name="launch", data=Data(files=["map*.fits"], patch=32), inversion=Inversion(n_steps=2, shards=1, check_t_0=[]))


def test_dry_run_leaves_no_configuration_and_runs_no_foreign_snakefile(config, tmp_path):
    Path("Snakefile").write_text("open('foreign', 'w').close()\n")
    assert run_workflow(config, cores="1", resume=False, extra=["-n", "--quiet"]) == 0
    assert not (tmp_path / "foreign").exists()
    assert not config.effective.exists()


@pytest.mark.parametrize("cores", ["0", "-1", "many", "1.5", ""])
def test_cores_are_a_number_or_all(config, cores):
    with pytest.raises(ConfigError, match=r"CF44 --cores"):
        run_workflow(config, cores=cores, resume=False, extra=[])


def failing(monkeypatch, *, says=None):
    """Let the workflow fail, with or without a last word of one of its jobs."""

    def process(command, **options):
        if says is not None:
            Path("results/launch/logs").mkdir()
            Path("results/launch/logs/invert.log").write_text(f"invert: 3 of 9\nerror {says}\n")
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(launch, "check_config", lambda config: iter(()))
    monkeypatch.setattr(launch.subprocess, "run", process)


def test_a_job_killed_without_a_word_is_given_a_way_on(config, monkeypatch, caplog):
    failing(monkeypatch)
    assert run_workflow(config, cores="1", resume=False, extra=[]) == 1
    assert "--resume` goes on where it stopped" in caplog.text
    assert "too little memory: take a smaller model.micro_batch" in caplog.text


def test_the_last_word_of_a_job_without_memory_is_the_run_s_own(config, monkeypatch):
    said = "AOD-RN55 device: the device has too little memory for a single map; take a smaller `patch`"
    failing(monkeypatch, says=said)
    with pytest.raises(RunError, match=r"^AOD-RN55 device: the device has too little memory") as caught:
        run_workflow(config, cores="1", resume=False, extra=[])
    assert caught.value.code == "AOD-RN55"


def snakemake(root, *arguments):
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(root / "Snakefile"), "--cores", "1", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_replaced_file_is_noticed(config, root):
    Path("my.yaml").write_text(dump_yaml(config))
    assert snakemake(root, "--configfile", "my.yaml", "--until", "prepare").returncode == 0
    again = snakemake(root, "--configfile", "my.yaml", "--until", "prepare", "-n")
    assert "Reading, splitting" not in again.stdout + again.stderr
    fits.PrimaryHDU(np.ones((32, 32), np.float32)).writeto("map3.fits", overwrite=True)
    changed = snakemake(root, "--configfile", "my.yaml", "--until", "prepare", "-n")
    assert "Reading, splitting" in changed.stdout + changed.stderr


def test_configuration_without_data_is_no_licence_to_run_the_embedded_one(config, root):
    Path("mine.yaml").write_text('name: "mine"\n')
    done = snakemake(root, "--configfile", "mine.yaml", "-n")
    assert done.returncode == 1
    assert "AOD-CF44" in done.stdout + done.stderr


def test_doubled_keys_are_refused_by_snakemake_too(config, root):
    Path("twice.yaml").write_text(dump_yaml(config) + "seed: 2\n")
    done = snakemake(root, "--configfile", "twice.yaml", "-n")
    assert done.returncode == 1
    assert "stands twice" in done.stdout + done.stderr
