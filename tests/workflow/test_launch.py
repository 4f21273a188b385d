"""What surrounds a run: nothing foreign is executed, a dry run leaves no mark, a replaced file is noticed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from astro_ood.config import Config, Data, Inversion, dump_yaml
from astro_ood.errors import ConfigError
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
