"""Several runs on one page: what it says, what it leaves alone, and how a browser shows it."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import BINARY, CONTRAST, Browser, paper
from html_support import HOSTILE, Document, assert_well_formed
from report_fixture import fields, make, score

from astro_ood.report.comparison import ComparedRun, barriers, differences, matrix, remarks, standings
from astro_ood.report.dashboard import render_dashboard, write_dashboard

WHEN = {"created": "2026-01-05T10:31:07+00:00", "version": "0.1.0"}


@pytest.fixture(scope="module")
def data():
    return make()


@pytest.fixture(scope="module")
def runs(data):
    """The same maps twice, with another prior, and maps in another unit."""
    gallery = replace(data.gallery, log=False)
    card = replace(data.data, unit="mag", patch=(64, 32), files=[{"path": "dust.fits", "sha256": "b" * 64, "bytes": 9}])
    other = [entry | {"settings": entry["settings"] | {"prior": {"kind": "isotropic"}}} for entry in data.provenance]
    return [
        ComparedRun(0, data, "results/hi4pi"),
        ComparedRun(1, replace(data, name="isotropic", provenance=other), "results/isotropic"),
        ComparedRun(2, replace(data, name="dust", data=card, gallery=gallery), "elsewhere/dust"),
    ]


@pytest.fixture(scope="module")
def text(runs):
    return render_dashboard(runs, **WHEN, left_out=["results/slow: there are no scores yet"])


@pytest.fixture(scope="module")
def document(text):
    return Document(text)


def said(document):
    return " ".join(" ".join(document.words).split())


def test_the_page_is_well_formed_and_has_landmarks(document):
    assert_well_formed(document)
    assert all(attrs.get("scope") in ("row", "col") for attrs in document.all("th"))
    assert all(a["alt"] and a["src"].startswith("data:image/") for a in document.all("img"))


def test_what_cannot_be_compared_is_said_before_anything_else(document):
    words = said(document)
    assert words.index("the runs were not judged by the same real maps") < words.index("One row for each run")
    for part in (
        "come from different files: A, B: h1_nh_HI4PI_healpix_lowres.fits (ca978112); C: dust.fits (bbbbbbbb).",
        "The units differ: A, B: cm⁻²; C: mag.",
        "A, B: log₁₀ of the maps; C: the maps themselves",
        "A, B: 64 × 64 pixels of 55 × 55 arcmin; C: 64 × 32",
        "each group of runs has a colour bar of its own",
        "results/slow: there are no scores yet",
    ):
        assert part in words


def test_runs_on_the_same_maps_can_be_compared(runs):
    assert barriers(runs[:2]) == ("Yes: the same files, the same held-out maps, the same unit and scales", [])
    words = said(Document(render_dashboard(runs[:2], **WHEN)))
    assert "the best of several looks better than it is" in words
    assert "colour bar of its own" not in words
    assert "Left out" not in words


def test_the_same_maps_measured_in_another_way_are_not_called_other_maps(data):
    again = replace(data, gallery=replace(data.gallery, log=False))
    headline, why = barriers([ComparedRun(0, data), ComparedRun(1, again)])
    assert "not measured in the same way" in headline
    assert len(why) == 1


def test_other_numbers_of_maps_and_none_held_out_are_remarked(data):
    few = replace(data, data=replace(data.data, n_held_out=0))
    found = " ".join(remarks([ComparedRun(0, data), ComparedRun(1, few)]))
    assert "A: 6 inverted, 6 held out, 48 synthetic; B: 6 inverted, 0 held out" in found
    assert "No map was held out in B" in found
    assert remarks([ComparedRun(0, data)]) == []


def test_only_settings_that_differ_are_shown(runs):
    assert differences(runs[:2]) == [("prior.kind", ["–", "isotropic"])]
    assert differences(runs[:1]) == []


def test_many_files_that_differ_only_at_the_end_are_told_apart(data):
    files = [{"path": f"{i}.fits", "sha256": f"{i:064x}"} for i in range(9)]
    one, two = (replace(data, data=replace(data.data, files=found)) for found in (files, [*files[:8], {"path": "x.fits"}]))
    assert "different files" in barriers([ComparedRun(0, one), ComparedRun(1, two)])[1][0]


def test_the_matrix_is_made_of_what_the_scores_hold(data):
    head = score("texture", 3.5, 0.004, "different", unit="floor sd")
    scales = [score("texture", v, 0.1, "different", scale=s, floor=0.1) for s, v in (("a", 0.2), ("b", -0.35), ("c", 0.1))]
    rivals = [score("texture", v, 0.4, "undecided", name=n) for n, v in (("IAAFT", 0.7), ("augmentation", 0.1), ("mine", -0.6))]
    new = score("novelty_colour", 0.93, 0.2, "novel")
    runs = [ComparedRun(0, data), ComparedRun(1, replace(data, rows=[*data.rows, head, *scales, *rivals, new]))]
    table = {name: cells for name, _, cells in matrix(runs)}
    assert list(table)[-1] == "texture"
    assert table["texture"][0] is None
    cell = table["texture"][1]
    assert (cell.worst["scale"], cell.rival["set"], cell.by_size) == ("b", "mine", False)
    assert [name for name, _, _ in matrix(runs, novelty=True)] == ["novelty_copy", "novelty_colour"]
    words = said(Document(render_dashboard(runs, **WHEN)))
    assert "Texture floor sd not computed −3.5" in words
    assert "at b p = 0.016 mine: −0.60, undecided" in words
    assert "Novelty colour" in words


def test_of_distances_between_sets_the_least_likely_is_named(data):
    head = score("joint", 4.0, 0.3, "undecided", unit="sd of the null")
    scales = [
        score("joint", v, p, "undecided", scale=s) for s, v, p in (("energy", 9.0, 0.6), ("mmd", 0.1, 0.3), ("kid", 1.0, 0.4))
    ]
    cell = matrix([ComparedRun(0, replace(data, rows=[head, *scales]))])[0][2][0]
    assert {row["p_adjusted"] for row in scales} == {1.0}
    assert cell.worst["scale"] == "mmd"


def test_a_difference_by_its_size_is_called_so(data):
    head = score("spectrum", 9.0, 0.5, "different", unit="floor sd")
    runs = [ComparedRun(0, replace(data, rows=[head]))]
    assert matrix(runs)[0][2][0].by_size
    assert "p = 1.00, by its size" in said(Document(render_dashboard(runs, **WHEN)))
    assert standings(runs) == [{"own": (0, 1, 0), "rival": None, "rivals": None, "least": 0.0022}]


def test_what_is_absent_is_left_out(data):
    bare = replace(data, rows=[], provenance=[], novelty=None, spectra=replace(data.spectra, floor=data.spectra.floor[:0]))
    bare = replace(bare, inversion=replace(data.inversion, rows=[]), data=replace(data.data, files=[], pixel_scale=None, unit=""))
    found = Document(render_dashboard([ComparedRun(0, bare)], **WHEN))
    assert found.faults == []
    assert "No statistic was computed." in said(found)
    assert {"spectra", "novelty", "differences"}.isdisjoint(a.get("id") for a in found.all("section"))


def test_links_are_relative_and_no_name_becomes_a_scheme(data, tmp_path):
    report = tmp_path / "runs" / "javascript:alert(1)" / "a b#?.html"
    report.parent.mkdir(parents=True)
    report.touch()
    page = write_dashboard([ComparedRun(0, data, "x", report)], report.parent / "cmp" / "new.html", **WHEN)
    links = [a["href"] for a in Document(page.read_text(encoding="utf-8")).all("a") if not a["href"].startswith("#")]
    assert links == ["../a%20b%23%3F.html"]
    page = write_dashboard([ComparedRun(0, data, "x", report)], tmp_path / "runs" / "new.html", **WHEN)
    links = [a["href"] for a in Document(page.read_text(encoding="utf-8")).all("a") if not a["href"].startswith("#")]
    assert links == ["javascript%3Aalert%281%29/a%20b%23%3F.html"]


def test_hostile_text_is_only_text(data):
    card = replace(data.data, unit=HOSTILE, files=[{"path": HOSTILE, "sha256": HOSTILE}], regions={"held_out": [HOSTILE]})
    settings = [{"stage": "fields", "settings": {HOSTILE: HOSTILE}, "versions": {HOSTILE: HOSTILE}}]
    rows = [
        score(HOSTILE, 1.0, 0.5, HOSTILE, unit=HOSTILE),
        score(HOSTILE, 1.0, 0.5, HOSTILE, scale=HOSTILE),
        score(HOSTILE, 1.0, 0.5, HOSTILE, name=HOSTILE),
    ]
    names = {"synthetic": [HOSTILE] * 3}
    taken = replace(
        data,
        name=HOSTILE,
        title=HOSTILE,
        data=card,
        rows=rows,
        provenance=settings,
        verdict=replace(data.verdict, headline=HOSTILE),
        model={"name": HOSTILE, "sha256": HOSTILE},
        gallery=replace(data.gallery, names=names),
        spectra=replace(data.spectra, k_unit=HOSTILE),
    )
    runs = [ComparedRun(0, data, HOSTILE, Path("x")), ComparedRun(1, taken, HOSTILE)]
    found = Document(render_dashboard(runs, **WHEN, left_out=[HOSTILE], beside=Path(HOSTILE.replace("\0", ""))))
    assert found.faults == []
    assert {"script", "link", "iframe", "object", "base", "form"}.isdisjoint(tag for tag, _ in found.tags)
    assert not [name for _, attrs in found.tags for name in attrs if name.startswith("on")]
    assert all(a["src"].startswith("data:image/") for a in found.all("img"))
    assert "{{7*7}}{% raw %}" in said(found)
    policy = next(m["content"] for m in found.all("meta") if m.get("http-equiv"))
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_many_runs_with_large_maps_stay_small(data, tmp_path):
    large = fields(3, np.random.default_rng(3), side=512)
    gallery = replace(data.gallery, synthetic=large, real_held_out=large[:1])
    many = [ComparedRun(i, replace(data, name=f"run {i}", gallery=gallery, rows=data.rows[:3])) for i in range(24, 30)]
    path = write_dashboard(many, tmp_path / "all.html", **WHEN)
    assert path.stat().st_size < 2_500_000
    assert [run.key for run in many] == ["Y", "Z", "27", "28", "29", "30"]


@pytest.fixture(scope="module")
def path(tmp_path_factory, runs):
    return write_dashboard(runs, tmp_path_factory.mktemp("dashboard") / "compare.html", **WHEN, left_out=["results/slow"])


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if BINARY is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def test_nothing_is_requested_and_nothing_complained_of(browser, path):
    browser.open(path)
    assert browser.js("document.images.length") > 15
    browser.assert_alone(path)
    assert browser.js("document.scripts.length") == 0


@pytest.mark.parametrize(("width", "scheme"), [(320, "dark"), (390, "light"), (1280, "dark"), (1280, "light")])
def test_it_fits_and_can_be_read(browser, path, width, scheme):
    browser.open(path, width=width, scheme=scheme)
    browser.js("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.js("document.documentElement.scrollWidth") <= width
    assert browser.js(CONTRAST) >= 4.5


def test_three_runs_need_no_scrolling_on_a_laptop(browser, path):
    browser.open(path, width=1280)
    assert browser.js("[...document.querySelectorAll('.scroll')].every(e => e.scrollWidth <= e.clientWidth)")


@pytest.mark.parametrize("copies", [1, 2])
def test_print_is_a4_light_and_whole(browser, path, runs, tmp_path, copies):
    again = [replace(run, index=i) for i, run in enumerate(runs * copies)]
    browser.open(write_dashboard(again, tmp_path / "many.html", **WHEN), scheme="dark")
    boxes = paper(browser.pdf())
    wanted = (595, 842) if copies == 1 else (842, 595)
    assert 3 <= len(boxes) <= 12
    assert all(abs(w - wanted[0]) < 2 and abs(h - wanted[1]) < 2 for w, h in boxes)


def test_hostile_titles_do_not_run(browser, data, tmp_path):
    name = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
    taken = replace(data, name=name, title=name, data=replace(data.data, unit=name))
    browser.open(write_dashboard([ComparedRun(0, taken, name)], tmp_path / "compare.html", **WHEN))
    assert "taken" not in re.sub(re.escape(name), "", browser.js("document.title"))
    assert browser.js("document.querySelector('tbody bdi').textContent") == name
