"""The configuration: generated files in step with the classes, strict reading, and a round trip for every value."""

import json
import os

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from astro_ood import config as sections
from astro_ood._yaml import read_yaml
from astro_ood.config import Config, Criteria, Data, Decoding, Diagnostics, Guidance, Inversion, Model, Proposal, Validation, load
from astro_ood.configfile import dump_schema, dump_yaml
from astro_ood.errors import ConfigError

FILES = ("config/config.yaml", "config/planck-ebv.yaml", "config/test/toy.yaml")
MINIMAL = "name: a\ndata:\n  files: [a.fits]\n"

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
small = st.floats(min_value=1e-12, max_value=1 - 1e-12)
configs = st.builds(
    Config,
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True),
    title=text,
    seed=st.integers(0, 2**63 - 1),
    data=st.builds(
        Data,
        files=st.lists(text, min_size=1, max_size=3),
        hdu=st.none() | st.integers(0, 99) | text,
        dataset=st.none() | text,
        unit=st.none() | text,
        inverted=st.none() | st.lists(text, max_size=3),
        patch=st.none() | st.integers(16, 4096),
        strict=st.booleans(),
        stretch=st.sampled_from(["linear", "log10", "asinh"]),
    ),
    model=st.builds(Model, name=text, micro_batch=st.integers(1, 65536)),
    inversion=st.builds(
        Inversion,
        t_0=st.none() | st.floats(min_value=0, exclude_min=True, allow_infinity=False),
        check_t_0=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=8),
    ),
    proposal=st.builds(Proposal, k=st.integers(2, 2**40), budget=st.none() | st.integers(1)),
    criteria=st.builds(
        Criteria,
        false_reject=small,
        names=st.lists(st.sampled_from(["distance", "radius", "spectrum", "whiteness"]), min_size=1, unique=True),
    ),
    decoding=st.builds(
        Decoding,
        eta=st.floats(0, 1),
        transfer=st.booleans(),
        guidance=st.none()
        | st.builds(Guidance, t_from=st.none() | st.floats(0, 1e6), aim=st.sampled_from(["parent", "draw", "mean"])),
    ),
    diagnostics=st.builds(
        Diagnostics,
        trajectories=st.booleans(),
        maps=st.integers(2, 512),
        etas=st.lists(st.floats(0, 1), min_size=2, max_size=16),
    ),
    validation=st.builds(
        Validation,
        log=st.none() | st.just(False),
        baselines=st.none() | st.lists(st.sampled_from(["augmentation", "gaussian", "iaaft", "scattering"]), max_size=3),
    ),
)


def head_of(content: str) -> str:
    """The comment lines above the one that describes `name`."""
    first = f"# {Config.model_fields['name'].description}"
    lines = content.splitlines()
    return "\n".join(line.removeprefix("# ") for line in lines[: lines.index(first)])


def write(folder, content: str | bytes):
    path = folder / "c.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("name", FILES)
def test_files_are_in_step_with_the_classes(root, name):
    content = (root / name).read_text(encoding="utf-8")
    assert dump_yaml(load(root / name), head_of(content)) == content


def test_every_configuration_is_tested(root):
    """Those of other domains hold what differs from the defaults only, and those of studies are none of a run: their own tests read them."""
    found = {str(p.relative_to(root)) for p in (root / "config").rglob("*.yaml") if p.name != "study.yaml"}
    assert {name for name in found if not name.startswith("config/domains/")} == set(FILES)


def test_schema_is_in_step_with_the_classes(root):
    assert (root / "config/schema.json").read_text(encoding="utf-8") == dump_schema()
    assert json.loads(dump_schema())["additionalProperties"] is False


def test_every_solver_can_be_configured():
    """The configuration knows no torch, so it repeats the names."""
    from astro_ood.diffusion.presets import latent_solvers

    named = Inversion.model_json_schema()["properties"]["solver"]["anyOf"][0]["enum"]
    assert named == latent_solvers()


def test_every_setting_is_described():
    for name, field in Config.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, sections.Section):
            assert model.__doc__
            assert all(sub.description for sub in model.model_fields.values()), name
        else:
            assert field.description, name


@given(config=configs, head=text)
def test_round_trip(config, head):
    content = dump_yaml(config, head)
    assert sections.parse(read_yaml(content, "text"), "text") == config
    assert load(config.model_dump_json()) == config


@given(config=configs)
def test_other_yaml_readers_find_the_same(config):
    """Snakemake reads YAML 1.1: what we write must not mean something else there."""
    assert sections.parse(yaml.safe_load(dump_yaml(config)), "text") == config


def test_a_stage_sees_its_part_alone():
    config = sections.parse(read_yaml(MINIMAL, "t"), "t")
    assert set(config.only("seed", "model")) == {"name", "seed", "model"}
    assert load(config.settings("model")).model == config.model
    other = config.model_copy(update={"title": "another"})
    assert config.settings("inversion") == other.settings("inversion")
    assert config.settings("title") != other.settings("title")


def test_diagnostics_depend_on_the_network_only_where_they_ask_it():
    plain = sections.parse(read_yaml(MINIMAL, "t"), "t")
    asking = sections.parse(read_yaml(MINIMAL + "diagnostics: {trajectories: true}\n", "t"), "t")
    assert plain.diagnosed_by == ["seed", "diagnostics"]
    assert asking.diagnosed_by == ["seed", "diagnostics", "model"]
    assert plain.settings(*plain.diagnosed_by) != asking.settings(*asking.diagnosed_by)


def test_nothing_can_be_changed_afterwards():
    config = sections.parse(read_yaml(MINIMAL, "t"), "t")
    with pytest.raises(ValidationError):
        config.seed = 3


@pytest.mark.parametrize(
    ("line", "section", "key", "value"),
    [
        ("criteria: {false_reject: 1e-4}", "criteria", "false_reject", 1e-4),
        ("criteria: {false_reject: .5}", "criteria", "false_reject", 0.5),
        ("inversion: {t_0: 5e2}", "inversion", "t_0", 500.0),
        ("inversion: {t_0: 700}", "inversion", "t_0", 700.0),
        ("model: {name: no}", "model", "name", "no"),
        ("model: {name: on}", "model", "name", "on"),
        ("model: {name: 12:30:45}", "model", "name", "12:30:45"),
        ("model: {name: 010}", "model", "name", "010"),
        ("model: {name: 0o17}", "model", "name", "0o17"),
        ("model: {name: 0x1F}", "model", "name", "0x1F"),
        ("model: {name: 1_000}", "model", "name", "1_000"),
        ("model: {name: 2026-01-01}", "model", "name", "2026-01-01"),
        ("model: {name: <<}", "model", "name", "<<"),
        ("model: {name: =}", "model", "name", "="),
        ("validation: {log: true}", "validation", "log", True),
        ("validation: {log: no}", "validation", "log", False),
        ("validation: {log: ~}", "validation", "log", None),
        ("validation: {log: }", "validation", "log", None),
        ("proposal: {k: +7}", "proposal", "k", 7),
    ],
)
def test_scalars_are_what_they_look_like(tmp_path, line, section, key, value):
    found = getattr(getattr(load(write(tmp_path, MINIMAL + line)), section), key)
    assert found == value
    assert type(found) is type(value)


BOMB = "a: &a [1]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (MINIMAL + "modle: {}\n", r"CF42 .*c\.yaml: unknown key 'modle'; did you mean 'model'\?"),
        (MINIMAL + "model: {nmae: x}\n", r"CF42 .*unknown key 'model\.nmae'; did you mean 'name'\?"),
        (MINIMAL + "  pach: 3\n", r"CF42 .*'data\.pach'; did you mean 'patch'\?"),
        (MINIMAL + "zzz: 1\n", r"CF42 .*'zzz'; known here: name, title"),
        (MINIMAL + "name: b\n", r"CF43 .*c\.yaml:4:1: not plain YAML: the key 'name' stands twice"),
        (MINIMAL + "model: {name: a, name: b}\n", r"CF43 .*:4:18: .*stands twice"),
        (BOMB, r"CF43 .*:2:8: .*aliases are not allowed"),
        ("a: &a {x: *a}\n", r"CF43 .*aliases"),
        ("!!python/object/apply:os.system ['true']\n", r"CF43 .*:1:1: .*python"),
        (MINIMAL + "title: !!python/name:os.system\n", r"CF43 .*:4:8"),
        (MINIMAL + "title: !custom x\n", r"CF43 .*:4:8.*!custom"),
        ("[" * 5000, r"CF43 .*"),
        ("{a: " * 5000, r"CF43 .*"),
        ("? [a, b]\n: c\n", r"CF43 .*"),
        ("? {a: b}\n: c\n", r"CF43 .*"),
        ("1: 2\n", r"CF4[24] .*"),
        ("~: 2\n", r"CF4[24] .*"),
        (MINIMAL + "model: {1: 2}\n", r"CF4[24] .*"),
        ("a: 'open\n", r"CF43 .*"),
        ("\tname: a\n", r"CF43 .*:1:1"),
        ("name: a\n---\nname: b\n", r"CF43 .*"),
        ("- a\n- b\n", r"CF43 .*found list"),
        ("just words\n", r"CF43 .*found str"),
        ("", r"CF44 .*name.*required"),
        ("# nothing\n", r"CF44 .*"),
        ("name: a\n", r"CF44 .*data.*required"),
        ("name: a\ndata: {}\n", r"CF44 .*data\.files.*required"),
        ("name: a\ndata: {files: []}\n", r"CF44 .*data\.files"),
        ("name: a\ndata: {files: a.fits}\n", r"CF44 .*data\.files.*list"),
        ("name: a\ndata: [a.fits]\n", r"CF44 .*data"),
        ("name: a\ndata: {files: [1]}\n", r"CF44 .*data\.files\.0.*string"),
        (b"\xff\xfe\x00binary", r"CF01 .*not UTF-8 text"),
        (b"SIMPLE  =\0\0", r"CF43 .*"),
        (b"a" * 1_000_001, r"CF01 .*over 1 MB"),
    ],
)
def test_damaged_configurations(tmp_path, content, expected):
    with pytest.raises(ConfigError, match=f"^AOD-{expected}") as caught:
        load(write(tmp_path, content))
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "line",
    [
        "inversion: {n_steps: 0}",
        "inversion: {n_steps: -1}",
        "inversion: {n_steps: 1000000000}",
        "inversion: {n_steps: .nan}",
        "inversion: {n_steps: 2.5}",
        "inversion: {n_steps: 1e400}",
        "inversion: {t_0: .nan}",
        "inversion: {t_0: .inf}",
        "inversion: {t_0: 0}",
        "inversion: {t_0: -.inf}",
        "inversion: {t_0: 1e400}",
        "inversion: {check_t_0: [.nan]}",
        "inversion: {check_t_0: [1,2,3,4,5,6,7,8,9]}",
        "inversion: {shards: 0}",
        "inversion: {preset: quick}",
        "decoding: {eta: .nan}",
        "decoding: {eta: 1.1}",
        "decoding: {eta: -0.1}",
        "diagnostics: {maps: 1}",
        "diagnostics: {own: 3}",
        "diagnostics: {etas: [0]}",
        "diagnostics: {etas: [0, 1.5]}",
        "criteria: {false_reject: 0}",
        "criteria: {false_reject: 1}",
        "proposal: {n: 1}",
        "proposal: {k: 1}",
        "proposal: {n: many}",
        "validation: {permutations: 9}",
        "model: {device: tpu}",
        "model: {micro_batch: 0}",
        "seed: -1",
        "seed: 99999999999999999999",
    ],
)
def test_values_out_of_bounds(tmp_path, line):
    section, _, rest = line.partition(": ")
    key = rest.strip("{}").partition(":")[0] if "{" in rest else ""
    with pytest.raises(ConfigError, match=rf"^AOD-CF44 .*{section}.*{key}"):
        load(write(tmp_path, MINIMAL + line + "\n"))


@pytest.mark.parametrize(
    "name", ["../x", "..", ".", "a/b", "a\\\\b", "/etc", "~", "", "a..b", " a", "a\\n", "-x", ".hidden", "a" * 81]
)
def test_runs_stay_in_results(tmp_path, name):
    with pytest.raises(ConfigError, match=r"^AOD-CF44 .*name"):
        load(write(tmp_path, f'name: "{name}"\ndata: {{files: [a]}}\n'))


@pytest.mark.parametrize("name", ["a", "A-1_b.c", "2026", "x" * 80])
def test_names_of_runs(tmp_path, name):
    config = load(write(tmp_path, f'name: "{name}"\ndata: {{files: [a]}}\n'))
    assert config.run.as_posix() == f"results/{name}"


def test_files_that_are_no_configuration(tmp_path):
    loop = tmp_path / "loop.yaml"
    loop.symlink_to(loop)
    for path, problem in ((tmp_path, "not a regular file"), (tmp_path / "none.yaml", "No such file"), (loop, "symbolic links")):
        with pytest.raises(ConfigError, match=rf"^AOD-CF01 .*{problem}"):
            load(path)


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="CF01"):
        load(tmp_path / "pipe")


@pytest.mark.parametrize(
    "content", ["{", '{"name": "a"', '{"name": NaN}', '{"a":' * 5000, '{"name": "a", "data": {"files": ["x"]}, "sed": 1}']
)
def test_damaged_settings(content):
    with pytest.raises(ConfigError):
        load(content)
