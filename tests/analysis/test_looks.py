"""Seeds where they decide: who gets more, and what is concluded in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from scipy import stats

from reprtune.analysis.controls import arm_summaries
from reprtune.analysis.decisions import Verdict, decisions
from reprtune.analysis.looks import looks, wanted
from reprtune.analysis.sequential import nominal_level
from reprtune.errors import SpecError
from reprtune.record.schema import StudyRecord
from reprtune.spec.study import Arm, Arms, Rule, StudySpec, Until, named
from reprtune.study.sections.arms import next_work
from tests.confirmed import make_run
from tests.factories import comparison
from tests.flat import with_attempts

ARMS = (
    Arm(name="standard", changes={"method": "standard"}),
    Arm(name="paper"),
    Arm(name="random-drop", changes={"method.criterion": "random"}),
)
STANDARD = [0.10, 0.12, 0.11, 0.13, 0.10, 0.12, 0.11, 0.10, 0.13]
UNTIL = Until(most=9)
CLEAR = [-0.050, -0.052, -0.051, -0.049, -0.050, -0.051, -0.05, -0.052, -0.05]
NOISE = [0.03, -0.04, 0.02, -0.03, 0.04, -0.02, 0.03, -0.04, 0.02]


def spec(until: Until | None = UNTIL) -> StudySpec:
    base = comparison().spec
    section = Arms(name="controls", design=named(*ARMS), seeds=(0, 1, 2), until=until)
    rules = (Rule(arm="paper"), Rule(arm="random-drop"))
    return replace(base, sections=(section,), rules=rules)


def recorded(errors: Mapping[str, Sequence[float | str]], until: Until | None = UNTIL) -> StudyRecord:
    """A comparison whose arms have these test errors, by seed from 0 on."""
    record = replace(comparison(), spec=spec(until))
    cells = [(arm, seed, error) for arm, found in errors.items() for seed, error in enumerate(found)]
    runs = [replace(make_run(record, n, *cell), section="controls") for n, cell in enumerate(cells)]
    return with_attempts(record, controls=tuple(runs))


def added(differences: Sequence[float], n: int) -> list[float]:
    return [s + d for s, d in zip(STANDARD[:n], differences[:n], strict=True)]


def arms_section(record: StudyRecord) -> Arms:
    return record.spec.comparisons[0]


def test_all_begin_with_the_declared_seeds() -> None:
    """Nothing is added while a run of the look is missing."""
    record = recorded({"standard": STANDARD[:3], "paper": added(CLEAR, 3), "random-drop": added(NOISE, 2)})
    assert {*wanted(arms_section(record), record).values()} == {(0, 1, 2)}


def test_only_open_comparisons_go_on() -> None:
    """What is decided gets no more; its control does, beside the arm that is open."""
    record = recorded({"standard": STANDARD[:3], "paper": added(CLEAR, 3), "random-drop": added(NOISE, 3)})
    seeds = wanted(arms_section(record), record)
    assert seeds == {"standard": (0, 1, 2, 3, 4), "paper": (0, 1, 2), "random-drop": (0, 1, 2, 3, 4)}
    cells = [(cell.arm, cell.seed) for cell in next_work(arms_section(record), record)]
    assert cells[9:] == [("standard", 3), ("random-drop", 3), ("standard", 4), ("random-drop", 4)]
    assert len({*cells}) == len(cells)


def test_all_rules_are_one_family() -> None:
    """A rule of other arms counts too, as one that fails, so that nothing is closed that the rules would not decide: of
    p = 0.03 twice that is no longer below 5 %."""
    d = [-0.05, -0.056, -0.044]  # all looks together: p about 0.016
    errors = {"standard": STANDARD[:3], "paper": added(d, 3), "random-drop": added(NOISE, 3)}
    record = recorded(errors)
    assert looks(record)["paper", "standard"].closed
    more = Arms(
        name="more", design=named(Arm(name="a"), Arm(name="b"), Arm(name="c"), Arm(name="d")), seeds=(0, 1, 2)
    )
    rules = (*record.spec.rules, *(Rule(arm=a, control="d") for a in "abc"))
    spec = replace(record.spec, sections=(*record.spec.sections, more), rules=rules)
    assert not looks(replace(record, spec=spec))["paper", "standard"].closed


def test_seeds_end_at_the_most() -> None:
    """An effect that is nowhere is looked at to the end, and not shown."""
    record = recorded({"standard": STANDARD, "paper": added(CLEAR, 3), "random-drop": added(NOISE, 9)})
    found = looks(record)["random-drop", "standard"]
    assert (found.made, found.closed) == (4, True)
    assert len(list(next_work(arms_section(record), record))) == 9 + 12
    assert [one.verdict for one in decisions(record)] == [Verdict.HELPS, Verdict.NOT_SHOWN]


def test_a_closed_comparison_is_judged_by_what_it_had() -> None:
    """More seeds of both arms, trained beside others, change nothing of it."""
    few = recorded({"standard": STANDARD[:3], "paper": added(CLEAR, 3), "random-drop": added(NOISE, 3)})
    more = recorded(
        {
            "standard": STANDARD[:5],
            "paper": added(NOISE, 5)[:3] and added(CLEAR, 5),
            "random-drop": added(NOISE, 5),
        }
    )
    pair = ("paper", "standard")
    assert looks(few)[pair] == looks(more)[pair]


def test_interval_is_that_of_all_looks() -> None:
    """At the level of four looks, by scipy; the pages show that one."""
    record = recorded({"standard": STANDARD[:3], "paper": added(CLEAR, 3), "random-drop": added(NOISE, 3)})
    one = next(arm for arm in arm_summaries(record) if arm.arm == "paper").against[0]
    ends = stats.ttest_1samp(CLEAR[:3], 0).confidence_interval(1 - nominal_level((3, 5, 7, 9)))
    assert one.difference is not None
    assert (one.difference.low, one.difference.high) == pytest.approx(tuple(ends))


def test_a_narrow_interval_is_enough() -> None:
    """Where the size is known well enough, no more seeds are spent."""
    d = [0.0004, -0.0004, 0.0]
    errors = {"standard": STANDARD[:3], "paper": added(d, 3), "random-drop": added(NOISE, 3)}
    record = recorded(errors, Until(most=9, width=0.02))
    assert looks(record)["paper", "standard"].closed
    assert not looks(recorded(errors))["paper", "standard"].closed


def test_diverged_runs_count_with_chance_error() -> None:
    """A run that diverged is an outcome, and no reason to wait."""
    record = recorded(
        {
            "standard": STANDARD[:3],
            "paper": ["diverged", *added(CLEAR, 3)[1:]],
            "random-drop": added(NOISE, 3),
        }
    )
    found = looks(record)["paper", "standard"]
    assert found.made == 1
    assert found.comparison.with_chance is not None


def test_sections_that_are_compared_get_the_same_seeds() -> None:
    """Else one arm of a pair would be trained for nothing."""
    with pytest.raises(SpecError, match="do not get the same seeds"):
        StudySpec(
            name="x", question="q", cost="",
            sections=(
                Arms(name="controls", design=named(ARMS[0]), seeds=3),
                Arms(name="arms", design=named(ARMS[1]), seeds=3, until=Until(most=9)),
            ),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("seeds", "until", "field"),
    [
        (2, {"most": 9}, "until.most"),
        (5, {"most": 5}, "until.most"),
        (3, {"most": 9, "group": 0}, "until.group"),
        (3, {"most": 9, "width": 1.5}, "until.width"),
    ],
)
def test_until_that_cannot_be(seeds: int, until: dict[str, float], field: str) -> None:
    """Named by its field."""
    with pytest.raises(SpecError, match=field):
        Arms(design=named(ARMS[0]), seeds=seeds, until=Until(**until))  # type: ignore[arg-type]
