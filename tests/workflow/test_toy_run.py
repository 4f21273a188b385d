"""What a run leaves behind, and what the workflow does with it afterwards."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from workflow_support import NAMES, good_files, planned, process, said_by, save, small_config, snakemake

import astro_ood as ao
from astro_ood import stages
from astro_ood.config import load
from astro_ood.stores import open_shards, open_store


def compute(config, *, until: str = "decode") -> ao.Run:
    """The stages in this process, in the current directory."""
    stages.prepare(config)
    for shard in range(config.inversion.shards):
        stages.invert(config, shard)
    if until == "invert":
        return ao.open_run(config.run)
    stages.fit_prior(config)
    stages.propose(config)
    for shard in range(config.decoding.shards):
        stages.decode(config, shard)
    if until == "evaluate":
        stages.evaluate(config)
    return ao.open_run(config.run)


def test_a_run_ends_well(toy):
    assert toy.done.returncode == 0, toy.done.stderr[-3000:]
    assert "Traceback" not in toy.done.stdout + toy.done.stderr
    assert "report: results/toy/report.html" in toy.done.stderr


def test_names_of_files_are_only_names(toy):
    """Quotes, command substitutions, wildcards and line breaks reach the stores as they are, and nothing else happens."""
    assert not list(toy.cwd.rglob("pwned"))
    fields = open_store(toy.run / "fields")
    assert sorted(f["path"] for f in fields.attrs["files"]) == sorted(NAMES)
    present = {p.name for p in toy.cwd.iterdir()}
    assert present == {*NAMES, "empty.fits", "my toy.yaml", "results", ".snakemake"}


def test_everything_is_there(toy):
    stores = ["fields", *(f"latents/{i:04d}" for i in range(3)), "prior", "proposals", "samples/0000", "samples/0001"]
    for name in stores:
        assert (toy.run / name / "manifest.json").is_file(), name
        assert (toy.run / name / "data.zarr").is_dir(), name
    for name in (
        "scores.csv",
        "scores.json",
        "diagnostics.json",
        "report.html",
        "methods.txt",
        "ro-crate-metadata.json",
        "config.yaml",
    ):
        assert (toy.run / name).stat().st_size > 100, name
    assert not [p for p in toy.run.rglob("*") if ".tmp-" in p.name or p.name == ".astro-ood.lock"]


def test_the_configuration_that_ran_is_kept(toy):
    kept = load(toy.run / "config.yaml")
    assert kept.data.on_error == "skip"
    assert kept.model_copy(update={"data": toy.config.data}) == toy.config


def test_what_was_skipped_is_told(toy):
    skipped = open_store(toy.run / "fields").attrs["skipped"]
    assert [path for path, _ in skipped] == ["empty.fits"]
    assert "IN01" in skipped[0][1]
    assert "AOD-IN01 empty.fits: empty file (0 bytes)" in (toy.run / "report.html").read_text(encoding="utf-8")


def test_the_report_escapes_names(toy):
    page = (toy.run / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "ünïcödé ☉ 星" in page


def test_inputs_of_every_store_are_recorded(toy):
    stores = {s["path"] if "path" in s else s["stage"]: s for s in ao.open_run(toy.run).provenance["stores"]}
    assert len(stores) >= 5
    for name, parents, seed in (("latents/0002", {"fields"}, None), ("samples/0000", {"proposals"}, 0)):
        manifest = json.loads((toy.run / name / "manifest.json").read_text())
        assert set(manifest["inputs"]) == parents
        assert manifest["seed"] == seed
        assert len(manifest["model"]["sha256"]) == 64


def test_one_shard_gives_the_same_bits(toy, here):
    for name in NAMES:
        shutil.copy(toy.cwd / name, here / name)
    files = [f for f in toy.config.data.files if f != "empty.fits"]
    config = small_config([Path(f) for f in files], inversion={"shards": 1}, decoding={"shards": 1})
    alone, sharded = compute(config), ao.open_run(toy.run)
    assert alone.latents.ids == sharded.latents.ids
    assert alone.latents.shape == sharded.latents.shape == (len(alone.fields), 1, 32, 32)
    for name in ("z", "reconstruction", "round_trip", "latent_error"):
        one, three = (open_shards(run.root / "latents", "latents").load(name) for run in (alone, sharded))
        assert np.array_equal(one, three), name
    assert alone.samples.shape == (7, 1, 32, 32)
    assert np.array_equal(np.asarray(alone.samples), np.asarray(sharded.samples))
    for name in ("parents", "weights"):
        one, two = (open_shards(run.root / "samples", "samples").load(name) for run in (alone, sharded))
        assert np.array_equal(one, two), name


def test_order_of_the_files_changes_no_latent(toy, here):
    for name in NAMES:
        shutil.copy(toy.cwd / name, here / name)
    config = small_config([Path(name) for name in reversed(NAMES)], inversion={"shards": 2}, decoding={"shards": 1})
    other, run = compute(config, until="invert"), ao.open_run(toy.run)
    assert other.latents.ids == run.latents.ids
    assert np.array_equal(np.asarray(other.latents), np.asarray(run.latents))
    assert {*zip(other.fields.ids, other.fields.attrs["split"], strict=True)} == {
        *zip(run.fields.ids, run.fields.attrs["split"], strict=True)
    }


@pytest.mark.parametrize(("n", "held_out"), [(2, 0), (3, 1), (7, 3)])
def test_few_maps_run_and_are_never_usable(here, n, held_out):
    config = small_config(good_files(here, n, 32), inversion={"shards": 1}, decoding={"shards": 1}, proposal={"n": 4})
    run = compute(config, until="evaluate")
    assert run.fields.attrs["split"].count("held_out") == held_out
    assert run.scores.status == "undecided" or n == 7
    assert run.scores.status != "usable"
    assert min(row["p_adjusted"] for row in run.scores.rows if row["p_adjusted"] is not None) > 0.05
    for shard in range(config.decoding.shards):
        assert (config.run / f"samples/{shard:04d}/manifest.json").is_file()


def test_a_second_run_does_nothing(toy):
    before = {p: p.stat().st_mtime_ns for p in (toy.run).rglob("*.json")}
    done = snakemake(toy.cwd, toy.run / "config.yaml")
    assert done.returncode == 0
    assert "Nothing to be done" in done.stderr + done.stdout
    assert {p: p.stat().st_mtime_ns for p in (toy.run).rglob("*.json")} == before


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"title": "another"}, {"report"}),
        ({"validation": {"permutations": 199}}, {"evaluate", "report"}),
        ({"diagnostics": {"trajectories": True}}, {"diagnose", "report"}),
        ({"proposal": {"n": 9}}, {"propose", "decode", "evaluate", "report"}),
        ({"inversion": {"n_steps": 4}}, {"invert", "diagnose", "fit_prior", "propose", "decode", "evaluate", "report"}),
    ],
)
def test_a_change_repeats_what_depends_on_it(toy, tmp_path, changes, expected):
    record = load(toy.run / "config.yaml").model_dump()
    for key, value in changes.items():
        record[key] = record[key] | value if isinstance(value, dict) else value
    done = snakemake(toy.cwd, save(type(toy.config).model_validate(record), tmp_path / "c.yaml"), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert set(planned(done.stdout + done.stderr)) == expected


def test_the_embedded_configuration_does_not_show_through(tmp_path):
    """A configuration of two lines takes the defaults of the classes, not the values of config/config.yaml."""
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\ndata:\n  files: [a.fits]\ninversion:\n  shards: 1\n")
    done = snakemake(tmp_path, path, "--dry-run", "--printshellcmds")
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    once = ("prepare", "invert", "diagnose", "fit_prior", "propose", "evaluate", "report")
    assert planned(text) == {**dict.fromkeys(once, 1), "decode": 2}
    assert "results/mine/fields" in text
    assert '"unit": null' in text
    for trace in ("HI4PI", "hi4pi", "cm-2", "galactic", "Neutral hydrogen"):
        assert trace not in text


def test_the_embedded_run_is_planned_without_a_configuration(root, tmp_path):
    done = process(tmp_path, "snakemake", "--snakefile", str(root / "Snakefile"), "--directory", str(tmp_path), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "results/hi4pi/report.html" in done.stdout + done.stderr


def test_a_typo_stops_the_workflow_in_one_line(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\ndata:\n  files: [a.fits]\n  pach: 3\n")
    done = snakemake(tmp_path, path, "--dry-run")
    assert done.returncode == 1
    assert "AOD-CF42 configuration: unknown key 'data.pach'; did you mean 'patch'?" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout


def test_lint_finds_nothing(root, tmp_path):
    done = process(tmp_path, "snakemake", "--snakefile", str(root / "Snakefile"), "--directory", str(tmp_path), "--lint")
    assert done.returncode == 0, done.stdout + done.stderr


def test_verify_tells_good_from_damaged(toy, astro_ood, tmp_path):
    good = astro_ood("verify", toy.run)
    assert (good.status, good.out.strip().endswith("0 problems")) == (0, True)
    copy = tmp_path / "copy"
    shutil.copytree(toy.run, copy)
    chunk = max((copy / "samples/0001/data.zarr").rglob("*/c/*/*/*/*"), key=lambda p: p.stat().st_size)
    raw = bytearray(chunk.read_bytes())
    raw[len(raw) // 2] ^= 4
    chunk.write_bytes(bytes(raw))
    found = astro_ood("verify", copy)
    assert found.status == 1
    assert str(chunk) in found.out
    assert "1 problems" in found.out


def test_export(toy, astro_ood, tmp_path):
    done = astro_ood("export", toy.run, "--out", tmp_path / "fits")
    assert done.status == 0
    assert "7 files" in done.out
    files = sorted((tmp_path / "fits").iterdir())
    assert [f.name for f in files] == [f"synth-{i:05d}.fits" for i in range(7)]
    samples = np.asarray(ao.open_run(toy.run).samples)
    for path, sample in zip(files, samples, strict=True):
        with fits.open(path, checksum=True) as hdus:
            header = hdus[0].header
            assert header["BUNIT"] == "K"
            assert header["SYNTH"] is True
            assert (header["CTYPE1"], header["CTYPE2"]) == ("RA---TAN", "DEC--TAN")
            assert header["CDELT2"] == pytest.approx(0.5 / 60)
            assert {"CHECKSUM", "DATASUM"} <= set(header)
            np.testing.assert_array_equal(hdus[0].data, sample[0])
            assert "run toy" in str(header["HISTORY"])
    back = ao.read_map(files[0])
    assert (back.unit, back.shape) == ("K", (1, 32, 32))


def test_views_of_an_opened_run(toy):
    run = ao.open_run(toy.run)
    n = len(run.fields)
    assert run.fields.dims == run.samples.dims == ("item", "channel", "y", "x")
    assert run.latents.dims == ("item", "latent_channel", "latent_y", "latent_x")
    assert (run.fields.unit, run.latents.unit, run.samples.unit) == ("K", "", "K")
    assert run.fields.shape == run.latents.shape == (n, 1, 32, 32)
    assert type(run.samples.data).__module__.startswith("dask")
    assert sorted(set(run.fields.attrs["split"])) == ["held_out", "inverted"]
    first = run.fields.wcs[0]
    assert first.wcs.ctype[0] == "RA---TAN"
    assert first.proj_plane_pixel_scales()[1].to_value("arcmin") == pytest.approx(0.5)
    maps = run.samples.to_maps()
    assert [m.name for m in maps] == run.samples.ids
    assert maps[0].pixel_scale == pytest.approx((0.5, 0.5))
    assert (np.asarray(run.samples) > 0).all()
    assert np.asarray(run.samples, dtype=np.float64).dtype == np.float64
    assert run.scores.rows
    assert run.scores.status in ("usable", "undecided", "fails", "copies")


def test_real_maps_are_kept_as_they_are(toy):
    run = ao.open_run(toy.run)
    with fits.open(toy.cwd / "ünïcödé ☉ 星.fits") as hdus:
        original = hdus[0].data
    ids = [i for i, name in enumerate(run.fields.ids) if name.startswith("ünïcödé")]
    values = np.asarray(run.fields)[ids, 0]
    assert len(ids) == 4
    np.testing.assert_array_equal(values[0], original[:32, :32])


def test_an_opened_run_loads_no_network_library(toy):
    code = (
        "import sys, numpy as np, astro_ood as ao; run = ao.open_run(sys.argv[1]);"
        "[np.asarray(v) for v in (run.fields, run.latents, run.samples)]; run.scores; run.provenance; run._repr_html_();"
        "run.samples._repr_html_(); print([m for m in ('torch', 'matplotlib') if m in sys.modules])"
    )
    assert said_by(code, str(toy.run)) == "[]"


def test_directories_that_are_no_run(tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(ao.AstroOodError, match=r"^AOD-ST01"):
            ao.open_run(path)


def test_notebook_tables_escape_names(toy, tmp_path):
    run = ao.open_run(toy.run)
    assert run._repr_html_().startswith("<table>")
    assert "<script>" not in ao.Run(tmp_path / "<b>")._repr_html_()
