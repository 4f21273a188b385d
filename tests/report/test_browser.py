"""The page as a reader sees it."""

import pytest
from browser import BINARY, CONTRAST, Browser, paper
from report_fixture import make

from astro_ood.report import page

pytestmark = pytest.mark.skipif(BINARY is None, reason="needs Chromium (apt-get install chromium)")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return page.write_report(make(), tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def test_nothing_is_requested_and_nothing_complained_of(browser, path):
    browser.open(path)
    assert browser.js("document.images.length") > 60
    browser.assert_alone(path)


@pytest.mark.parametrize("width", [390, 1280])
def test_who_points_at_a_value_reads_it(browser, path, width):
    browser.open(path, width)
    assert browser.js("document.querySelectorAll('.points i').length") > 100
    # in the middle of the mark, and on top of the picture
    found = browser.js("""[...document.querySelectorAll('.points')].filter(g => g.checkVisibility()).map(group => {
      const mark = group.lastElementChild; mark.scrollIntoView({block: 'center', behavior: 'instant'});
      const box = mark.getBoundingClientRect();
      return document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2).title; })""")
    assert len(found) >= 5
    assert all(":" in text and any(c.isdigit() for c in text) for text in found)
    outside = """[...document.querySelectorAll('.points i')].filter(i => { const a = i.getBoundingClientRect(),
      b = i.closest('.pointed').getBoundingClientRect(), x = a.x + a.width / 2, y = a.y + a.height / 2;
      return x < b.left || x > b.right || y < b.top || y > b.bottom; }).length"""
    assert browser.js(outside) == 0


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_sticks_out_sideways(browser, path, width):
    browser.open(path, width=width)
    browser.js("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.js("document.documentElement.scrollWidth") <= width


def test_scores_need_no_scrolling_on_a_laptop(browser, path):
    browser.open(path, width=1280)
    assert browser.js("(e => e.scrollWidth <= e.clientWidth)(document.querySelector('[aria-labelledby=c-scores]'))")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("status", page.STATUS)
def test_all_text_has_contrast(browser, tmp_path, scheme, status):
    data = make()
    object.__setattr__(data.verdict, "status", status)
    browser.open(page.write_report(data, tmp_path / "report.html"), scheme=scheme)
    assert browser.js(CONTRAST) >= 4.5


@pytest.mark.parametrize(("scheme", "shown"), [("light", "by-day"), ("dark", "by-night")])
def test_figures_follow_the_colour_scheme(browser, path, scheme, shown):
    browser.open(path, scheme=scheme)
    classes = browser.js("[...document.querySelectorAll('.plot img')].filter(i => i.checkVisibility()).map(i => i.className)")
    assert set(classes) == {shown}
    assert len(classes) == 7


def test_a_click_takes_a_whole_paragraph_of_the_methods(browser, path):
    browser.open(path)
    first = "document.querySelector('#methods .take')"
    browser.js(f"{first}.scrollIntoView({{behavior: 'instant'}})")
    x, y = browser.js(f"(r => [r.left + 30, r.top + 10])({first}.getBoundingClientRect())")
    for kind in ("mousePressed", "mouseReleased"):
        browser.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    taken = browser.js("getSelection().toString()")
    assert taken.startswith("Data. We used 12 maps")
    assert taken == browser.js(f"{first}.textContent")


def test_hostile_text_does_not_run(browser, tmp_path):
    title = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
    browser.open(page.write_report(make(title=title), tmp_path / "report.html"))
    assert browser.js("document.querySelector('h1').textContent") == title
    assert "taken" not in browser.js("document.title").replace(title, "")
    assert browser.js("document.scripts.length") == 0


def test_a_script_that_got_in_would_not_run(browser, tmp_path):
    path = page.write_report(make(), tmp_path / "report.html")
    text = path.read_text(encoding="utf-8").replace("</main>", "<script>document.title='taken'</script></main>")
    path.write_text(text, encoding="utf-8")
    browser.open(path)
    assert browser.js("document.title") != "taken"


def test_print_is_a4_light_and_whole(browser, path):
    browser.open(path, scheme="dark")
    boxes = paper(browser.pdf())
    assert 4 <= len(boxes) <= 14
    assert all(abs(w - 595) < 2 and abs(h - 842) < 2 for w, h in boxes)
    browser.send("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert browser.js("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.js("[...document.querySelectorAll('.by-night')].some(i => i.checkVisibility())") is False
