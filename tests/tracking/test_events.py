from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from reprtune.history import Drop, Point
from reprtune.record.outcomes import Outcome
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed
from reprtune.spec.levels import levels
from reprtune.spec.study import Arm, Choice, DurationRange, FloatRange, IntRange
from reprtune.spec.trial import TrialSpec
from reprtune.tracking.events import begin_event, end_event, factor_levels, identity, metrics_event
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


def begin(**changes: object) -> dict[str, object]:
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


def test_statuses_cover_every_outcome() -> None:
    """Ended well, killed on purpose, failed: no outcome of the record is without its word in MLflow."""
    assert {outcome: end_event(outcome)["status"] for outcome in Outcome} == {
        "waiting": "SCHEDULED", "running": "RUNNING", "complete": "FINISHED", "stopped": "KILLED",
        "diverged": "KILLED", "infeasible": "KILLED", "out-of-memory": "FAILED", "error": "FAILED",
        "interrupted": "KILLED", "lost": "KILLED", "duplicate": "KILLED", "over-budget": "KILLED",
    }  # fmt: skip


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
    study = replace(
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
    study = replace(
        STUDY, base=base, space={"method.criterion.margin": margin, "method.restore.margin": margin}
    )
    drawn = {"criterion.margin": 1, "restore.margin": 2}
    assert factor_levels(study, study.trial(drawn)) == drawn


def test_the_parameters_of_repr_are_those_they_were() -> None:
    """What earlier versions named stays; what is new are the two parts that have options now."""
    method = {
        "cycles", "s1", "s2", "criterion", "prune_ratio", "scope", "layer_cap", "exclude_first", "exclude_shortcuts",
        "exclude", "drop", "restore", "restore_scale", "restore_bn", "restore_optimizer", "restore_next", "restore_lr",
    }  # fmt: skip
    others = {path for path in levels(TrialSpec()) if not path.startswith("method.")}
    study = with_fields(STUDY, space={"training.lr": FloatRange(low=0.1, high=0.5)})
    params = begin_event(study, TrialSpec(), digest="d", key="k", name="n", role="search", slot=0, attempt=0)[
        "params"
    ]
    assert set(params) == {f"method.{word}" for word in method | {"schedule", "selection"}} | {
        "lr"
    } | others - {"training.lr"}
    assert (params["method.s1"], params["method.exclude"], params["method.prune_ratio"]) == (
        "20ep",
        "[]",
        "0.3",
    )


def test_plain_training_has_no_parameters_of_a_method() -> None:
    """No criterion, ratio or cycles that nobody chose: neither as parameters, nor as tags or metrics."""
    standard = STUDY.arm_cells()[0][2]
    event = begin_event(STUDY, standard, digest="d", key="k", name="n", role="control", slot=0, attempt=0)
    assert LEVELS.keys().isdisjoint(event["params"])
    assert not [name for name in event["params"] if name.startswith("method")]
    assert not [name for name in event["tags"] if name.startswith("param.")] and not event["metrics"]
    assert event["tags"]["mlflow.note.content"].startswith("Control control, seed 0.")


def test_begin_says_who_it_is_and_carries_every_factor_three_ways() -> None:
    """As a parameter (text), as a tag for filters, and as a metric where it is a number."""
    event = begin()
    assert event["identity"] == identity("d1", "search-0007") == "d1/search-0007"
    params, tags = event["params"], event["tags"]
    assert {k: params[k] for k in LEVELS} == {
        "prune_ratio": "0.25", "s1_epochs": "4", "cycles": "2", "criterion": "l2", "exclude_first": "false",
    }  # fmt: skip
    assert {k: tags[f"param.{k}"] for k in LEVELS} == {k: params[k] for k in LEVELS}
    assert {(m["key"], m["value"], m["step"], m["time_ms"]) for m in event["metrics"]} == {
        ("hp.prune_ratio", 0.25, 0, 5000), ("hp.s1_epochs", 4.0, 0, 5000), ("hp.cycles", 2.0, 0, 5000),
    }  # fmt: skip


@pytest.mark.parametrize(("parent", "above"), [(None, "d1/study"), ("search-0007", "d1/search-0007")])
def test_begin_says_what_the_run_is_shown_below(parent: str | None, above: str) -> None:
    """The study's own run, or the slot of a seed."""
    assert begin(parent=parent)["parent"] == above


def test_begin_speaks_of_its_source_in_the_words_of_mlflow() -> None:
    """The commit where there is one; outside a checkout none."""
    tags = begin()["tags"]
    assert (tags["mlflow.source.name"], tags["mlflow.source.git.commit"]) == ("reprtune", "abc")
    assert "mlflow.source.git.commit" not in begin(tags={"git_sha": "unknown"})["tags"]


def test_begin_adds_what_is_not_searched_as_parameters_only() -> None:
    """The whole trial can be read from the parameters, and from config.json."""
    event = begin()
    assert event["params"]["training.batch_size"] == "64"
    assert "method.prune_ratio" not in event["params"]
    assert json.loads(event["config"])["method"]["schedule"]["s1"] == "4ep"


@pytest.mark.parametrize(("arm", "role"), [(None, "search"), ("standard", "control")])
def test_begin_tags_the_run_with_all_a_filter_may_ask_for(arm: str | None, role: str) -> None:
    """Children without their parent's tags would vanish from filtered views."""
    tags = begin(arm=arm, role=role)["tags"]
    own = {k.removeprefix("reprtune."): v for k, v in tags.items() if k.startswith("reprtune.")}
    assert own == {
        "study": "s", "digest": "d1", "role": role, "arm": arm or "search", "slot": "7", "seed": "0",
        "attempt": "1", "outcome": "running", "git_sha": "abc", "host": "h", "device": "cpu",
    }  # fmt: skip


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
    """Who it is, its settings, and where its plots are."""
    note = begin(arm=arm, role=role)["tags"]["mlflow.note.content"]
    assert note.startswith(f"{what}, seed 0: ")
    assert "prune_ratio 0.25" in note and "s1_epochs 4" in note and "`plots.html`" in note


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


def test_the_end_has_final_metrics_and_the_outcome() -> None:
    """At the last step; long texts, as an error's, are cut to what every server takes."""
    event = end_event("error", step=40, metrics={"seconds_spent": 9}, tags={"error": "x" * 9000}, now=6.0)
    assert event["metrics"] == [{"key": "result.seconds_spent", "value": 9.0, "step": 40, "time_ms": 6000}]
    assert event["tags"]["reprtune.outcome"] == "error"
    assert len(event["tags"]["reprtune.error"]) == 5000
    assert event["tags"]["reprtune.error"].endswith("x…")


def test_workers_reach_no_mlflow() -> None:
    """Writing the journal must not cost them its import."""
    code = "import sys, reprtune.tracking.events, reprtune.tracking.journal; print('mlflow' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "False"
