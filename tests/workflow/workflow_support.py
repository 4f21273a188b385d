"""Maps in files, good and bad, and ways to call the command line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from astropy.io import fits

from astro_ood import config as sections
from astro_ood.config import Config
from astro_ood.configfile import dump_yaml
from astro_ood.maps import gaussian_field

ROOT = Path(__file__).parent.parent.parent
NAMES = (
    "a map with 'single' and \"double\" quotes.fits",
    "$(touch pwned) `touch pwned`; touch pwned & touch pwned | #.fits",
    "ünïcödé ☉ 星.fits",
    "new\nline.fits",
    "{shard} {wildcards.shard} {0} {params} %s.fits",
    "-starts with a dash \\ backslash *?[].fits",
)


def image(seed: int, size: int = 64, *, positive: bool = True) -> np.ndarray:
    """One coloured map (size, size), float32."""
    field = gaussian_field(1, size, -2.5, seed)[0]
    return (np.exp(field) if positive else field).astype(np.float32)


def write_fits(path: Path, values: np.ndarray, unit: str | None = "K") -> Path:
    """An image with a gnomonic WCS of half an arcminute per pixel."""
    header = fits.Header()
    for key, value in {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg"}.items():
        header[key] = value
    for axis, size, centre, sign in ((1, values.shape[-1], 83.8, -1), (2, values.shape[-2], -5.4, 1)):
        header[f"CRPIX{axis}"], header[f"CRVAL{axis}"] = size / 2 + 0.5, centre
        header[f"CDELT{axis}"] = sign * 0.5 / 60
    if unit:
        header["BUNIT"] = unit
    fits.PrimaryHDU(values, header).writeto(path)
    return path


def bad_file(kind: str, folder: Path) -> Path:
    """A file that is no map."""
    path = folder / f"{kind}.fits"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "html":
        path.write_text("<!DOCTYPE html><html><body>404 Not Found</body></html>")
    elif kind == "truncated":
        write_fits(path, image(90))
        path.write_bytes(path.read_bytes()[:9000])
    elif kind == "nan":
        write_fits(path, np.full((64, 64), np.nan, np.float32))
    elif kind == "constant":
        write_fits(path, np.full((64, 64), 3.0, np.float32))
    elif kind == "table":
        column = fits.Column("E", "E", array=np.arange(5.0))
        fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([column], name="EVENTS")]).writeto(path)
    elif kind == "absent":
        pass
    else:
        raise AssertionError(kind)
    return path


BAD = {
    "empty": "IN01",
    "truncated": "IN02",
    "html": "IN04",
    "nan": "IN1[78]",
    "constant": "IN18",
    "table": "IN13",
    "absent": "IN38",
}


def good_files(folder: Path, n: int = 4, size: int = 64) -> list[Path]:
    """Maps of different pieces of the sky."""
    return [write_fits(folder / f"good-{i}.fits", image(i, size)) for i in range(n)]


def small_config(files: list[Path], **sections_: dict[str, object]) -> Config:
    """`config/test/toy.yaml` on other files and with smaller numbers."""
    record = sections.load(ROOT / "config/test/toy.yaml").model_dump()
    record["data"] |= {"files": [str(f) for f in files], "patch": 32, "unit": None, "frame": None, "max_inverted": 8}
    record["inversion"] |= {"n_steps": 3, "shards": 3}
    record["proposal"] |= {"n": 7}
    record["validation"] |= {"permutations": 99, "baselines": ["augmentation", "gaussian", "iaaft"]}
    for name, values in sections_.items():
        record[name] = record[name] | values if isinstance(values, dict) else values
    return Config.model_validate(record)


def save(config: Config, path: Path) -> Path:
    """Write a configuration."""
    path.write_text(dump_yaml(config), encoding="utf-8")
    return path


def environment() -> dict[str, str]:
    """Environment of a process that finds this package."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def process(cwd: Path, *args: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """`python -m ...` in a directory."""
    command = [sys.executable, "-m", *args]
    return subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=timeout, check=False)


def said_by(code: str, *args: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code, *args], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def snakemake(cwd: Path, config: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """The workflow itself."""
    options = ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(cwd), "--configfile", str(config), "--cores", "1"]
    return process(cwd, "snakemake", *options, *args)


def planned(output: str) -> dict[str, int]:
    """Rules and their numbers of jobs in the table of a dry run, without `all` and `total`."""
    found = {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", output, re.MULTILINE)}
    return {name: n for name, n in found.items() if name not in ("all", "total")}
