"""One small run through Snakemake, looked at by many tests; and the command line inside this process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from workflow_support import NAMES, bad_file, image, process, save, small_config, write_fits

from astro_ood import cli
from astro_ood.config import Config


class Toy(NamedTuple):
    """A finished run: its working directory, configuration and process."""

    cwd: Path
    config: Config
    file: Path
    done: subprocess.CompletedProcess[str]

    @property
    def run(self) -> Path:
        return self.cwd / "results/toy"


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Toy:
    """The workflow on files with hostile names, an empty one among them."""
    cwd = tmp_path_factory.mktemp("a 'run' $HOME")
    files = [write_fits(cwd / name, image(seed)).relative_to(cwd) for seed, name in enumerate(NAMES)]
    files.insert(2, bad_file("empty", cwd).relative_to(cwd))
    config = small_config(files, title='<script>alert("title")</script> & {shard}')
    path = save(config, cwd / "my toy.yaml")
    done = process(cwd, "astro_ood", "run", path.name, "--cores", "2", "--on-error", "skip")
    return Toy(cwd, config, path, done)


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def astro_ood(monkeypatch, capsys) -> Callable[..., Ended]:
    """The command line inside this process."""

    def call(*args: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["astro-ood", *map(str, args)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Ended(int(ended.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
