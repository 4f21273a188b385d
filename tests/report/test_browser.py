"""The page as a reader sees it."""

from itertools import pairwise

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


@pytest.mark.parametrize("width", [320, 360, 390, 768, 1280])
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


TAB = {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
ENTER = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
SPACE = {"key": " ", "code": "Space", "windowsVirtualKeyCode": 32, "text": " "}
# everything that can be reached, in the order of the document
REACHABLE = """[...document.querySelectorAll('a[href], summary, [tabindex="0"]')].filter(e => e.checkVisibility())"""
# what has the keyboard: its place among these, whether it looks different for it, and whether the reader sees it
FOCUS = f"""(() => {{ const e = document.activeElement, s = getComputedStyle(e), b = e.getBoundingClientRect();
  return [{REACHABLE}.indexOf(e), s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2,
    b.right > 0 && b.left < innerWidth && b.bottom > 0 && b.top < innerHeight]; }})()"""


def press(browser, key):
    for kind in ("keyDown", "keyUp"):
        browser.send("Input.dispatchKeyEvent", type=kind, **key)


@pytest.mark.parametrize("width", [360, 1280])
def test_tab_goes_through_everything_in_reading_order_and_shows_where_it_is(browser, path, width):
    browser.open(path, width)
    browser.js(
        "document.documentElement.style.scrollBehavior = 'auto'; document.querySelectorAll('details').forEach(d => d.open = true)"
    )
    n = browser.js(f"{REACHABLE}.length")
    assert n > 25
    places = []
    for _ in range(n):
        press(browser, TAB)
        place, outlined, seen = browser.js(FOCUS)
        assert outlined, place
        assert seen, place
        places.append(place)
    assert places == list(range(n))


def test_the_first_key_leads_past_the_contents(browser, path):
    browser.open(path)
    press(browser, TAB)
    assert browser.js("document.activeElement.className") == "skip"
    press(browser, ENTER)
    assert browser.js("location.hash") == "#main"
    press(browser, TAB)
    assert browser.js("document.querySelector('main').contains(document.activeElement)")


@pytest.mark.parametrize("key", [ENTER, SPACE], ids=["enter", "space"])
def test_keys_open_and_close_what_is_folded(browser, path, key):
    browser.open(path)
    browser.js("document.querySelector('details:not([open]) > summary').focus()")
    opened = "document.activeElement.parentElement.open"
    states = [browser.js(opened)]
    for _ in range(2):
        press(browser, key)
        states.append(browser.js(opened))
    assert states == [False, True, False]


# What a screen reader is told, by the browser's own account
UNNAMED = {"table", "region", "navigation", "image", "img", "link", "button", "DisclosureTriangle", "heading"}


def test_everything_has_a_name_for_screen_readers(browser, path):
    browser.open(path)
    browser.js("document.querySelectorAll('details').forEach(d => d.open = true)")
    browser.send("Accessibility.enable")
    nodes = [n for n in browser.send("Accessibility.getFullAXTree")["nodes"] if not n.get("ignored")]
    named = [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes if "role" in n]
    roles = {role for role, _ in named}
    assert {"table", "region", "navigation", "main", "link", "heading"} <= roles
    assert [role for role, name in named if role in UNNAMED and not name.strip()] == []
    tables = [name for role, name in named if role == "table"]
    assert len(tables) == len(set(tables)) >= 5
    pictures = [name for role, name in named if role in ("image", "img")]
    assert len(pictures) > 40
    assert not any(name.endswith((".png", ".svg")) for name in pictures)


def test_structure_that_a_screen_reader_walks_by(browser, path):
    browser.open(path)
    # one title of the page, and no level of headings is left out
    levels = browser.js("[...document.querySelectorAll('h1, h2, h3, h4')].map(e => Number(e.tagName[1]))")
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert browser.js("document.documentElement.lang") == "en"
    ids = browser.js("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    # labels and links lead to something
    leads = "[...document.querySelectorAll('[aria-labelledby], a[href^=\"#\"]')].map(e => e.getAttribute('aria-labelledby') || e.hash.slice(1))"
    assert set(browser.js(leads)) <= set(ids)
    # cells know their heads
    assert browser.js(
        "[...document.querySelectorAll('th')].every(e => e.scope) && [...document.querySelectorAll('table')].every(t => t.caption)"
    )


def test_nothing_is_cut_on_paper(browser, path):
    """At the width of a page, A4 less its margins, nothing is wider than the paper and nothing scrolls inside a frame."""
    browser.open(path, width=688)
    browser.send("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "light"}])
    assert browser.js("document.documentElement.scrollWidth") <= 688
    wide = """[...document.querySelectorAll('table, pre, figure, img')].filter(e => e.checkVisibility())
      .filter(e => e.getBoundingClientRect().right > 689 || e.scrollWidth > e.clientWidth + 1 && e.tagName === 'PRE').map(e => e.tagName + (e.caption?.id || e.className))"""
    assert browser.js(wide) == []
