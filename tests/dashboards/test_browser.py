"""The report in a real browser: drawn, silent, and without a request to anywhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dashboards import pages
from dashboards.report import write_report
from dashboards.trial_page import trial_html
from tests.browser import needs_browser, opened, resized, running_browser, undrawn
from tests.factories import make_study

PAGES = {
    key: page
    for key, page in pages.PAGES.items()
    if page.about not in ("factorial", "regimes", "path", "tuned")
}

pytestmark = needs_browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with running_browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.mark.parametrize("width", [1280, 390])
def test_every_figure_is_drawn_in_silence(browser, tmp_path, width):
    """No console message, no address but the file itself, every page's figure with traces, no sideways scroll."""
    resized(browser, width)
    study = make_study()
    drawn = [page for page in PAGES.values() if page.words(page.info(study)).missing is None]
    asked, console = opened(browser, write_report(study, tmp_path / "out"))
    assert console == []
    assert [a for a in asked if not a.startswith(("file:", "data:"))] == []
    assert len(browser.find_elements("css selector", ".plot")) == len(drawn)
    assert undrawn(browser) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_the_menu_shows_another_trial(browser, tmp_path):
    """Choosing a trial redraws its curve, its shaded phases and its drops."""
    resized(browser, 1280)
    opened(browser, write_report(make_study(), tmp_path / "out"))
    from selenium.webdriver.support.ui import Select

    for page in ("curves", "dropmap"):
        before = browser.execute_script(f"return JSON.stringify(document.getElementById('{page}-plot').data)")
        Select(browser.find_element("id", f"{page}-plot-select")).select_by_index(2)
        after = browser.execute_script(f"return JSON.stringify(document.getElementById('{page}-plot').data)")
        assert before != after
    assert browser.get_log("browser") == []
    assert undrawn(browser) == []


def test_a_point_of_the_front_leads_to_its_run(browser, tmp_path):
    """A click opens the address that the table has for the trial; points without a run open nothing."""
    record = make_study(8, outcomes=("complete",), extras=())
    record = replace(record, facts={**record.facts, "experiment": {"name": "synthetic", "id": "7"}})
    opened(browser, write_report(record, tmp_path / "out", mlflow="http://127.0.0.1:5000"))
    addresses = browser.execute_script(
        """const found = []; window.open = (address) => found.push(address);
        const plot = document.getElementById("pareto-plot");
        const point = plot.data.find((trace) => trace.name === "front").customdata[0];
        plot.emit("plotly_click", { points: [{ customdata: point }] });
        plot.emit("plotly_click", { points: [{ customdata: "standard, seed 0" }] });
        return found;"""
    )
    link = browser.find_element("css selector", "#pareto tbody th a").get_attribute("href")
    assert link.startswith("http://127.0.0.1:5000/#/experiments/7/runs?")
    assert len(addresses) == 1 and addresses[0].startswith("http://127.0.0.1:5000/#/experiments/7/runs?")


def test_an_empty_study_shows_words(browser, tmp_path):
    """Pages without numbers are read, not drawn; nothing fails."""
    _, console = opened(browser, write_report(make_study(0, extras=(), control_seeds=()), tmp_path / "out"))
    assert console == []
    assert undrawn(browser) == []
    assert len(browser.find_elements("css selector", ".missing")) == len(PAGES) - 1


def test_markup_in_names_stays_text(browser, tmp_path):
    """A layer named like a script does not run."""
    evil = "<img src=x onerror=alert(1)></script>"
    record = make_study(2, outcomes=("complete",), layers={evil: 4}, question=evil, extras=())
    asked, console = opened(browser, write_report(record, tmp_path / "out"))
    assert console == []
    assert [a for a in asked if not a.startswith(("file:", "data:"))] == []
    assert "<img" in browser.find_element("css selector", "#overview .lead").text


def test_the_page_of_one_trial_is_drawn(browser, tmp_path):
    """Both figures of the page for the tracking server, as wide as there is room, in silence."""
    page = tmp_path / "trial.html"
    page.write_text(trial_html(make_study(1, outcomes=("complete",), extras=()).trials[0].history, "slot 0"))
    widths = []
    for width in (1280, 390):
        resized(browser, width)
        asked, console = opened(browser, page)
        assert console == []
        assert [a for a in asked if not a.startswith(("file:", "data:"))] == []
        assert len(browser.find_elements("css selector", ".plot")) == 2
        assert undrawn(browser) == []
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        line, place = browser.execute_script(
            "const line = document.querySelector('#curves .axes path.line[stroke=\"#B5431C\"]');"
            "return [line, document.querySelector('#curves .plot')].map(e => e.getBoundingClientRect().width)"
        )
        assert 0.7 * place < line < place
        widths.append(line)
    assert widths[0] > 2 * widths[1]


def test_a_browser_that_cannot_unpack_says_so(browser, tmp_path):
    """Without DecompressionStream the page names browsers that draw, and has its words and tables; no empty places."""
    page = write_report(make_study(), tmp_path / "out")
    script = {"source": "delete window.DecompressionStream"}
    added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", script)
    try:
        _, console = opened(browser, page)
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
    assert console == []
    seen = browser.find_element("css selector", "main").text
    assert "Firefox from 113" in browser.find_element("id", "undrawn").text
    assert "As a table:" in seen and not any(
        p.is_displayed() for p in browser.find_elements("css selector", ".plot, button[data-save]")
    )
