"""The page of paths: it leads with what was planted, and claims nothing where nothing is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from benchmarks.truth.path import CHANGES, study, walked
from dashboards import path as page
from dashboards.pages import pages_of
from reprtune.record.outcomes import Outcome
from reprtune.record.schema import StudyRecord
from reprtune.spec.space import FloatRange
from reprtune.spec.study import Arm, Arms, Path, Search
from tests.factories import make_study

JITTER = (0.0, 0.001, -0.001, 0.0005)
LR, MOMENTUM, DECAY, GAMMA, SMOOTHING = CHANGES


def record(gain: Callable[[frozenset[str]], float], outcome: str = "") -> StudyRecord:
    """A finished path; the validation and the test error fall alike. `outcome`: of the last change's first run alone."""

    def errors(taken: frozenset[str], seed: int) -> tuple[float, float] | str:
        if outcome and taken == frozenset({SMOOTHING}) and seed == 0:
            return outcome
        error = 0.3 + 0.01 * seed - gain(taken) + JITTER[(len(taken) + seed) % 4]
        return error, error + 0.01

    return walked(study(4), errors)[1]


def mostly_lr(taken: frozenset[str]) -> float:
    return 0.1 * (LR in taken) + 0.005 * (MOMENTUM in taken)


def lead(found: StudyRecord) -> str:
    return " ".join(page.words(page.info(found)).lead)


def test_leads_with_the_change_that_carries_the_gain() -> None:
    """One change has nearly all of it: it is named first, with its share, beside the gain of the whole path."""
    said = lead(record(mostly_lr))
    assert said.startswith("From start to end the test error changes by \N{MINUS SIGN}10.")
    assert "Most of it comes with lr, the first of 5 steps: 9" in said and "momentum" not in said


def test_a_pair_is_named_together() -> None:
    """What gains only with another is not said to carry it alone."""
    said = lead(record(lambda taken: 0.08 * ({LR, DECAY} <= taken)))
    assert "Most of it comes with lr and weight_decay, the first 2 of 5 steps: " in said


@pytest.mark.parametrize(("gain", "says"), [(0.0, "not shown to differ"), (-0.1, "the end is worse")])
def test_no_gain_no_claim(gain: float, says: str) -> None:
    """Where the ends do not differ, or the end is worse, nothing is said to carry a gain."""
    said = lead(record(lambda taken: gain * (LR in taken)))
    assert says in said and "Most of it" not in said


def test_a_lower_point_on_the_way_is_told_with_its_caveat() -> None:
    """The last change harms: after the others the error is lower than at the end."""
    said = lead(record(lambda taken: mostly_lr(taken) - 0.03 * (GAMMA in taken)))
    assert "lower than at the end" in said and "to be confirmed on other seeds" in said


def test_an_unfinished_path_says_how_far_it_is() -> None:
    """Steps made so far, and what is left of this stage; the figure draws it too."""
    whole = record(mostly_lr)
    first = [t for t in whole.of("path") if t.number < 7 * 4]
    waits = replace(first[-1], outcome=Outcome.WAITING, values=None, result={})
    for trials, says in (
        ((*first[:-1], waits), "0 of 5 steps made so far; 1 run of this stage left."),
        (tuple(first), "1 of 5 steps made so far: lr; 16 runs of this stage left."),
        ((), "0 of 5 steps made so far; 8 runs of this stage left."),
    ):
        part = replace(whole, attempts={"path": trials})
        assert lead(part) == says
        page.figure(page.info(part))
    assert page.words(page.info(replace(whole, attempts={}))).missing is not None


def test_diverged_runs_are_told() -> None:
    assert "1 run beside or on the path diverged, and counts with chance error." in lead(
        record(mostly_lr, "diverged")
    )


def test_the_table_has_every_candidate_and_the_figure_every_step() -> None:
    """5 + 4 + 3 + 2 + 1 candidates; of each stage the chosen one first; every step on both parts, and the whole."""
    info = page.info(record(mostly_lr))
    table = page.words(info).table
    assert table is not None and len(table.rows) == 15
    assert [row[2] for row in table.rows if row[0] == "1"] == ["yes", "no", "no", "no", "no"]
    assert {len(row) for row in table.rows} == {len(table.header)}
    fig = page.figure(info)
    reached = next(t for t in fig.data if t.name == "validation error of what was reached")
    assert len(reached.x) == 6 and reached.x[1] == "1. lr"
    assert len(next(t for t in fig.data if t.name == "not chosen").x) == 10
    means = next(t for t in fig.data if t.name == "mean difference, 95 % interval")
    assert len(means.y) == 11 and means.y[-1] == "start to end, test"


def test_the_page_is_there_for_studies_with_a_path_only() -> None:
    """Before the arms, where it is the subject."""
    assert list(pages_of(record(mostly_lr)))[:3] == ["overview", "decisions", "path"]
    assert "path" not in pages_of(make_study(4, extras=()))


def test_every_page_of_such_a_study_can_be_drawn() -> None:
    """Steps are no declared arms; no page falls over them, nor over a path whose end is not known yet."""
    section = Arms(name="path", design=Path(start=Arm(name="start"), end="leader"), seeds=(0,))
    search = Search(space={"training.lr": FloatRange(low=0.01, high=0.1)}, slots=2)
    whole = record(mostly_lr)
    waiting = replace(whole, spec=replace(whole.spec, sections=(section, search)), attempts={})
    for found in (whole, waiting, record(mostly_lr, "error")):
        for one in pages_of(found).values():
            info = one.info(found)
            one.figure(info)
            one.words(info)
    assert lead(waiting).startswith("The path begins once the search is finished")


def test_several_paths_are_told_apart() -> None:
    """Each sentence and row names its section."""
    whole = record(mostly_lr)
    section = whole.spec.comparisons[0]
    assert isinstance(section.design, Path) and isinstance(section.design.end, Arm)
    ends = {"start": Arm(name="from"), "end": replace(section.design.end, name="to")}
    second = replace(section, name="second", design=replace(section.design, **ends))
    both = replace(whole, spec=replace(whole.spec, sections=(section, second)))
    words = page.words(page.info(both))
    assert words.lead[0].startswith("path: From start to end") and words.lead[1].startswith(
        "second: 0 of 5 steps"
    )
    assert words.table is not None and {row[0] for row in words.table.rows} == {"path"}
    page.figure(page.info(both))
