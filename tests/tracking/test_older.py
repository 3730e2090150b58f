"""Journals that an earlier version wrote, in MLflow's words, are read as those of today."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reprtune.record.outcomes import Outcome
from reprtune.settings import Settings
from reprtune.tracking.events import begin_event, end_event, metrics_event, tags_event
from reprtune.tracking.journal import Journal
from reprtune.tracking.mlflow import words
from reprtune.tracking.older import as_today
from reprtune.tracking.shipper import Shipper
from reprtune.tracking.updates import fold
from tests.tracking.tracked import DIGEST, STUDY, begin, look, point

# As version 0.1 wrote them, with fewer parameters.
BEGIN: dict[str, Any] = {
    "event": "begin", "identity": f"{DIGEST}/search-000", "parent": f"{DIGEST}/study", "name": "slot 000",
    "time_ms": 1000000, "attempt": 0,
    "params": {"cycles": "2", "criterion": "l2", "task.dataset": "digits", "training.lr": "0.1", "method.exclude": "[]", "seed": "0"},
    "metrics": [{"key": "hp.cycles", "value": 2.0, "step": 0, "time_ms": 1000000}],
    "tags": {
        "reprtune.study": "s", "reprtune.digest": DIGEST, "reprtune.role": "search", "reprtune.arm": "search",
        "reprtune.slot": "0", "reprtune.seed": "0", "reprtune.attempt": "0", "reprtune.outcome": "running",
        "reprtune.host": "h1", "reprtune.git_sha": "abc", "param.cycles": "2", "param.criterion": "l2",
        "mlflow.note.content": "Slot 0 of the search, seed 0: cycles 2.\n\nIts curve and its dropped filters: "
        "`plots.html` under Artifacts.",
        "mlflow.source.name": "reprtune", "mlflow.source.type": "LOCAL", "mlflow.user": "me",
        "mlflow.source.git.commit": "abc",
    },
    "config": json.dumps({"task": {"dataset": "digits"}}),
}  # fmt: skip
TAGS: dict[str, Any] = {
    "event": "tags",
    "tags": {
        "reprtune.host": "h", "reprtune.git_sha": "abc", "mlflow.source.name": "reprtune",
        "mlflow.source.type": "LOCAL", "mlflow.user": "me", "mlflow.source.git.commit": "abc",
    },
}  # fmt: skip
END: dict[str, Any] = {
    "event": "end", "time_ms": 2000000, "status": "KILLED",
    "metrics": [{"key": "result.seconds_spent", "value": 4.0, "step": 3, "time_ms": 2000000}],
    "tags": {"reprtune.state": "x", "reprtune.outcome": "stopped"},
}  # fmt: skip


@pytest.mark.parametrize("old", [BEGIN, TAGS, END], ids=["begin", "tags", "end"])
def test_mlflow_is_told_what_it_was_told(old: dict[str, Any]) -> None:
    """The old event is its own oracle: it holds tags, metrics and status as MLflow got them."""
    (found,) = fold([(1, as_today(old))], 0, "d/k")
    assert words.tags(found) == old["tags"]
    rows = [(words.metric_name(m), m.value, m.step, m.time_ms) for m in found.metrics]
    assert rows == [(m["key"], m["value"], m["step"], m["time_ms"]) for m in old.get("metrics", ())]
    if "status" in old:
        assert found.outcome is not None and Outcome(found.outcome).status == old["status"]


def test_nothing_of_mlflow_is_left() -> None:
    """Values are plain again: a number where there was a metric of it."""
    begun = as_today(BEGIN)
    assert begun["factors"] == {"cycles": 2.0, "criterion": "l2"}
    assert begun["params"] == {
        key: BEGIN["params"][key] for key in BEGIN["params"] if key not in ("cycles", "criterion")
    }
    assert begun["note"] == "Slot 0 of the search, seed 0: cycles 2."
    assert (as_today(END)["outcome"], as_today(END)["results"]) == ("stopped", {"seconds_spent": 4.0})
    said = json.dumps([begun, as_today(TAGS), as_today(END)])
    assert not [
        word for word in ("mlflow", "reprtune.", "param.", "hp.", "result.", "KILLED") if word in said
    ]


@pytest.mark.parametrize(
    "event",
    [
        begin(),
        begin_event(
            STUDY, STUDY.base, digest="d", key="k", name="n", role="control", slot=0, attempt=0, now=1.0
        ),
        metrics_event([point(1)]),
        tags_event({"host": "h"}),
        end_event("complete", metrics={"seconds_spent": 1.0}),
        {"event": "artifact", "name": "network"},
    ],
    ids=lambda event: event["event"],
)
def test_events_of_today_are_left_alone(event: dict[str, Any]) -> None:
    """Also those without a searched setting."""
    assert as_today(event) is event


def test_a_journal_that_was_begun_by_an_earlier_version_ships_to_its_end(settings: Settings) -> None:
    """Begun then, sent in part, ended today: one run with everything once."""
    journal, shipper = Journal(settings.journal_dir, "s"), Shipper(settings, STUDY, DIGEST)
    journal.append("search-000", BEGIN)
    journal.append("search-000", metrics_event([point(1)]))
    assert shipper.ship_once().error is None
    journal.append("search-000", {**BEGIN, "attempt": 1, "time_ms": 1500000})
    journal.append("search-000", metrics_event([point(1), point(2)]))
    journal.append("search-000", end_event("complete", step=2, metrics={"seconds_spent": 4.0}, now=3000.0))
    assert shipper.ship_once().error is None
    (run,) = look(settings)["slot 000"]
    assert (run.status, run.params, run.tags["reprtune.outcome"]) == ("FINISHED", BEGIN["params"], "complete")
    assert (run.steps("val_error"), run.steps("hp.cycles"), run.steps("result.seconds_spent")) == (
        [1, 2], [0], [2],
    )  # fmt: skip


def test_a_page_that_an_earlier_version_drew_is_sent(settings: Settings) -> None:
    """It lies in the journal itself, without its library, which the drawing adds."""
    journal = Journal(settings.journal_dir, "s")
    journal.append("search-000", BEGIN)
    journal.artifact("search-000", "plots.html", "<html>draft")
    shipper = Shipper(settings, STUDY, DIGEST, draw=lambda data: f"{data}, whole")
    assert shipper.ship_once().error is None
    assert look(settings)["slot 000"][0].artifacts["plots.html"] == "<html>draft, whole"
