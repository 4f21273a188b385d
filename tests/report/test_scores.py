import csv
import json

import numpy as np
import pytest
from report_fixture import score

from astro_ood.report.scores import COLUMNS, write_scores, write_text


def test_scores_come_back_from_both_files(tmp_path):
    rows = [
        score("spectrum", np.float32(0.5), 0.02, "different", scale=0.1, unit="ln P"),
        score("pdf", np.nan, np.inf, "undecided"),
    ]
    table, text = write_scores(rows, tmp_path / "new")
    with table.open() as file:
        found = list(csv.DictReader(file))
    assert tuple(found[0]) == COLUMNS
    assert float(found[0]["value"]) == 0.5
    assert found[1]["value"] == found[1]["p"] == found[1]["scale"] == ""
    loaded = json.loads(text.read_text())["rows"]
    assert loaded[0]["verdict"] == "different"
    assert loaded[1]["value"] is None
    assert loaded[1]["p"] is None
    assert sorted(p.name for p in table.parent.iterdir()) == ["scores.csv", "scores.json"]


def test_a_missing_key_is_empty_and_an_unknown_one_an_error(tmp_path):
    write_scores([{"statistic": "pdf"}], tmp_path)
    assert json.loads((tmp_path / "scores.json").read_text())["rows"][0] == dict.fromkeys(COLUMNS) | {"statistic": "pdf"}
    with pytest.raises(ValueError, match="valeu"):
        write_scores([{"statistic": "pdf", "valeu": 1.0}], tmp_path)


def test_text_cannot_become_a_formula(tmp_path):
    table, _ = write_scores([{"statistic": '=HYPERLINK("x")', "value": -1.5}], tmp_path)
    with table.open() as file:
        row = next(csv.DictReader(file))
    assert row["statistic"].startswith("'=")
    assert float(row["value"]) == -1.5


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "scores.csv"
    write_text(target, "old")

    def refuse(_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_text(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
