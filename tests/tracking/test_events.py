from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reprtune.history import Drop, Point
from reprtune.record.outcomes import Outcome
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed
from reprtune.spec.study import Arm, Choice, DurationRange, FloatRange, IntRange
from reprtune.tracking.events import (
    begin_event,
    end_event,
    factor_levels,
    identity,
    metrics_event,
    tags_event,
)
from tests.flat import study_of, with_fields

STUDY = study_of(
    name="s", question="Why?", decision="If.", cost="Little.",
    space={
        "method.prune_ratio": FloatRange(low=0.1, high=0.5),
        "method.s1": DurationRange(low=Duration.parse("2ep"), high=Duration.parse("8ep")),
        "method.cycles": IntRange(low=1, high=3),
        "method.criterion": Choice(options=("ortho", "l2")),
        "method.exclude_first": Choice(options=(True, False)),
    },
    controls=(
        Arm(name="standard", changes={"method": "standard"}),
        Arm(name="random-drop", changes={"method.criterion": "random"}),
    ),
)  # fmt: skip
TRIAL = STUDY.trial(
    {"prune_ratio": 0.25, "s1_epochs": 4, "cycles": 2, "criterion": "l2", "exclude_first": False}
)
LEVELS = {"prune_ratio": 0.25, "s1_epochs": 4.0, "cycles": 2, "criterion": "l2", "exclude_first": False}


def begin(**changes: object) -> dict[str, Any]:
    given = {
        "digest": "d1", "key": "search-0007", "name": "slot 7", "role": "search", "slot": 7, "attempt": 1,
        "tags": {"git_sha": "abc", "host": "h", "device": "cpu"}, "now": 5.0,
    }  # fmt: skip
    return begin_event(STUDY, TRIAL, **{**given, **changes})  # type: ignore[arg-type]


def point(step: int, phase: str = "full", **changes: float) -> Point:
    given = {
        "lr": 0.1,
        "train_loss": 1.0,
        "val_loss": 1.5,
        "val_error": 0.5,
        "gflops": 2.0,
        "seconds": 3.0,
        "time": 7.0,
    }
    return Point(step=step, phase=phase, cycle=0, **{**given, **changes})  # type: ignore[arg-type]


def test_factor_levels_have_the_names_of_the_search_for_searched_trials_and_controls() -> None:
    """A control has every factor that it has a value of, so that one filter finds both."""
    assert factor_levels(STUDY, TRIAL) == LEVELS
    random_drop, standard = STUDY.arm_cells()[3][2], STUDY.arm_cells()[0][2]
    assert factor_levels(STUDY, random_drop) == {
        "prune_ratio": 0.3, "s1_epochs": 20.0, "cycles": 3, "criterion": "random", "exclude_first": True,
    }  # fmt: skip
    assert factor_levels(STUDY, standard) == {}


def test_factor_levels_in_another_unit() -> None:
    """A duration in another unit than the range's stays a text."""
    steps = DurationRange(low=Duration.parse("50it"), high=Duration.parse("90it"), step=Duration.parse("1it"))
    assert factor_levels(with_fields(STUDY, space={"method.s1": steps}), TRIAL) == {"s1_steps": "4ep"}


def test_factor_levels_of_whole_methods() -> None:
    """The one that makes the trial with its other levels, also of a control; none where a control is another."""
    study = with_fields(
        STUDY,
        space={
            "method": Choice(options=("standard", "repr", "averaging")),
            "method.prune_ratio": FloatRange(low=0.1, high=0.5),
            "method.n_members": IntRange(low=2, high=3),
        },
    )
    for drawn in (
        {"method": "standard"}, {"method": "repr", "prune_ratio": 0.25}, {"method": "averaging", "n_members": 3},
    ):  # fmt: skip
        assert factor_levels(study, study.trial(drawn)) == drawn
    control = changed(study.base, {"method.prune_ratio": 0.4})
    assert factor_levels(study, control) == {"method": "repr", "prune_ratio": 0.4}
    other = changed(study.base, {"method.prune_ratio": 0.4, "method.scope": "layer"})
    assert factor_levels(study, other) == {"prune_ratio": 0.4}


def test_factor_levels_of_options_of_one_name() -> None:
    """By the names they have in Optuna, with their parts."""
    base = changed(STUDY.base, {"method.criterion": "python:a:b", "method.restore": "python:a:c"})
    margin = IntRange(low=1, high=2)
    study = with_fields(
        STUDY, base=base, space={"method.criterion.margin": margin, "method.restore.margin": margin}
    )
    drawn = {"criterion.margin": 1, "restore.margin": 2}
    assert factor_levels(study, study.trial(drawn)) == drawn


@pytest.mark.parametrize(("parent", "above"), [(None, "d1/study"), ("search-0007", "d1/search-0007")])
def test_begin_says_what_the_run_is_shown_below(parent: str | None, above: str) -> None:
    """The study's own run, or the slot of a seed."""
    assert begin(parent=parent)["parent"] == above


def test_begin_has_what_is_not_searched_apart() -> None:
    """The whole trial can be read from both kinds of settings, and from its configuration."""
    event = begin()
    assert event["params"]["training.batch_size"] == 64
    assert "method.prune_ratio" not in event["params"]
    assert json.loads(event["config"])["method"]["schedule"]["s1"] == "4ep"


@pytest.mark.parametrize(
    ("arm", "role", "what"),
    [
        (None, "search", "Slot 7 of the search"),
        (None, "seed", "Slot 7 of the search"),
        ("paper", "control", "Control paper"),
        ("slot-3", "confirmation", "Confirmation of slot-3, on a fresh seed"),
    ],
)
def test_begin_describes_the_run_for_a_person(arm: str | None, role: str, what: str) -> None:
    """Who it is, and its settings."""
    note = begin(arm=arm, role=role)["note"]
    assert note.startswith(f"{what}, seed 0: ")
    assert "prune_ratio 0.25" in note and "s1_epochs 4" in note


def test_metrics_stand_at_the_optimizer_step_with_the_time_of_the_segment() -> None:
    """Seven curves for each point; full is phase 0 and sub is phase 1."""
    event = metrics_event([point(10), point(20, "sub", val_error=0.25, time=8.5)])
    rows = {(m["key"], m["step"]): (m["value"], m["time_ms"]) for m in event["metrics"]}
    keys = ("val_error", "val_loss", "train_loss", "lr", "gflops", "seconds", "phase")
    assert rows.keys() == {(k, s) for k in keys for s in (10, 20)}
    assert rows["val_error", 20] == (0.25, 8500)
    assert (rows["phase", 10], rows["phase", 20]) == ((0.0, 7000), (1.0, 8500))


def test_overlap_of_each_layer_stands_at_its_drop() -> None:
    """With the time of the point at that step; a drop without its point waits for it."""
    drops = [Drop(step=s, cycle=0, dropped={}, overlap={"conv2": 0.3, "conv3": 0.4}) for s in (10, 30)]
    rows = [
        (m["key"], m["value"], m["step"], m["time_ms"]) for m in metrics_event([point(10)], drops)["metrics"]
    ]
    assert rows[7:] == [("overlap.conv2", 0.3, 10, 7000), ("overlap.conv3", 0.4, 10, 7000)]


def test_begin_says_who_it_is_and_what_was_searched_with_its_values() -> None:
    """Numbers as numbers, all else as it is written in a specification."""
    event = begin()
    assert event["identity"] == identity("d1", "search-0007") == "d1/search-0007"
    assert (event["factors"], event["time_ms"], event["attempt"]) == (LEVELS, 5000, 1)
    assert event["tags"] == {
        "study": "s", "digest": "d1", "role": "search", "arm": "search", "slot": 7, "seed": 0, "attempt": 1,
        "git_sha": "abc", "host": "h", "device": "cpu",
    }  # fmt: skip


def test_the_end_has_results_at_a_step_and_the_outcome() -> None:
    """Whole: what a tracker cannot take, it cuts itself."""
    event = end_event("error", step=40, metrics={"seconds_spent": 9}, tags={"error": "x" * 9000}, now=6.0)
    assert event == {
        "event": "end", "time_ms": 6000, "outcome": "error", "step": 40, "results": {"seconds_spent": 9.0},
        "tags": {"error": "x" * 9000},
    }  # fmt: skip


def test_plain_training_has_no_settings_of_a_method() -> None:
    """No criterion, ratio or cycles that nobody chose."""
    standard = STUDY.arm_cells()[0][2]
    event = begin_event(STUDY, standard, digest="d", key="k", name="n", role="control", slot=0, attempt=0)
    assert event["factors"] == {} and LEVELS.keys().isdisjoint(event["params"])
    assert not [name for name in event["params"] if name.startswith("method")]
    assert event["note"] == "Control control, seed 0."


def test_events_name_nothing_of_a_tracker() -> None:
    """Neither MLflow's name nor its statuses and prefixes: another tracker reads them as well."""
    events = [
        begin(),
        metrics_event([point(10)], [Drop(step=10, cycle=0, dropped={}, overlap={"conv2": 0.3})]),
        tags_event({"host": "h", "user": "me", "git_sha": "abc"}),
        *(end_event(outcome, metrics={"seconds_spent": 1.0}) for outcome in Outcome),
    ]
    said = json.dumps(events)
    words = (
        "mlflow",
        "SCHEDULED",
        "RUNNING",
        "FINISHED",
        "KILLED",
        "FAILED",
        "reprtune.",
        "param.",
        "hp.",
        "result.",
    )
    assert not [word for word in words if word in said]


def test_workers_reach_no_mlflow() -> None:
    """Writing the journal must not cost them its import."""
    code = "import sys, reprtune.tracking.events, reprtune.tracking.journal; print('mlflow' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "False"
