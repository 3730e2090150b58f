"""Trials that diverged are counted, placed, and set apart by the parameter that goes with it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from reprtune.analysis.diverged import BEFORE, RESTORED, WITHOUT, arms_divergence, check_arms, check_search
from reprtune.history import Drop, History, Restore
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.space import Choice, FloatRange
from reprtune.spec.training import TrainingSpec
from tests.factories import comparison, make_study, make_trial
from tests.flat import with_attempts

LR = {"training.lr": FloatRange(low=0.01, high=1.0), "training.momentum": FloatRange(low=0.5, high=0.99)}


def search_of(*outcomes: str, **fields: object) -> StudyRecord:
    return make_study(len(outcomes), outcomes=outcomes, extras=(), **fields)  # type: ignore[arg-type]


def with_draws(record: StudyRecord, draws: list[dict[str, object]]) -> StudyRecord:
    trials = [replace(t, params=drawn) for t, drawn in zip(record.trials, draws, strict=True)]
    return with_attempts(record, trials=trials)


@pytest.mark.parametrize(
    ("outcomes", "outcome"),
    [
        (("diverged",), "warning"),
        (("diverged", "diverged", "complete"), "warning"),
        (("diverged", "complete", "diverged", "stopped"), "ok"),
        (("complete", "complete"), "ok"),
        (("diverged", "diverged", "diverged", "waiting"), "not applicable"),
        (("diverged", "diverged", "diverged", "diverged", "waiting"), "warning"),
        (("diverged", "error", "error", "complete"), "ok"),
        (("error", "out-of-memory"), "not applicable"),
    ],
)
def test_more_than_half_of_the_trained_slots(outcomes: tuple[str, ...], outcome: str) -> None:
    """Half is not more than half; failed slots are none that were trained; while some wait, four must be known."""
    assert check_search(search_of(*outcomes)).outcome == outcome


def diverged(*events: Drop | Restore, at: int | None) -> TrialRecord:
    story = History(
        total_steps=100, steps_per_epoch=10, diverged_at=at,
        drops=tuple(e for e in events if isinstance(e, Drop)),
        restores=tuple(e for e in events if isinstance(e, Restore)),
    )  # fmt: skip
    return replace(make_trial(make_study(1, extras=()).spec, 0, "diverged"), history=story)


DROP, BACK = (
    Drop(step=20, cycle=0, dropped={}, overlap={}),
    Restore(step=40, cycle=0, levels={}, overlap={}),
)


@pytest.mark.parametrize(
    ("events", "at", "stage"),
    [
        ((), 7, BEFORE),
        ((DROP,), 27, WITHOUT),
        ((DROP, BACK), 47, RESTORED),
        ((DROP, BACK, replace(DROP, step=60)), 63, WITHOUT),
        ((DROP,), 20, BEFORE),
        ((DROP, BACK), None, RESTORED),
    ],
)
def test_where_a_trial_diverged_is_its_last_event(events, at, stage) -> None:
    """The step by which the loss was no longer finite belongs to what went on before it."""
    record = with_attempts(search_of("diverged"), trials=(diverged(*events, at=at),))
    assert check_search(record).numbers["stage"] == stage


def test_without_histories_nothing_is_said_of_the_stage() -> None:
    """`study status` reads none."""
    record = search_of("diverged", "diverged")
    bare = with_attempts(record, trials=[replace(t, history=None) for t in record.trials])
    check = check_search(bare)
    assert check.fails and check.numbers["stage"] is None


def test_the_learning_rate_that_goes_with_divergence() -> None:
    """Six of ten diverged, and theirs are the six largest: exact two-sided p = 2 / C(10, 4), twice for two parameters."""
    record = search_of(*["diverged"] * 6, *["complete"] * 4, space=LR)
    draws = [{"lr": 0.9 - 0.1 * i, "momentum": 0.5 + 0.04 * (i % 4)} for i in range(9)]
    record = with_draws(record, [*draws, {"lr": 0.05, "momentum": 0.9}])
    numbers = check_search(record).numbers
    assert numbers["path"] == "training.lr" and numbers["lr"] is None
    assert numbers["p"] == pytest.approx(2 * 2 / math.comb(10, 4))
    assert numbers["diverged"] == pytest.approx(0.65) and numbers["others"] == pytest.approx(0.15)


def test_the_option_that_goes_with_divergence() -> None:
    """All of one option diverged: Pearson's chi-squared with Yates' correction, by hand."""
    record = search_of(
        *["diverged"] * 7, *["complete"] * 6, space={"training.precision": Choice(options=("fp16", "fp32"))}
    )
    record = with_draws(record, [{"precision": "fp16" if t.outcome == "diverged" else "fp32"} for t in record.trials])  # fmt: skip
    numbers = check_search(record).numbers
    chi2 = 13 * (7 * 6 - 13 / 2) ** 2 / (7 * 6 * 7 * 6)
    assert (numbers["path"], numbers["diverged"], numbers["others"]) == ("training.precision", "fp16", "fp32")
    assert numbers["p"] == pytest.approx(math.erfc(math.sqrt(chi2 / 2)))


def test_what_does_not_go_with_it_is_not_named() -> None:
    """The same learning rates on both sides; and where all diverged nobody is left to differ from."""
    record = search_of(*["diverged", "complete"] * 4, "diverged", space=LR)
    draws = [{"lr": 0.1 * (1 + i // 2), "momentum": 0.9} for i in range(9)]
    assert "path" not in check_search(with_draws(record, draws)).numbers
    assert "path" not in check_search(search_of(*["diverged"] * 5, space=LR)).numbers


def test_what_all_trials_have_in_common() -> None:
    """Precision and learning rate of the base, None of what is searched."""
    record = search_of("diverged")
    fp16 = replace(record.spec.base, training=TrainingSpec(precision="fp16", lr=0.2))
    numbers = check_search(replace(record, spec=replace(record.spec, base=fp16))).numbers
    assert (numbers["precision"], numbers["lr"], numbers["batch_norm"]) == ("fp16", 0.2, True)


@pytest.mark.parametrize(
    ("runs", "diverging", "fails"),
    [
        ([], (), False),
        ([("paper", 0), ("paper", 1), ("paper", 2)], ("paper",), False),
        ([("standard", 0)], (), False),
        ([("standard", 0), ("standard", 2)], ("standard",), True),
        (
            [(arm, seed) for arm in ("standard", "paper", "random-drop") for seed in (0, 1)],
            ("standard", "paper", "random-drop"),
            True,
        ),
    ],
)
def test_standard_or_all_arms(runs, diverging, fails) -> None:
    """An arm that diverges is a finding; standard, which all are held against, or all of them are none."""
    record = comparison(diverged_controls=runs)
    found = arms_divergence(record)
    assert found is not None and found.diverging == diverging
    assert check_arms(record).fails is fails


def test_runs_that_wait_count_as_not_diverged() -> None:
    """The first run of three that diverged is not most of them yet."""
    record = comparison(diverged_controls=[("standard", 0)])
    waiting = [
        t if t.arm != "standard" or t.seed == 0 else make_trial(record.spec, t.number, "waiting", slot=t.slot, arm=t.arm, seed=t.seed)
        for t in record.controls
    ]  # fmt: skip
    assert not check_arms(with_attempts(record, controls=waiting)).fails
