"""The one order of trials, and everybody who names a best trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from dashboards import answer, curves
from dashboards.terminal import best_numbers, show, status
from dashboards.watch import log_line, moment_facts
from reprtune.analysis.luck import best_of_search
from reprtune.record.leaders import leaders
from reprtune.record.ranking import best, best_first, order
from reprtune.record.schema import StudyRecord
from reprtune.spec.objectives import OBJECTIVES
from reprtune.spec.stop_rules import NoStop
from tests.factories import make_spec, make_study
from tests.flat import with_attempts

NO_STOP = NoStop()


def study(objectives: Sequence[str], *rows: tuple[float, float, float]) -> StudyRecord:
    """Complete trials with these errors, costs of training and of inference, known without histories."""
    record = make_study(len(rows), objectives=objectives, outcomes=("complete",), extras=(), stop=NO_STOP)
    measures = ("val_error", "train_gflops", "inference_gflops")
    trials = [
        replace(
            t, values={name: ends[name] for name in objectives},
            result={**t.result, **{n: v for n, v in ends.items() if n not in objectives}},
        )
        for t, row in zip(record.trials, rows, strict=True)
        if (ends := dict(zip(measures, row, strict=True)))
    ]  # fmt: skip
    return with_attempts(record, trials=tuple(trials))


@pytest.mark.parametrize(
    ("objectives", "measures"),
    [
        (("val_error",), ("val_error", "train_gflops")),
        (("train_gflops",), ("train_gflops", "val_error")),
        (("inference_gflops",), ("inference_gflops", "val_error")),
        (("train_gflops", "val_error"), ("val_error", "train_gflops")),
        (("val_error", "inference_gflops"), ("val_error", "inference_gflops")),
        (("params", "train_gflops"), ("params", "val_error", "train_gflops")),
    ],
)
def test_the_first_measure_is_what_is_minimised(
    objectives: tuple[str, ...], measures: tuple[str, ...]
) -> None:
    """Of several the error where it is one, else the first; the others that trials are compared by follow."""
    assert order(make_spec(objectives, stop=NO_STOP)) == measures


@pytest.mark.parametrize(
    ("objectives", "slots"),
    [
        (("val_error",), [2, 1, 3, 0]),  # 1 and 2 tie in the error, 2 is cheaper to train
        (("val_error", "inference_gflops"), [1, 2, 3, 0]),  # 1 is cheaper to use
        (("train_gflops",), [3, 0, 2, 1]),  # 0 and 3 tie in the cost, 3 has the lower error
    ],
)
def test_ties_are_broken_by_what_else_is_compared(objectives: tuple[str, ...], slots: list[int]) -> None:
    """By hand, out of (error, cost of training, of inference)."""
    record = study(objectives, (0.4, 1, 1), (0.1, 9, 2), (0.1, 5, 3), (0.2, 1, 1))
    assert [t.slot for t in best_first(record.trials, order(record.spec))] == slots


@pytest.mark.parametrize("objectives", [(name,) for name in OBJECTIVES] + [("val_error", "inference_gflops")])
def test_everybody_names_the_same_best(objectives: tuple[str, ...]) -> None:
    """Status, table, notification, watching, the report's sentences, its controls and its curves."""
    record = make_study(9, objectives=objectives, outcomes=("complete",), extras=(), stop=NO_STOP)
    lead = best(record)
    assert lead is not None
    said = f"slot {lead.slot}"
    assert f", {said} (Optuna trial {lead.number}; " in status(record)
    assert show(record).split("\n\n")[-1].splitlines()[1].split()[0] == str(lead.slot)
    assert best_numbers(record)["best_slot"] == str(lead.slot)
    assert best_numbers(record)[f"best_{objectives[0]}"] == (lead.values or {})[objectives[0]]
    assert f", {said} (" in log_line(moment_facts(record, 0, 0.0))
    sentence = next(text for text in answer.answer(record) if text.startswith("Best of the search"))
    assert f", {said} with" in sentence and OBJECTIVES[objectives[0]].title in sentence
    assert (found := best_of_search(record)) is not None and found.slot == lead.slot
    assert curves.info(record).curves[0].label == said


def test_a_confirmation_leads_by_error_whatever_is_minimised() -> None:
    """Test errors are what it compares."""
    record = study(("train_gflops",), (0.3, 1, 1), (0.1, 2, 1))
    assert best(record) is record.trials[0] and leaders(record, 1) == [record.trials[1]]


def test_what_is_not_known_is_no_number() -> None:
    """A cost that an old record has in its history only is a dash in the terminal, and last among equals."""
    record = study(("val_error",), (0.1, 5, 1), (0.1, 9, 1))
    old = replace(record.trials[0], history=None, result={})
    record = with_attempts(record, trials=(old, record.trials[1]))
    assert [t.slot for t in best_first(record.trials, order(record.spec))] == [1, 0]
    rows = [line.split() for line in show(record).split("\n\n")[-1].splitlines()]
    assert [row[:5] for row in rows[1:]] == [
        ["1", "1", "10.00", "%", "9"],
        ["0", "0", "10.00", "%", "\N{EM DASH}"],
    ]


def test_a_small_cost_is_not_rounded_to_nothing() -> None:
    """Four digits of it, however small."""
    record = study(("val_error",), (0.1, 0.0097863, 1))
    assert show(record).split("\n\n")[-1].splitlines()[1].split()[4] == "0.009786"
