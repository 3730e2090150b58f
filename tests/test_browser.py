"""What a person sees of a finished study in a browser: the report, MLflow's page, Optuna's dashboard."""

from __future__ import annotations

import json
import shutil
import sys
import urllib.request
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from dashboards import pages
from reprtune.spec.study import StudySpec
from studies.load import load
from tests.browser import (
    asked,
    free_port,
    needs_browser,
    opened,
    resized,
    running_browser,
    serving,
    undrawn,
    until,
    way_out,
)

PAGES = {key: page for key, page in pages.PAGES.items() if page.about not in ("factorial", "path", "tuned")}

pytestmark = [needs_browser, pytest.mark.timeout(300)]  # servers start slowly on a busy machine
STUDY: StudySpec = load("repr-smoke")
RUNS = {
    STUDY.name,
    *(f"slot {slot}" for slot in range(STUDY.slots)),
    *(f"{arm}, seed {seed}" for arm, seed, _ in STUDY.arm_cells()),
}
# Pages for which a study of six slots has too few trials, or that wait for `study confirm`; and one of words alone.
EMPTY = {"importance", "interactions", "confirmation", "decisions", "health", "effects", "slopes", "regimes"}
# What MLflow's own page writes: it asks who is there, and its libraries have opinions.
MLFLOW_SAYS = ("/mlflow/users/current", "AG Grid", "ResizeObserver loop")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with running_browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="module")
def report(finished) -> Path:
    """The report of the finished study, as the command line writes it."""
    finished.quick("study", "report", STUDY.name)
    return finished.settings.report_dir(STUDY.name) / "report.html"


@pytest.fixture(scope="module")
def mlflow_page(finished, tmp_path_factory):
    """(address, calls to other machines) of MLflow's page, started as the README says."""
    port = free_port()
    words = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", finished.settings.mlflow_uri]
    words += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    log = tmp_path_factory.mktemp("mlflow-ui") / "log.txt"
    with way_out() as (proxy, calls):
        environment = {**proxy, "MLFLOW_DISABLE_TELEMETRY": "true"}
        with serving(words, f"http://127.0.0.1:{port}/health", log, environment):
            yield f"http://127.0.0.1:{port}", calls


@pytest.fixture
def experiment(finished):
    """(id of the study's experiment, name of a run -> its id), from MLflow's client."""
    from reprtune.tracking.mlflow.connection import connect

    client = connect(finished.settings.mlflow_uri)
    found = client.get_experiment_by_name(STUDY.name)
    runs = client.search_runs([found.experiment_id])
    return found.experiment_id, {run.info.run_name: run.info.run_id for run in runs}


def text(browser) -> str:
    return str(browser.execute_script("return document.body.innerText"))


def elsewhere(browser, *homes: str) -> list[str]:
    """Addresses asked for that are not on this machine."""
    return [a for a in asked(browser) if not a.startswith((*homes, "data:", "blob:", "about:"))]


@pytest.mark.parametrize("width", [1280, 390])
def test_the_report_of_a_real_study_is_drawn_in_silence(browser, report, width):
    """Every figure that has numbers, on a screen and on a phone; only the file itself is asked for."""
    resized(browser, width)
    requests, console = opened(browser, report)
    assert console == []
    assert [a for a in requests if not a.startswith(("file:", "data:"))] == []
    assert undrawn(browser) == []
    drawn = {plot.get_attribute("id") for plot in browser.find_elements(By.CSS_SELECTOR, ".plot")}
    assert drawn == {f"{key}-plot" for key in PAGES if key not in EMPTY}
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_the_report_says_what_optuna_says(browser, report, finished):
    """Front and counts, as a reader finds them on the page, against Optuna's own answer."""
    import optuna

    study = optuna.load_study(study_name=STUDY.name, storage=finished.settings.storage_url)
    opened(browser, report)
    rows = browser.execute_script(
        "return [...document.querySelectorAll('#pareto tbody tr')]"
        ".map(r => [r.children[0], r.children[2]].map(c => c.textContent))"
    )
    front = {str(t.user_attrs["slot"]): f"{100 * (1 - t.values[0]):.2f} %" for t in study.best_trials}
    assert dict(rows) == front and len(rows) == len(front)
    best = min(study.best_trials, key=lambda t: (t.values[0], t.values[1], t.number))
    complete = [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]
    lead = browser.execute_script("return document.getElementById('overview').textContent")
    lead = lead.replace("\N{NO-BREAK SPACE}", " ")
    assert f"Best of the search: {100 * best.values[0]:.2f} % validation error" in lead
    assert f"slot {best.user_attrs['slot']} with" in lead
    assert f"selected among {len(complete)} complete trial" in lead


def test_mlflow_shows_nested_runs_and_plots_in_place(browser, mlflow_page, experiment):
    """The study's run opens to its slots; a slot's page has its description, charts and plots, drawn inside.

    Nothing leaves this machine, neither from the page nor from the server behind it.
    """
    (address, calls), (experiment_id, runs) = mlflow_page, experiment
    assert set(runs) == RUNS
    resized(browser, 2200)  # all columns side by side
    asked(browser)
    browser.get_log("browser")
    home = f"{address}/#/experiments/{experiment_id}/runs"
    browser.get(home)
    until(lambda: STUDY.name in _links(browser), "row of the study")
    assert STUDY.question in text(browser)
    assert _links(browser) & RUNS == {STUDY.name}
    browser.find_element(By.CSS_SELECTOR, ".ag-cell button").click()
    until(lambda: _links(browser) >= RUNS, "row for every slot and control")

    browser.get(f"{home}?viewStateShareKey=reprtune")
    until(lambda: {"val_error", "gflops", *STUDY.params} <= _headers(browser), "column for every parameter")

    slot = f"{home}/{runs['slot 0']}"
    browser.get(slot)
    until(lambda: "Slot 0 of the search, seed 0: criterion" in text(browser), "description of the slot")
    assert browser.find_elements(By.LINK_TEXT, STUDY.name), "no link to the parent run"
    browser.get(f"{slot}/model-metrics")
    until(lambda: browser.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .trace"), "chart of a metric")

    browser.get(f"{slot}/artifacts")
    for name, holds in (("config.json", "exclude_first"), ("plots.html", "Path: ")):
        until(lambda name=name: browser.find_elements(By.XPATH, f"//*[text()='{name}']"), name)[0].click()
        until(lambda holds=holds: holds in text(browser), f"what {name} holds")
    frame = until(
        lambda: browser.find_elements(By.CSS_SELECTOR, "iframe.mlflow-html-iframe"), "page of plots"
    )
    browser.switch_to.frame(frame[0])
    until(lambda: browser.find_elements(By.CSS_SELECTOR, ".plot") and not undrawn(browser), "drawn plot")
    assert len(browser.find_elements(By.CSS_SELECTOR, ".plot")) == 2
    browser.switch_to.default_content()

    browser.get(f"{home}/{runs[STUDY.name]}")
    until(lambda: STUDY.decision[:40] in text(browser), "description of the study")
    console = [entry["message"] for entry in browser.get_log("browser")]
    assert [m for m in console if not any(known in m for known in MLFLOW_SAYS)] == []
    assert elsewhere(browser, address) == []
    assert calls == []


def _links(browser) -> set[str]:
    return {a.text for a in browser.find_elements(By.CSS_SELECTOR, ".ag-cell a")}


def _headers(browser) -> set[str]:
    return {h.text for h in browser.find_elements(By.CSS_SELECTOR, ".ag-header-cell")}


@pytest.mark.skipif(
    shutil.which("optuna-dashboard", path=str(Path(sys.executable).parent)) is None,
    reason="optuna-dashboard is not installed",
)
def test_optuna_dashboard_reads_the_study(browser, finished, tmp_path):
    """Its answer has every trial with the values Optuna has, its page draws them; nothing leaves this machine."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    words = [str(Path(sys.executable).parent / "optuna-dashboard"), finished.settings.storage_url]
    words += ["--host", "127.0.0.1", "--port", str(port)]
    with way_out() as (environment, calls):
        with serving(words, f"{address}/api/meta", tmp_path / "log.txt", environment):
            with urllib.request.urlopen(f"{address}/api/studies") as reply:
                studies = json.load(reply)["study_summaries"]
            ids = {s["study_name"]: s["study_id"] for s in studies}
            assert set(ids) == {STUDY.name, f"{STUDY.name}.controls"}
            with urllib.request.urlopen(f"{address}/api/studies/{ids[STUDY.name]}") as reply:
                detail = json.load(reply)
            values = {t["number"]: t.get("values") for t in detail["trials"]}
            assert values == {t.number: t.values for t in finished.trials(STUDY.name)}
            assert detail["objective_names"] == list(STUDY.objectives)
            resized(browser, 1600)
            asked(browser)
            browser.get_log("browser")
            for page in ("", "/analytics"):
                browser.get(f"{address}/dashboard/studies/{ids[STUDY.name]}{page}")
                until(lambda: browser.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .trace"), "drawn plot")
            # Chromium's note on a layout that settles a frame later; optuna-dashboard's own, and harmless
            said = [e for e in browser.get_log("browser") if "ResizeObserver loop" not in e["message"]]
            assert said == []
            assert elsewhere(browser, address) == []
        assert calls == []
