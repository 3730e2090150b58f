"""The journal's events in MLflow's words."""

from __future__ import annotations

from typing import Any

import pytest

from reprtune.record.outcomes import Outcome
from reprtune.settings import Settings
from reprtune.spec.levels import levels
from reprtune.spec.space import FloatRange
from reprtune.spec.trial import TrialSpec
from reprtune.tracking.choose import tracker_for
from reprtune.tracking.events import begin_event, end_event, tags_event
from reprtune.tracking.mlflow import words
from reprtune.tracking.updates import RunUpdate, fold
from tests.flat import with_fields
from tests.tracking.test_events import LEVELS, STUDY, begin


def update(*events: Any) -> RunUpdate:
    """What a journal of these events says of its one run."""
    (found,) = fold(list(enumerate(events, 1)), 0, begin()["identity"])
    return found


def test_statuses_cover_every_outcome() -> None:
    """Ended well, killed on purpose, failed: no outcome of the record is without its word in MLflow."""
    assert {str(outcome): outcome.status for outcome in Outcome} == {
        "waiting": "SCHEDULED", "running": "RUNNING", "complete": "FINISHED", "stopped": "KILLED",
        "diverged": "KILLED", "infeasible": "KILLED", "repeated": "KILLED", "out-of-memory": "FAILED", "error": "FAILED",
        "interrupted": "KILLED", "lost": "KILLED", "duplicate": "KILLED", "over-budget": "KILLED", "hung": "KILLED",
    }  # fmt: skip


def test_every_factor_is_there_three_ways() -> None:
    """As a parameter (text), as a tag for filters, and as a metric where it is a number."""
    params, tags = words.params(begin()), words.tags(update(begin()))
    assert {k: params[k] for k in LEVELS} == {
        "prune_ratio": "0.25", "s1_epochs": "4", "cycles": "2", "criterion": "l2", "exclude_first": "false",
    }  # fmt: skip
    assert {k: tags[f"param.{k}"] for k in LEVELS} == {k: params[k] for k in LEVELS}
    assert {(words.metric_name(m), m.value, m.step, m.time_ms) for m in update(begin()).metrics} == {
        ("hp.prune_ratio", 0.25, 0, 5000), ("hp.s1_epochs", 4.0, 0, 5000), ("hp.cycles", 2.0, 0, 5000),
    }  # fmt: skip


def test_the_parameters_of_repr_are_those_they_were() -> None:
    """What earlier versions named stays; what is new are the two parts that have options now."""
    method = {
        "cycles", "s1", "s2", "criterion", "prune_ratio", "scope", "layer_cap", "exclude_first", "exclude_shortcuts",
        "exclude", "drop", "restore", "restore_scale", "restore_bn", "restore_optimizer", "restore_next", "restore_lr",
        "restore_lr_scale",
    }  # fmt: skip
    others = {path for path in levels(TrialSpec()) if not path.startswith("method.")}
    study = with_fields(STUDY, space={"training.lr": FloatRange(low=0.1, high=0.5)})
    params = words.params(
        begin_event(study, TrialSpec(), digest="d", key="k", name="n", role="search", slot=0, attempt=0)
    )
    assert set(params) == {f"method.{word}" for word in method | {"schedule", "selection"}} | {
        "lr"
    } | others - {"training.lr"}
    assert (params["method.s1"], params["method.exclude"], params["method.prune_ratio"]) == (
        "20ep",
        "[]",
        "0.3",
    )


def test_a_run_has_its_source_in_the_words_of_mlflow() -> None:
    """The commit where there is one, outside a checkout none; who made it; so too where only tags are new."""
    given = {"git_sha": "abc", "user": "me"}
    for event in (begin(tags=given), tags_event(given)):
        tags = words.tags(update(event))
        assert (tags["mlflow.source.name"], tags["mlflow.source.git.commit"]) == ("reprtune", "abc")
        assert tags["mlflow.user"] == "me" and "reprtune.user" not in tags
    assert "mlflow.source.git.commit" not in words.tags(update(begin(tags={"git_sha": "unknown"})))


@pytest.mark.parametrize(("arm", "role"), [(None, "search"), ("standard", "control")])
def test_begin_tags_the_run_with_all_a_filter_may_ask_for(arm: str | None, role: str) -> None:
    """Children without their parent's tags would vanish from filtered views."""
    tags = words.tags(update(begin(arm=arm, role=role)))
    own = {k.removeprefix("reprtune."): v for k, v in tags.items() if k.startswith("reprtune.")}
    assert own == {
        "study": "s", "digest": "d1", "role": role, "arm": arm or "search", "slot": "7", "seed": "0",
        "attempt": "1", "outcome": "running", "git_sha": "abc", "host": "h", "device": "cpu",
    }  # fmt: skip


def test_the_note_says_where_the_plots_are() -> None:
    """Behind what a person is told anywhere."""
    event = begin()
    note = words.tags(update(event))["mlflow.note.content"]
    assert note == f"{event['note']}\n\nIts curve and its dropped filters: `plots.html` under Artifacts."


def test_an_end_is_said_with_its_results_and_texts_are_cut_to_what_every_server_takes() -> None:
    """`result.` before each number, at the last step; the outcome replaces that of the beginning."""
    event = end_event("error", step=40, metrics={"seconds_spent": 9}, tags={"error": "x" * 9000}, now=6.0)
    found = update(begin(), event)
    assert ("result.seconds_spent", 9.0, 40, 6000) in [
        (words.metric_name(m), m.value, m.step, m.time_ms) for m in found.metrics
    ]
    tags = words.tags(found)
    assert tags["reprtune.outcome"] == "error"
    assert len(tags["reprtune.error"]) == 5000 and tags["reprtune.error"].endswith("x…")


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("http://localhost:5000", "http://localhost:5000"),
        ("https://me:secret@mlflow.example/base", "https://mlflow.example/base"),
        ("sqlite:///runs/mlflow.db", None),
        ("postgresql+psycopg://me@db/mlflow", None),
        ("databricks", None),
        ("./mlruns", None),
    ],
)
def test_only_a_server_has_a_page(uri: str, address: str | None) -> None:
    """Databases and folders have none; names and passwords stay out of the report."""
    assert tracker_for(Settings(tracking_uri=uri)).web_address == address
