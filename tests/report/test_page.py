import re
from dataclasses import fields, is_dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from html_support import HOSTILE, Document, assert_well_formed
from report_fixture import make, make_gallery, score

from astro_ood.errors import RunError
from astro_ood.report import page
from astro_ood.report.limits import limits_of


@pytest.fixture(scope="module")
def text():
    return page.render(make())


@pytest.fixture(scope="module")
def document(text):
    return Document(text)


def test_the_page_is_well_formed_and_has_landmarks(document):
    assert_well_formed(document)


def test_headings_go_down_one_level_at_a_time(document):
    levels = [int(tag[1]) for tag, _ in document.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_image_says_what_it_shows_and_is_inside_the_page(document):
    found = document.all("img")
    assert len(found) > 60
    assert all(len(image["alt"]) > 20 and image["src"].startswith("data:image/") for image in found)


def test_tables_have_captions_scopes_and_can_be_scrolled_by_keyboard(document):
    tables = [i for i, (tag, _) in enumerate(document.tags) if tag == "table"]
    assert len(tables) >= 7
    for i in tables:
        assert document.tags[i + 1][0] == "caption"
        assert document.tags[i - 1][1] | {"aria-labelledby": ""} == {
            "class": "scroll",
            "role": "region",
            "tabindex": "0",
            "aria-labelledby": "",
        }
    assert all(attrs.get("scope") in ("row", "col") for attrs in document.all("th"))


def test_the_verdict_comes_first_in_words(document):
    words = " ".join(" ".join(document.words).split())
    assert words.index("too much power at small scales") < words.index("How to read this") < words.index("Provenance What")
    assert "Fails" in words
    for part in (
        "cm⁻²",
        "astro-ood run config/hi4pi.yaml --cores 2",
        "AOD-IN02",
        "arXiv:2408.08558",
        "1 812 481",
        "6 of 6",
        "s011",
    ):
        assert part in words


@pytest.mark.parametrize("status", page.STATUS)
def test_each_status_has_its_word(status):
    data = make()
    found = Document(page.render(replace(data, verdict=replace(data.verdict, status=status))))
    assert page.STATUS[status][0] in "".join(found.words)
    assert any(status in attrs.get("class", "").split() for attrs in found.all("section"))


def test_nothing_is_fetched_and_nothing_runs(text, document):
    policy = next(m["content"] for m in document.all("meta") if m.get("http-equiv"))
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert {tag for tag, _ in document.tags}.isdisjoint({"script", "link", "iframe", "object", "embed", "base", "form"})
    assert not any(name.startswith("on") for _, attrs in document.tags for name in attrs)
    assert "url(" not in text
    assert "@import" not in text


def poisoned(value):
    """The same data with every text replaced, but for the words that choose a path."""
    if isinstance(value, str):
        return value if value in (*page.STATUS, "lol", "synthetic", "inverted") else HOSTILE
    if is_dataclass(value):
        return replace(value, **{f.name: poisoned(getattr(value, f.name)) for f in fields(value)})
    if isinstance(value, dict):
        return {key: poisoned(item) for key, item in value.items()}
    return type(value)(poisoned(item) for item in value) if isinstance(value, (list, tuple)) else value


def test_hostile_text_stays_text(tmp_path, document):
    path = page.write_report(poisoned(make()), tmp_path / "report.html")
    text = path.read_text(encoding="utf-8")
    found = Document(text)
    assert found.faults == []
    assert {tag for tag, _ in found.tags} <= {tag for tag, _ in document.tags}
    assert not any(name.startswith("on") for _, attrs in found.tags for name in attrs)
    assert "<script>alert(1)</script>" in "".join(found.words)
    assert not re.search("[\x00\u202e]", text)


def test_a_report_of_little_is_a_report():
    data = make()
    gallery = replace(data.gallery, real_held_out=data.gallery.real_held_out[:0], log=False, names={})
    power = {n: p for n, p in data.spectra.power.items() if n in ("real (inverted)", "synthetic")}
    card = replace(data.data, unit="", pixel_scale=None, files=[], skipped=[], notes=[], n_held_out=0)
    small = replace(
        data,
        gallery=gallery,
        spectra=replace(data.spectra, power=power),
        data=card,
        pdf=None,
        novelty=None,
        rows=[],
        provenance=[],
        commands=[],
        latents=replace(data.latents, held_out_accepted=None, criteria={"kind": "none", "bands": [], "false_reject": 0.0}),
    )
    found = Document(page.render(small))
    words = " ".join(" ".join(found.words).split())
    assert found.faults == []
    assert "No map was held out" in words
    assert "No statistic was computed" in words
    assert "No cheaper method was compared" in words
    assert "Novelty" not in words


def test_large_maps_make_no_large_page(tmp_path):
    data = make(gallery=make_gallery(np.random.default_rng(1), side=512, n_synthetic=60))
    path = page.write_report(replace(data, novelty=None), tmp_path / "new" / "report.html")
    assert path.stat().st_size < 3_000_000
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_long_tables_are_cut_and_a_page_that_is_too_long_is_refused(tmp_path, monkeypatch):
    data = make()
    many = [score("spectrum", 0.1, 0.5, "no difference detected", scale=float(i)) for i in range(5000)]
    text = page.render(replace(data, rows=[*data.rows, *many]))
    assert "The first 300 rows are shown" in text
    monkeypatch.setattr("astro_ood.report.document.MAX_BYTES", 1000)
    with pytest.raises(RunError, match="AOD-RN30"):
        page.write_report(data, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_twins_are_told_where_they_were_sought():
    data = make()
    text = page.render(data)
    assert "1 of 48 synthetic maps have the scattering coefficients of one inverted map" in text
    assert "In their statistics" in text
    assert "Twins, which share the statistics" in text
    bare = page.render(make(novelty=replace(data.novelty, scattering=None)))
    assert "In their statistics" not in bare
    assert "Twins, which" not in bare


def test_pairs_are_shown_by_pixels_and_by_statistics_and_parents_in_a_sentence():
    data = make()
    twin = replace(data.novelty.scattering, threshold=float(np.sort(data.novelty.scattering.samples)[0]) + 1e-6)
    found = Document(page.render(replace(data, novelty=replace(data.novelty, scattering=twin))))
    words = " ".join(" ".join(found.words).split())
    assert words.index("Closest pairs Left") < words.index("Closest pairs in their statistics The same")
    assert words.count("a twin ") >= 1
    assert (
        len([image for image in found.all("img") if image["alt"].startswith("Synthetic map s") and "nearest real" in image["alt"]])
        == 12
    )
    assert "with its main parent, under flips, turns and shifts, is 0.43 in the median and ranges from 0.21 to 0.65" in words
    known = replace(data.novelty, parent_correlation=None, scattering=replace(twin, closest=None))
    without = " ".join(Document(page.render(replace(data, novelty=known))).words)
    assert "main parent" not in without
    assert "in their statistics The same" not in without


def test_a_report_gives_one_range_of_smallest_p():
    one, other = score("spectrum", 0.4, 0.01, "different"), score("joint", 1.0, 0.2, "undecided") | {"p_min": 0.01}
    untested = score("novelty_scattering", 1.0, None, "undecided") | {"p_min": 0.5}
    text = " ".join(limits_of(replace(make(), rows=[one, other, untested])))
    assert (
        "no test can give p below 0.002 to 0.010 (by test), and after correction for 2 tests not below 0.004 to 0.020 (by test)"
        in text
    )
