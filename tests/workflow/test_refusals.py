"""What a user can get wrong: one line on stderr, exit status 2, and the rest of a batch goes on."""

import pickle
import re

import numpy as np
import pytest
from workflow_support import BAD, bad_file, good_files, image, process, save, small_config, write_fits

ONE_LINE = r"^error AOD-{}\b[^\n]*\n$"


def refused(ended, code: str) -> bool:
    """Whether a command ended as it should: status 2, one line with the code, no traceback."""
    return ended.status == 2 and re.match(ONE_LINE.format(code), ended.err) is not None


@pytest.mark.parametrize("kind", BAD)
def test_init_refuses(here, astro_ood, kind):
    path = bad_file(kind, here)
    ended = astro_ood("init", path, "--out", here / "c.yaml")
    assert refused(ended, BAD[kind]), ended
    assert path.name in ended.err
    assert not (here / "c.yaml").exists()


@pytest.mark.parametrize("verb", ["check", "run"])
@pytest.mark.parametrize("kind", BAD)
def test_check_and_run_refuse(here, astro_ood, verb, kind):
    path = bad_file(kind, here)
    ended = astro_ood(verb, save(small_config([*good_files(here), path]), here / "c.yaml"))
    assert refused(ended, BAD[kind]), ended
    assert path.name in ended.err
    assert not (here / "results").exists()


def bad_setting(name: str, folder):
    """Configurations that no map can mend, and the code of their refusal."""
    files = good_files(folder)
    if name == "negative values":
        files[0] = write_fits(folder / "negative.fits", image(9, positive=False))
        return small_config(files), "IN19"
    if name == "data set that is absent":
        import h5py

        with h5py.File(folder / "m.h5", "w") as file:
            file["density"] = np.stack([image(i) for i in range(5)])
        return small_config([folder / "m.h5"], data={"dataset": "velocity", "axis0": "maps"}), "IN34"
    if name == "HDU that is absent":
        return small_config(files, data={"hdu": "SCI"}), "IN1[24]"
    if name == "mixed shapes":
        files.append(write_fits(folder / "odd.fits", image(8, 80)))
        return small_config(files, data={"patch": None}), "IN25"
    if name == "mixed units":
        files.append(write_fits(folder / "odd.fits", image(8), "Jy/beam"))
        return small_config(files), "IN23"
    if name == "cube":
        return small_config([write_fits(folder / "cube.fits", np.stack([image(i) for i in range(5)]))]), "IN15"
    if name == "patch larger than the maps":
        return small_config(files, data={"patch": 512}), "IN\\d\\d"
    if name == "one map":
        return small_config(files[:1], data={"patch": 64}), "IN40"
    if name == "the same map twice":
        (folder / "again.fits").write_bytes(files[0].read_bytes())
        return small_config([files[0], folder / "again.fits"], data={"patch": 64}), "IN40"
    if name == "unknown region":
        return small_config(files, data={"inverted": ["nowhere"]}), "CF40"
    if name == "network that is absent":
        return small_config(files, model={"name": "other.safetensors"}), "MD03"
    if name == "pickled network":
        (folder / "other.pt").write_bytes(pickle.dumps(print))
        return small_config(files, model={"name": "other.pt"}), "MD50"
    if name == "device that is absent":
        return small_config(files, model={"device": "cuda:7"}), "MD01"
    if name == "sides that the network cannot take":
        return small_config(files, data={"patch": 30}), "IN31"
    if name == "time beyond the network":
        return small_config(files, inversion={"t_0": 1000.0}), "CF44"
    if name == "checked time beyond the network":
        return small_config(files, inversion={"check_t_0": [1000.0]}), "CF44"
    if name == "more shards than maps":
        return small_config(files, inversion={"shards": 100}), "CF44"
    if name == "more shards than new maps":
        return small_config(files, decoding={"shards": 100}), "CF44"
    raise AssertionError(name)


SETTINGS = (
    "negative values",
    "data set that is absent",
    "HDU that is absent",
    "mixed shapes",
    "mixed units",
    "cube",
    "patch larger than the maps",
    "one map",
    "the same map twice",
    "unknown region",
    "network that is absent",
    "pickled network",
    "device that is absent",
    "sides that the network cannot take",
    "time beyond the network",
    "checked time beyond the network",
    "more shards than maps",
    "more shards than new maps",
)


@pytest.mark.parametrize("verb", ["check", "run"])
@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_do_not_fit_the_maps(here, astro_ood, verb, name):
    config, code = bad_setting(name, here)
    ended = astro_ood(verb, save(config, here / "c.yaml"))
    assert refused(ended, code), ended
    assert not (here / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["check", "none.yaml"], "CF01"),
        (["run", "none.yaml"], "CF01"),
        (["check", "."], "CF01"),
        (["check", "{"], "CF43"),
        (["prepare", '{"nam": "x"}'], "CF4[24]"),
        (["export", "nowhere", "--out", "x"], "ST01"),
        (["models", "show", "nothing"], "MD03"),
        (["init", "", "--out", "c.yaml"], "IN38"),
        (["init", "package:nothing_of_the_kind/a.fits", "--out", "c.yaml"], "IN38"),
        (["init", "package:numpy/../../secret", "--out", "c.yaml"], "IN38"),
    ],
)
def test_arguments_that_name_nothing(here, astro_ood, arguments, code):
    ended = astro_ood(*arguments)
    assert refused(ended, code), ended


def test_a_typo_is_told_with_the_nearest_key(here, astro_ood):
    good_files(here, 2)
    (here / "c.yaml").write_text("name: a\ndata:\n  files: [good-0.fits, good-1.fits]\n  pach: 32\n")
    for verb in ("check", "run"):
        ended = astro_ood(verb, "c.yaml")
        assert refused(ended, "CF42"), ended
        assert "unknown key 'data.pach'; did you mean 'patch'?" in ended.err


@pytest.mark.parametrize("arguments", [["check"], ["init", "--wrong"], ["fly"], ["check", "a", "b"], ["init", "a.fits"]])
def test_wrong_usage(here, astro_ood, arguments):
    assert astro_ood(*arguments).status == 2


@pytest.mark.parametrize("kind", BAD)
def test_the_batch_goes_on(here, astro_ood, kind):
    files = [*good_files(here), bad_file(kind, here)]
    ended = astro_ood("init", *files, "--out", "c.yaml", "--on-error", "skip")
    assert ended.status == 0, ended
    text = (here / "c.yaml").read_text(encoding="utf-8")
    assert re.search(rf"^# skipped: AOD-{BAD[kind]} .*{kind}\.fits", text, re.MULTILINE)
    ended = astro_ood("check", save(small_config(files), here / "d.yaml"), "--on-error", "skip")
    assert ended.status == 0, ended
    assert re.search(rf"^skipped: AOD-{BAD[kind]} .*{kind}\.fits", ended.out, re.MULTILINE)
    assert ended.out.endswith("ready\n")


@pytest.mark.parametrize(
    ("values", "unit", "patch", "code"),
    [
        (image(9, positive=False), "K", 32, "IN19"),
        (image(9), "Jy/beam", 32, "IN23"),
        (image(9, 80), "K", None, "IN25"),
    ],
)
def test_the_batch_goes_on_without_the_odd_one(here, astro_ood, values, unit, patch, code):
    """Maps that are good by themselves but do not go with the others."""
    files = [*good_files(here, 5), write_fits(here / "odd.fits", values, unit)]
    path = save(small_config(files, data={"patch": patch}), here / "c.yaml")
    assert refused(astro_ood("check", path), code)
    ended = astro_ood("check", path, "--on-error", "skip")
    assert ended.status == 0, ended
    assert re.search(rf"^skipped: AOD-{code} ", ended.out, re.MULTILINE)
    assert ended.out.endswith("ready\n")


def test_init_writes_what_check_takes(here, astro_ood):
    files = good_files(here, 9)
    ended = astro_ood("init", *files, "--out", here / "sub dir/my run.yaml")
    assert ended.status == 0
    path = here / "sub dir/my run.yaml"
    text = path.read_text(encoding="utf-8")
    assert "found: K" in text
    assert "good-0.fits: fits" in text
    assert 'name: "my-run"' in text
    assert astro_ood("check", path).status == 0
    again = astro_ood("init", *files, "--out", path)
    assert refused(again, "CF02")
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    "name",
    [
        "a b.fits",
        "quote'\".fits",
        "$(x)`y`;.fits",
        "ünï ☉.fits",
        "line\nbreak.fits",
        "\x7f\x85\u2028.fits",
        "{a}.fits",
        "# c: [d].fits",
    ],
)
def test_init_takes_any_file_name(here, astro_ood, name):
    path = write_fits(here / name, image(0))
    ended = astro_ood("init", path, "--out", "c.yaml")
    assert ended.status == 0, ended
    ended = astro_ood("check", "c.yaml")
    assert "Traceback" not in ended.err
    assert ended.status == 2
    assert refused(ended, "IN40"), ended


def test_names_that_are_not_unicode(here):
    path = write_fits(here / "a.fits", image(0)).rename(here / "a\udcff.fits")
    done = process(here, "astro_ood", "init", str(path), "--out", "c.yaml")
    assert "Traceback" not in done.stderr
    assert done.returncode == 2
    assert re.match(ONE_LINE.format("IN38"), done.stderr), done.stderr


def test_init_proposes_axes_and_stretch(here, astro_ood):
    write_fits(here / "stack.fits", np.stack([image(i, positive=False) for i in range(9)]), unit=None)
    assert astro_ood("init", here / "stack.fits", "--out", "c.yaml").status == 0
    text = (here / "c.yaml").read_text()
    assert 'axis0: "maps"' in text
    assert 'stretch: "linear"' in text
    assert "found: none, say it here" in text
    assert "max_inverted: 64" in text
    assert astro_ood("check", "c.yaml").status == 0


@pytest.mark.parametrize("n", [2, 7])
def test_few_maps_are_told(here, astro_ood, n):
    ended = astro_ood(
        "check", save(small_config(good_files(here, n), data={"patch": 64}, inversion={"shards": 1}), here / "c.yaml")
    )
    assert ended.status == 0
    assert "the verdict will be 'undecided' at best" in ended.out


@pytest.mark.parametrize("verb", ["init", "check", "run"])
def test_one_line_from_a_real_process(tmp_path, verb):
    path = bad_file("html", tmp_path)
    config = save(small_config([path]), tmp_path / "c.yaml")
    arguments = [str(path), "--out", "d.yaml"] if verb == "init" else [config.name]
    done = process(tmp_path, "astro_ood", verb, *arguments)
    assert done.returncode == 2
    assert re.match(ONE_LINE.format("IN04"), done.stderr), done.stderr
    assert done.stdout == ""
    debugged = process(tmp_path, "astro_ood", verb, *arguments, "--debug")
    assert debugged.returncode != 0
    assert "Traceback" in debugged.stderr
    assert "AOD-IN04" in debugged.stderr


def test_long_names_are_not_wrapped(tmp_path):
    path = tmp_path / ("long " * 40 + ".fits")
    path.write_bytes(b"")
    done = process(tmp_path, "astro_ood", "init", str(path), "--out", "c.yaml")
    assert done.stderr.count("\n") == 1
    assert str(path) in done.stderr
