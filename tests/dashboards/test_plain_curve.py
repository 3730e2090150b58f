"""What the report says and draws of plain training of other lengths, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from benchmarks.truth.fabricated import record, trial
from dashboards import confirmation, controls, pareto
from dashboards.answer import answer
from dashboards.plain_curve import NAME, beside
from reprtune.analysis.plain_curve import FrontBesideCurve
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.stop_rules import NoStop
from studies.repr_ablation import STUDY

COSTS = {"standard-x0.4": 40.0, "standard-x0.6": 60.0, "standard-x0.8": 80.0, "standard": 100.0}
MEANS = {"standard-x0.4": 0.06, "standard-x0.6": 0.05, "standard-x0.8": 0.04, "standard": 0.03}
PARAMS = {"prune_ratio": 0.3, "s1_epochs": 20, "s2_epochs": 10, "cycles": 2, "criterion": "l2"}


def plain(first_seed: int = 0) -> list[TrialRecord]:
    """Three seeds of every length, 0.2 points apart."""
    cells = [(arm, first_seed + s, mean + 0.002 * (s - 1)) for arm, mean in MEANS.items() for s in range(3)]
    return [
        trial(100 + i, e, {}, arm=arm, seed=seed, test=e, cost=COSTS[arm])
        for i, (arm, seed, e) in enumerate(cells)
    ]


def searched(*points: tuple[float, float], runs: Sequence[TrialRecord] = ()) -> StudyRecord:
    """Trials with these costs and errors beside the lengths, or other runs of arms."""
    return record([trial(i, e, PARAMS, cost=c) for i, (c, e) in enumerate(points)], runs or plain())


def said(found: StudyRecord) -> str:
    """The sentence about plain training in the answer; it stands on the Pareto page too."""
    (sentence,) = [
        text for text in answer(found) if " plain training" in text and " against plain" not in text
    ]
    assert sentence in pareto.words(pareto.info(found)).lead
    return sentence


def test_a_front_that_is_no_better() -> None:
    """Nothing is said of chance where there is no gain."""
    assert said(searched((70.0, 0.06), (95.0, 0.05))) == (
        "No trial of the front has a lower validation error than plain training of its cost: no gain against cost is seen."
    )


def test_a_front_that_is_lower_is_selected_and_not_confirmed() -> None:
    """At 80 GFLOP plain training has 4 %, at 100 3 %. The spread is 0.2 points with 8 degrees of freedom: 0.1 points are
    chance for the best of two, 2 points are not."""
    text = said(searched((80.0, 0.039), (100.0, 0.035)))
    assert text.startswith(
        "1 of 2 trials of the front has a lower validation error than plain training of its cost, by 0.10 points (slot 0); "
        "selected, not confirmed. The best of 2 trials may be so much lower by chance (p = "
    )
    text = said(searched((80.0, 0.02), (100.0, 0.015)))
    assert text == (
        "2 of 2 trials of the front have a lower validation error than plain training of their cost, by up to 2.00 points "
        "(slot 0); selected, not confirmed. For the best of 2 trials that is more than chance explains (p < 0.001)."
    )


def test_what_costs_more_or_less_than_every_length() -> None:
    """It cannot be held against any."""
    text = said(searched((30.0, 0.06), (100.0, 0.05)))
    assert text.endswith(
        "1 trial of the front costs less or more than every length of plain training, and cannot be held against it."
    )
    assert said(searched((30.0, 0.06), (20.0, 0.07))) == (
        "2 trials of the front cost less or more than every length of plain training, and cannot be held against it."
    )


def test_without_spread_chance_is_not_told_from_gain() -> None:
    """One seed of every length."""
    text = said(searched((80.0, 0.02), runs=[t for t in plain() if t.seed == 0]))
    assert text.endswith("has no spread over seeds here, so chance cannot be told from gain.")


def test_without_lengths_nothing_is_said() -> None:
    """Neither in words nor in the picture."""
    found = searched((80.0, 0.02), runs=[t for t in plain() if t.arm == "standard"])
    assert not any("than plain training" in text for text in answer(found)) and beside(None) == ""
    info = pareto.info(found)
    assert info.curve is None and not [t for t in pareto.figure(info).data if t.name.startswith(NAME)]


def test_lengths_are_no_arms_of_the_answer() -> None:
    """They claim nothing; the controls page shows them, with no difference."""
    found = searched((80.0, 0.02))
    assert not any(text.startswith("Arm standard") for text in answer(found))
    table = controls.words(controls.info(found)).table
    assert table is not None
    rows = {row[0]: row for row in table.rows}
    assert (rows["standard-x0.4"][5], *rows["standard-x0.4"][7:11]) == (
        "6.00 ± 0.20 %",
        "0.40",
        "1.00",
        "",
        "",
    )


@pytest.mark.parametrize(
    "objectives", [("val_error", "train_gflops"), ("val_error", "params", "train_gflops")]
)
def test_the_curve_is_drawn_over_the_cost(objectives: tuple[str, ...]) -> None:
    """A line through the means with their intervals, once in the legend and over no other measure; standard's own runs stay,
    those of other lengths are points of the line."""
    found = searched((80.0, 0.02), (90.0, 0.025))
    search = replace(found.spec.search, objectives=objectives, stop=NoStop())  # type: ignore[type-var]
    counted = {
        name: tuple(replace(t, values={**(t.values or {}), "params": 5.0}, result={**t.result, "params": 5.0}) for t in trials)
        for name, trials in found.attempts.items()
    }  # fmt: skip
    found = replace(found, spec=found.spec.with_section(search), attempts=counted)  # type: ignore[arg-type]
    figure = pareto.figure(pareto.info(found))
    line, marks = (t for t in figure.data if t.legendgroup == NAME)
    assert (line.showlegend, marks.showlegend) == (None, False)
    assert line.name == f"{NAME}, 95 % interval"
    assert list(marks.x) == [40, 60, 80, 100] and list(marks.y) == pytest.approx([94, 95, 96, 97])
    assert list(marks.error_y.array) == pytest.approx([100 * 2.306 * 0.002 / 3**0.5] * 4, rel=1e-3)
    assert {*marks.x} <= {*line.x} and list(line.x) == sorted(line.x)
    assert figure.layout[(marks.xaxis or "x").replace("x", "xaxis")].title.text.startswith("training cost")
    names = {t.name for t in figure.data}
    assert "control: standard" in names and not any("standard-x" in name for name in names)


def test_a_confirmed_leader_beside_the_curve() -> None:
    """One more comparison, in a rule's sentence and in the table; a leader outside it is said to be."""

    def confirmed(cost: float) -> StudyRecord:
        leader = [
            trial(200 + i, e, PARAMS, arm="slot-0", seed=3 + i, section="confirmation", test=e, cost=cost)
            for i, e in enumerate((0.020, 0.023, 0.021))
        ]
        return record([trial(0, 0.02, PARAMS, cost=cost)], plain(), [*leader, *plain(3)])

    words = confirmation.words(confirmation.info(confirmed(80.0)))
    said = answer(confirmed(80.0))
    assert any("the best of the search, against plain training of its cost: " in text for text in said)
    assert words.table is not None
    assert [row[1] for row in words.table.rows] == ["standard", "plain training of its cost"]
    outside = answer(confirmed(20.0))
    assert any(
        text.endswith(": it costs less or more than every length of plain training.") for text in outside
    )


def test_one_trial_of_the_front() -> None:
    """In the singular."""
    found = FrontBesideCurve(n=1, outside=0, below=1, slot=3, most=0.01, k=1, p=0.2)
    assert beside(found).startswith("1 of 1 trial of the front has a lower")


def test_the_study_has_the_lengths_that_these_tests_name() -> None:
    """Else they would test nothing."""
    assert {*STUDY.lengths} == {*COSTS}
