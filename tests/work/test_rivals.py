"""Whom a stop rule compares with: each seed of a trial by itself, as far as it may be trusted."""

from __future__ import annotations

import pytest

from reprtune.analysis.standard_curve import KnownStretches
from reprtune.record.outcomes import Outcome
from reprtune.record.schema import SeedRun, TrialRecord
from reprtune.stopping.curves import Rival
from reprtune.work.rivals import by_seed
from tests.factories import make_spec

FIRST = ((4, 0.5), (8, 0.4))
SECOND = ((4, 0.3),)
TOLD = ((0, "1"), (7, "0.5"))
KNOWN = KnownStretches(make_spec(), 1)


def trial(outcome: str) -> TrialRecord:
    """At its second seed, after a whole first one."""
    first = SeedRun(seed=0, rungs=FIRST, planned_gflops=2.0, stretches=TOLD)
    return TrialRecord(
        section="search", number=0, slot=0, arm=None, seed=1, outcome=outcome, rungs=SECOND, planned_gflops=3.0, earlier=(first,)
    )  # fmt: skip


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_seed_that_came_to_a_bad_end_is_no_rival_and_those_before_it_stay(outcome: str) -> None:
    """Both of one that runs or ended well; of an attempt whose slot is queued again, nothing: it comes twice."""
    plain = ((0, "1"), (40, "0.1"), (70, "0.01"))  # an older record does not tell them: the schedule does
    both = {0: Rival(FIRST, 2.0, TOLD), 1: Rival(SECOND, 3.0, plain, is_stopped=outcome == "stopped")}
    expected = {
        **dict.fromkeys(("running", "complete", "stopped"), both),
        **{name: {0: both[0]} for name in ("diverged", "out-of-memory", "error", "over-budget")},
    }
    assert by_seed(trial(outcome), KNOWN) == expected.get(outcome, {})


def test_a_seed_without_a_rung_is_none() -> None:
    """It has nothing to compare yet."""
    assert (
        by_seed(TrialRecord(section="search", number=0, slot=0, arm=None, seed=0, outcome="running"), KNOWN)
        == {}
    )
