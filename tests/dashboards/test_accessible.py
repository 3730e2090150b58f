"""The pages are for everyone: axe's rules, colours for every eye, keyboard, paper, a phone."""

from __future__ import annotations

import base64
import itertools
import json

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from dashboards import pages, theme
from dashboards.report import write_report
from dashboards.trial_page import trial_html
from tests.accessible import themed, violations
from tests.browser import needs_browser, opened, resized, running_browser
from tests.factories import make_study

PAGES = {
    key: page
    for key, page in pages.PAGES.items()
    if page.about not in ("factorial", "regimes", "path", "tuned")
}

COLOURS = {
    name: getattr(theme, name) for name in ("BLUE", "ORANGE", "GREEN", "PURPLE", "SKY", "VERMILLION", "GREY")
}
PAPERS = {"light": "#ffffff", "dark": "#15181c"}  # --paper of style.css
# Machado, Oliveira, Fernandes (2009), severity 1, on linear RGB.
SIGHT = {
    "usual": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900],
    ],
}  # fmt: skip
APART = 15.0  # CIE76; about 2 is just noticeable side by side, those of Okabe and Ito with our old grey had 9


def linear(colour: str) -> np.ndarray:
    """sRGB as light, IEC 61966-2-1."""
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def luminance(colour: str) -> float:
    return float(np.array([0.2126, 0.7152, 0.0722]) @ linear(colour))


def contrast(a: str, b: str) -> float:
    """WCAG 2's ratio, 1 to 21."""
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def lab(light: np.ndarray) -> np.ndarray:
    """CIE L*a*b* under D65."""
    to_xyz = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.072175],
        [0.0193339, 0.119192, 0.9503041],
    ]
    t = np.array(to_xyz) @ np.clip(light, 0, 1) / np.array([0.95047, 1, 1.08883])
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_stay_apart(sight):
    """Any two of the theme differ clearly, also for readers with one of the dichromacies."""
    seen = {name: lab(np.array(SIGHT[sight]) @ linear(colour)) for name, colour in COLOURS.items()}
    distances = {
        (a, b): float(np.linalg.norm(seen[a] - seen[b])) for a, b in itertools.combinations(COLOURS, 2)
    }
    assert min(distances.values()) >= APART, min(distances, key=distances.get)


@pytest.mark.parametrize("paper", PAPERS)
def test_marks_can_be_seen_on_both_papers(paper):
    """Every colour of the theme has the contrast of 3 that WCAG 1.4.11 asks of graphics."""
    low = {name: contrast(colour, PAPERS[paper]) for name, colour in COLOURS.items()}
    assert min(low.values()) >= 3, low


@pytest.mark.parametrize("colour", COLOURS.values(), ids=COLOURS)
def test_text_on_a_colour_can_be_read(colour):
    """Numbers inside bars have the contrast of 4.5 that WCAG 1.4.3 asks of text."""
    ink = theme.on(colour)
    assert contrast("#" + "".join(2 * digit for digit in ink[1:]), colour) >= 4.5


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with running_browser(tmp_path_factory.mktemp("profile")) as driver:
        driver.set_script_timeout(120)
        yield driver


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write_report(make_study(), tmp_path_factory.mktemp("report") / "out")


def look(browser, page, width, theme_name):
    themed(browser, theme_name)
    resized(browser, width)
    opened(browser, page)


@needs_browser
@pytest.mark.parametrize(
    ("width", "paper"),
    [
        (1280, "light"),
        (390, "dark"),
        pytest.param(1280, "dark", marks=pytest.mark.slow),
        pytest.param(390, "light", marks=pytest.mark.slow),
    ],
)
def test_the_report_breaks_no_rule(browser, page, width, paper):
    """WCAG 2 A and AA and good practice, with everything unfolded, on a laptop and a phone, light and dark."""
    look(browser, page, width, paper)
    browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert violations(browser) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    colours = browser.execute_script(
        "const s = getComputedStyle(document.body); return [s.backgroundColor,"
        " getComputedStyle(document.querySelector('#overview .infolayer text, #pareto .infolayer text')).fill]"
    )
    rgb = ["#" + "".join(f"{int(v):02x}" for v in c[4:-1].split(",")) for c in colours]
    assert rgb[0] == PAPERS[paper] and contrast(*rgb) >= 4.5


@needs_browser
@pytest.mark.parametrize(("width", "paper"), [(1280, "light"), (390, "dark")])
def test_the_page_of_one_trial_breaks_no_rule(browser, tmp_path, width, paper):
    """The page that MLflow shows of each trial; what stands beside its axes can be read on both papers."""
    page = tmp_path / "trial.html"
    page.write_text(trial_html(make_study(1, outcomes=("complete",), extras=()).trials[0].history, "slot 0"))
    look(browser, page, width, paper)
    assert violations(browser) == []
    ink = browser.execute_script("return getComputedStyle(document.querySelector('.axes text')).fill")
    colour = "#" + "".join(f"{int(v):02x}" for v in ink[4:-1].split(","))
    assert contrast(colour, PAPERS[paper]) >= 4.5


@needs_browser
def test_the_keyboard_reaches_everything(browser, page):
    """First the skip link, which leads to the content; every stop can be seen; tables and menus are among them."""
    look(browser, page, 1280, "light")
    browser.execute_script(
        "window.stops = []; document.addEventListener('focusin', () => { const a = document.activeElement;"
        " window.stops.push([a.hash || a.id || a.tagName, getComputedStyle(a).outlineStyle,"
        " a.getBoundingClientRect().left >= 0]); })"
    )
    ActionChains(browser, duration=0).send_keys(Keys.TAB * 150).perform()
    found = browser.execute_script("return window.stops")
    assert all(ring != "none" and inside for _, ring, inside in found)
    assert found[0][0] == "#main"
    stops = [name for name, _, _ in found[1:]]
    assert stops[: len(PAGES)] == [f"#{key}" for key in PAGES]
    assert {"curves-plot-select", "dropmap-plot-select", "SUMMARY", "BUTTON"} <= set(stops)


@needs_browser
def test_contents_fold_on_a_phone_and_say_where_one_is(browser, page):
    """Folded at first, unfolded by the keyboard, folded by a choice; the bar names the page one looks at."""
    look(browser, page, 390, "light")
    summary = browser.find_element("css selector", "#contents summary")
    opened_now = "return document.getElementById('contents').open"
    assert not browser.execute_script(opened_now)
    summary.send_keys(Keys.ENTER)
    assert browser.execute_script(opened_now)
    browser.find_element("css selector", "nav a[href='#pareto']").send_keys(Keys.ENTER)
    assert not browser.execute_script(opened_now)
    browser.execute_async_script("setTimeout(arguments[0], 1500)")
    assert summary.text == f"Contents: {PAGES['pareto'].short}"


@needs_browser
def test_on_paper_no_figure_is_cut(browser, page):
    """Printing gives sheets; on them every figure fits one, the contents are gone, and it all comes back after."""
    look(browser, page, 1280, "light")
    sizes = "return [...document.querySelectorAll('.plot')].map(p => [p.layout.height, p.style.minHeight, p.clientWidth])"
    before = browser.execute_script(sizes)
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    drawn = browser.execute_script(
        "return [...document.querySelectorAll('.plot .main-svg')].map(p => p.getBoundingClientRect())"
        ".map(r => [r.width, r.height])"
    )
    assert max(width for width, _ in drawn) <= 690 and max(height for _, height in drawn) <= 830
    browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert json.dumps(browser.execute_script(sizes)) == json.dumps(before)
    sheets = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"]
    content = base64.b64decode(sheets)
    assert content.startswith(b"%PDF") and content.count(b"/Type /Page\n") >= len(PAGES)
