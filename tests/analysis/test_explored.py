"""Branches are added when there are results to see: they are told, and nothing is decided by them."""

from __future__ import annotations

from dataclasses import replace

from dashboards import arms_pareto
from dashboards import effects as page
from dashboards.effect_words import findings
from reprtune.analysis.arms_cost import arms_by_cost
from reprtune.analysis.controls import arm_summaries
from reprtune.analysis.decisions import Verdict, decisions
from reprtune.analysis.effects import Effect, effects
from reprtune.analysis.seeds import check_arms
from reprtune.record.schema import StudyRecord
from reprtune.spec.designs.arm import Arm
from reprtune.spec.designs.named import NamedArms
from reprtune.spec.sections.arms import Arms
from tests.ablated import STANDARD, designed

BASE = (0.060, 0.062, 0.058, 0.061, 0.063)
GOOD = (0.050, 0.053, 0.047, 0.052, 0.052)
BRANCHED = (0.020, 0.023, 0.016, 0.022, 0.021)  # however clear
BRANCH = {"branch": {"at": "cycle=1", "changes": {"training.lr": 0.02}}}


def declared() -> StudyRecord:
    """An arm against standard."""
    arms = (STANDARD, Arm(name="good", changes={"method": "repr"}))
    return designed(NamedArms(list=arms), {"standard": BASE, "good": GOOD})


def branched(waiting: int = 0) -> StudyRecord:
    """The same with a branch of that arm, some of whose runs wait."""
    record = declared()
    branch = Arm(name="branch", changes={"method": "repr", **BRANCH}, against=("good", "standard"))
    errors = {"standard": BASE, "good": GOOD, "branch": (*BRANCHED[: 5 - waiting], *[None] * waiting)}
    arms = (STANDARD, Arm(name="good", changes={"method": "repr"}), branch)
    runs = designed(NamedArms(list=arms), errors).attempts["arms"]
    section = Arms(name="branches", design=NamedArms(list=(branch,)), seeds=tuple(range(5)))
    added = tuple(
        replace(t, section="branches", number=t.number + 100, slot=t.slot + 100)
        for t in runs
        if t.arm == "branch"
    )
    spec = record.spec.with_section(section)
    return replace(record, spec=spec, attempts={**record.attempts, "branches": added})


def of(record: StudyRecord, arm: str) -> Effect:
    return next(one for one in effects(record) if one.arm == arm)


def test_a_branch_is_told_without_p_and_verdict() -> None:
    """With its difference and interval, in words that say what it is."""
    one = of(branched(), "branch")
    assert one.verdict is Verdict.EXPLORED and one.comparison.p_holm is None
    assert one.comparison.judged is not None and one.comparison.judged.high is not None
    assert any("branch against good (\N{MINUS SIGN}3." in text for text in findings(effects(branched())))
    assert all("branch" not in text for text in findings(effects(branched()))[:1])


def test_nothing_that_was_declared_changes_beside_a_branch() -> None:
    """Rules, corrected p and the number of comparisons are those of before, and no rule waits for its runs."""
    for record in (branched(), branched(waiting=2)):
        assert decisions(record) == decisions(declared())
        assert of(record, "good") == of(declared(), "good")
    assert check_arms(branched()).numbers["n"] == 1
    assert [one.verdict for one in decisions(branched(waiting=2))] == [Verdict.HELPS]
    assert arm_summaries(branched())[1].against == arm_summaries(declared())[1].against


def test_a_margin_is_not_corrected_for_a_branch() -> None:
    """Nor is a branch shown to be within it."""
    before, after = (replace(r, spec=replace(r.spec, margin=0.02)) for r in (declared(), branched()))
    assert of(after, "good").equivalence == of(before, "good").equivalence is not None
    assert of(after, "branch").equivalence is None


def test_pages_name_it() -> None:
    """In the table of effects, and among the arms against cost."""
    rows = page.table(effects(branched())).rows
    assert [row[8] for row in rows if row[0] == "branch"] == ["explored", "explored"]
    lead = " ".join(arms_pareto.words(arms_by_cost(branched())).lead)
    assert "branch, explored" in lead
