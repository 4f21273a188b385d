"""Plan, compare and check: verbs that only look."""

import csv
import hashlib
import json
import os
import shutil
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from workflow_support import image, save, small_config, write_fits

from astro_ood._resources import resource
from astro_ood.diffusion.nets import ARCHITECTURES
from astro_ood.stores import open_store


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_plan_counts_the_evaluations_that_the_run_makes(toy, astro_ood, monkeypatch):
    monkeypatch.chdir(toy.cwd)
    ended = astro_ood("plan", toy.run / "config.yaml")
    assert ended.status == 0
    lines = dict(line.split(": ", 1) for line in ended.out.splitlines())
    steps, checks = toy.config.inversion.n_steps, len(toy.config.inversion.check_t_0 or [])
    up, fine = steps, 2 * steps - 1
    assert f"{2 * up} evaluations each (+ {fine + 2 * checks * up} for errors" in lines["invert"]
    assert f"{toy.config.proposal.n} maps, {steps} evaluations each" in lines["decode"]
    assert {"disk", "memory", "memory besides", "evaluate", "network time"} <= set(lines)
    # 4 sets of 7 new maps (3 methods beside the network) and the real ones
    assert f"statistics of {n_fields(toy) + 4 * 7} maps about" in lines["evaluate"]
    assert "the report are not in any figure" in lines["evaluate"]


def n_fields(toy):
    return len(open_store(toy.run / "fields", stage="fields").attrs["ids"])


def test_plan_tells_what_disk_and_synthesis_take(here, astro_ood):
    """Values beyond single precision are stored in double; the synthesis is in the figures where it is asked for."""
    said = []
    for scale, baselines in ((1, ["gaussian"]), (1e35, ["gaussian", "scattering"])):
        files = [write_fits(here / f"{scale}-{i}.fits", scale * image(i).astype(np.float64)) for i in range(4)]
        config = small_config(files, validation={"baselines": baselines, "synthesised": 3})
        ended = astro_ood("plan", save(config, here / "c.yaml"))
        assert ended.status == 0, ended
        said.append(dict(line.split(": ", 1) for line in ended.out.splitlines()))
    (single, double), pixels, n, m = said, 32 * 32, int(said[0]["invert"].split()[0]), 7
    for lines, size in ((single, 4), (double, 8)):
        assert f"about {(n * (2 * size + 4) + m * (size + 4)) * pixels / 1e6:.1f} MB" in lines["disk"]
    assert "synthesis" not in single["evaluate"]
    assert f"statistics of {n + 2 * m + 3} maps" in double["evaluate"]
    assert "scattering synthesis of 3 about" in double["evaluate"]


def test_compare_puts_runs_side_by_side(toy, astro_ood):
    ended = astro_ood("compare", toy.run, toy.run)
    assert ended.status == 0
    head, first, second = ended.out.splitlines()
    assert head.split() == ["run", "status", "round", "trip", "worst", "P(k)", "distance", "ratio", "verdict"]
    assert first == second
    assert first.startswith("toy")


def test_compare_refuses_what_is_no_run(astro_ood, tmp_path):
    ended = astro_ood("compare", tmp_path / "nothing")
    assert ended.status == 2
    assert ended.err.startswith("error AOD-ST01")


def test_compare_writes_a_page_and_a_table(toy, astro_ood, tmp_path):
    page, table = tmp_path / "new" / "compare.html", tmp_path / "new" / "compare.csv"
    ended = astro_ood("compare", toy.run, toy.run, "--out", page, "--csv", table)
    assert ended.status == 0
    assert ended.out.splitlines()[3:] == [f"page: {page}", f"scores: {table}"]
    text = page.read_text(encoding="utf-8")
    link = os.path.relpath(toy.run / "report.html", page.parent)
    assert f'href="{quote(link)}"' in text
    assert "<script>" not in text
    assert "&lt;script&gt;alert(&#34;title&#34;)" in text
    assert "Yes: the same files, the same held-out maps" in text
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    own = json.loads((toy.run / "scores.json").read_text())["rows"]
    assert len(rows) == 2 * len(own)
    assert {row["run"] for row in rows} == {"toy"}
    assert float(rows[0]["value"]) == own[0]["value"]
    # what the same command wrote is written again
    assert astro_ood("compare", toy.run, "--out", page, "--csv", table).status == 0
    assert "1 run side by side" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("option", ["--out", "--csv"])
def test_compare_replaces_no_other_file(toy, astro_ood, tmp_path, option):
    path = tmp_path / "mine"
    path.write_text("my notes")
    ended = astro_ood("compare", toy.run, option, path)
    assert ended.status == 2
    assert ended.err.startswith(f"error AOD-CF02 {path}: another file is there already")
    assert path.read_text() == "my notes"
    assert astro_ood("compare", toy.run, option, path, "--overwrite").status == 0
    assert "my notes" not in path.read_text(encoding="utf-8")
    assert "is a directory" in astro_ood("compare", toy.run, option, tmp_path).err


def test_compare_does_not_replace_the_report_of_a_run(toy, astro_ood, tmp_path):
    report = shutil.copy(toy.run / "report.html", tmp_path)
    assert astro_ood("compare", toy.run, "--out", report).status == 2


def test_compare_leaves_out_what_is_not_finished_while_others_are(toy, astro_ood, tmp_path):
    slow, page = tmp_path / "slow", tmp_path / "compare.html"
    shutil.copytree(toy.run / "fields", slow / "fields")
    ended = astro_ood("compare", slow, toy.run, "--out", page)
    assert ended.status == 0
    assert ended.out.splitlines()[1].startswith("toy")
    assert ended.err.strip() == f"left out: {slow}: there are no scores yet; let the run finish"
    assert f"{slow}: there are no scores yet" in page.read_text(encoding="utf-8")
    ended = astro_ood("compare", slow)
    assert ended.status == 2
    assert ended.err.startswith(f"error AOD-ST01 {slow}")
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize("content", ["{", "[]", '{"rows": []}'])
def test_compare_names_scores_that_cannot_be_read(toy, astro_ood, tmp_path, content):
    shutil.copytree(toy.run / "fields", tmp_path / "bad" / "fields")
    (tmp_path / "bad" / "scores.json").write_text(content)
    ended = astro_ood("compare", toy.run, tmp_path / "bad")
    assert ended.status == 2
    assert ended.err.startswith(f"error AOD-ST02 {tmp_path / 'bad' / 'scores.json'}: cannot be read as scores")
    assert len(ended.err.splitlines()) == 1


def test_embedded_network_is_what_its_card_says(astro_ood):
    ended = astro_ood("models", "check")
    assert ended.status == 0, ended.out
    assert ended.out.count("ok  ") == 6


def test_network_that_is_not_what_its_card_says_fails_the_check(astro_ood, tiny_network):
    ended = astro_ood("models", "check", tiny_network[0])
    assert ended.status == 2
    assert "FAIL" in ended.out
    assert ended.err.startswith(f"error AOD-MD53 {tiny_network[0]}: found failures of noise")
    assert "compare schedule, parameterisation and range" in ended.err
    assert ended.err.count("\n") == 1


def test_a_wrong_card_is_refused_with_the_right_one(astro_ood, tmp_path):
    card = json.loads(resource("data/models/photos32.json").read_text())
    path = Path(shutil.copy(resource("data/models/photos32.safetensors"), tmp_path / "net.safetensors"))
    path.with_suffix(".json").write_text(json.dumps({**card, "schedule": {"kind": "cosine"}}))
    ended = astro_ood("models", "check", path)
    assert ended.status == 2
    assert "FAIL" in ended.out
    (line,) = ended.err.splitlines()
    assert line.startswith(f"error AOD-MD53 {path}: found failures of ")
    assert '"schedule": {"kind": "linear"}' in line
    assert "expected a network as its card says" in line
    assert line.endswith("; correct its card to that")


def test_models_list_names_networks_and_architectures(astro_ood):
    ended = astro_ood("models", "list")
    assert ended.status == 0
    card = json.loads(resource("data/models/photos32.json").read_text())
    (line,) = [line for line in ended.out.splitlines() if line.startswith("photos32 ")]
    assert f"{card['parameters']:,} parameters" in line
    assert card["licence"] in line
    assert {line.split(":")[0] for line in ended.out.splitlines() if line.startswith("arch ")} == {
        f"arch {name}" for name in ARCHITECTURES
    }


def test_models_convert_writes_weights_with_a_card(astro_ood, tmp_path, tiny_network):
    _, card, net = tiny_network
    state, arguments = tmp_path / "mine.pt", tmp_path / "mine.json"
    torch.save({f"module.{key}": value for key, value in net.state_dict().items()}, state)
    arguments.write_text(
        json.dumps({key: card[key] for key in ("arch", "network", "schedule", "shape")} | {"sha256": digest(state)})
    )
    out = tmp_path / "new" / "mine.safetensors"
    command = ("models", "convert", state, "--config", arguments, "--out", out, "--licence", "CC0")
    ended = astro_ood(*command)
    assert ended.status == 0, ended
    assert ended.out.startswith(f"{out}: small_unet, ")
    written = json.loads(out.with_suffix(".json").read_text())
    assert (written["sha256"], written["licence"]) == (digest(out), "CC0")
    assert written["converted_from"] == {"name": "mine.pt", "sha256": digest(state)}
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in load_file(out).items())
    again = astro_ood(*command)
    assert again.status == 2
    assert again.err.startswith(f"error AOD-MD61 {out}: there is a file already")
    assert astro_ood(*command, "--overwrite").status == 0
    refused = astro_ood("models", "convert", state, "--config", arguments, "--arch", "iddpm", "--out", out, "--overwrite")
    assert refused.status == 2
    assert "AOD-MD51" in refused.err
    assert "try arch: small_unet" in refused.err
