"""Links to MLflow: only those that work, and never with a password in them."""

from __future__ import annotations

from dataclasses import replace

from dashboards.report import report_files
from dashboards.runs import run_addresses
from tests.factories import make_study


def test_a_trial_that_never_began_has_no_run():
    """A waiting trial is not linked; without an experiment in the record nothing is."""
    record = make_study(2, outcomes=("complete", "waiting"), extras=(), control_seeds=(0,))
    assert run_addresses(record, "http://m") == {}
    known = replace(record, facts={**record.facts, "experiment": {"name": "x", "id": "7"}})
    found = run_addresses(known, "http://m")
    assert set(found) == {"0", "slot 0", "standard, seed 0", "paper, seed 0", "random-drop, seed 0"}
    assert all(a.startswith("http://m/#/experiments/7/runs?searchFilter=") for a in found.values())


def test_a_report_without_a_server_has_no_links():
    """Where the tracking store is a file, no cell and no point leads anywhere."""
    record = make_study(8, outcomes=("complete",), extras=())
    record = replace(record, facts={**record.facts, "experiment": {"name": "x", "id": "7"}})
    pages = {
        address: report_files(record, 0.0, address)["report.html"].decode() for address in (None, "http://m")
    }
    assert "/#/experiments/" not in pages[None]
    assert "http://m/#/experiments/7/" in pages["http://m"]
