"""The command line of a study, and its target in the workflow."""

import subprocess
import sys

import pytest

from astro_ood import cli
from astro_ood.study.cells import MODULES
from astro_ood.study.settings import EXPERIMENTS, load


@pytest.fixture
def astro_ood(monkeypatch, capsys):
    """The command line inside this process: status and last line of what it says."""

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["astro-ood", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), (told.out + told.err).strip().splitlines()[-1]

    return call


def test_what_is_not_there_is_one_line(astro_ood, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = root / "config/test/study.yaml"
    status, line = astro_ood("study", "page", study)
    assert (status, line.split()[1]) == (2, "AOD-RN12")
    status, line = astro_ood("study", "cell", study, "E1", "photos32", "nowhere")
    assert (status, line.split()[1]) == (2, "AOD-CF44")
    status, line = astro_ood("study", "material", study, "photos32", "nowhere")
    assert (status, line.split()[1]) == (2, "AOD-CF44")
    status, line = astro_ood("study", "cell", study, "E1", "photos32", "gaussian")
    assert (status, line.split()[1]) == (2, "AOD-RN12")
    assert "study material" in line
    assert list(tmp_path.iterdir()) == []


def test_every_experiment_has_its_module():
    assert tuple(MODULES) == EXPERIMENTS


def test_the_workflow_plans_every_cell(root, tmp_path):
    command = [sys.executable, "-m", "snakemake", "study", "-n", "--cores", "1", "--snakefile", str(root / "Snakefile")]
    planned = subprocess.run(
        [*command, "--config", f"study={root / 'config/test/study.yaml'}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert planned.returncode == 0, planned.stderr
    jobs = dict(line.split() for line in planned.stdout.splitlines() if line.startswith("study") and len(line.split()) == 2)
    # two domains and the network's own maps; ten experiments on both, two on its own maps as well
    assert jobs == {"study_material": "3", "study_cell": "22", "study": "1"}


@pytest.mark.parametrize("name", ["config/study.yaml", "config/test/study.yaml"])
def test_the_studies_are_read(root, name):
    study = load(root / name)
    assert {experiment for experiment, _, _ in study.cells()} == set(EXPERIMENTS)
    assert set(study.effort.recipes or ()) <= KNOWN


# recipes of a cell that has latents at 300 and 700
KNOWN = {"lol", "spectral", "lol, guided", "IAAFT"}
