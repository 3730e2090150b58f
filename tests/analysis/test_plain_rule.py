"""A rule whose control is the curve of plain training: decided at the leader's own cost, seed by seed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from dashboards.rules import sentence
from reprtune.analysis.decisions import Decided, Verdict, Why, decisions
from reprtune.errors import SpecError
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.decisions import LEADER, PLAIN, Rule
from reprtune.spec.sections.lengths import plain_lengths
from reprtune.spec.study import Arm
from tests.confirmed import Errors, confirmed, searched
from tests.factories import CONTROLS, make_spec

LENGTHS = plain_lengths("40ep", (0.5,))
COSTS = {"standard": 100.0, "standard-x0.5": 50.0}
SHORT, LONG = (0.30, 0.31, 0.33, 0.29, 0.30), (0.20, 0.22, 0.21, 0.20, 0.18)


def with_cost(trial: TrialRecord, cost: float) -> TrialRecord:
    assert trial.history is not None
    *before, last = trial.history.points
    history = replace(trial.history, points=(*before, replace(last, gflops=cost)))
    return replace(trial, history=history, result={**trial.result, "train_gflops": cost})


def study(errors: Errors, cost: float, *rules: Rule) -> StudyRecord:
    """A confirmed study whose leader is slot 1 and costs so much; plain training of 40 and of 20 epochs."""
    record = searched(0.2, 0.1, controls=(*CONTROLS, *LENGTHS))
    record = confirmed(record, errors)
    costly = tuple(with_cost(t, COSTS.get(str(t.arm), cost)) for t in record.confirmation)
    spec = replace(record.spec, rules=rules or (Rule(arm=LEADER, control=PLAIN),))
    return replace(record, spec=spec, attempts={**record.attempts, "confirmation": costly})


def decided(leader: tuple[float, ...], cost: float) -> Decided:
    (one,) = decisions(study({"slot-1": leader, "standard": LONG, "standard-x0.5": SHORT}, cost))
    return one


def test_each_seed_is_held_against_its_own_curve_at_that_cost() -> None:
    """Between half and whole length a straight line over the logarithm of the cost: at sqrt(50 x 100), half way."""
    leader = (0.10, 0.12, 0.11, 0.09, 0.10)
    one = decided(leader, math.sqrt(50 * 100))
    middle = [(a + b) / 2 for a, b in zip(SHORT, LONG, strict=True)]
    assert one.comparison.difference is not None
    assert [p.value for p in one.comparison.difference.pairs] == pytest.approx(
        [e - m for e, m in zip(leader, middle, strict=True)]
    )
    assert (one.verdict, one.comparison.control) == (Verdict.HELPS, PLAIN)


def test_what_is_better_than_half_the_training_may_be_worse_than_its_own_cost() -> None:
    """The same errors, at the cost of the whole training, are no gain."""
    leader = (0.21, 0.20, 0.22, 0.19, 0.20)
    assert decided(leader, 50.0).verdict is Verdict.HELPS
    assert decided(leader, 100.0).verdict is Verdict.NOT_SHOWN


def test_outside_the_curve_nothing_is_decided() -> None:
    """It is not continued beyond the lengths that were trained."""
    one = decided((0.1, 0.1, 0.12, 0.1, 0.1), 30.0)
    assert (one.verdict, one.why) == (Verdict.OPEN, Why.OUTSIDE)


def test_the_rule_needs_lengths_and_the_best_of_a_search() -> None:
    """Said with the field, the value and what to do."""
    with pytest.raises(
        SpecError, match=r"rules\[0\].control is plain training of its cost, but the study has no other"
    ):
        make_spec(rules=(Rule(arm=LEADER, control=PLAIN),))
    with pytest.raises(SpecError, match=r"there for the best of a search \(leader\), but its arm is 'paper'"):
        make_spec(controls=(*CONTROLS, *LENGTHS), rules=(Rule(arm="paper", control=PLAIN),))


def test_without_rules_a_study_with_lengths_has_this_one() -> None:
    """Beside the best of the search against standard; lengths are claims of nobody."""
    plain = make_spec(controls=(Arm(name="standard", changes={"method": "standard"}), *LENGTHS))
    assert plain.applied_rules == (Rule(arm=LEADER), Rule(arm=LEADER, control=PLAIN))


def test_before_the_confirmation_nothing_is_decided() -> None:
    """The curve is there, but the best of the search was chosen by the errors that would be compared."""
    record = searched(0.2, 0.1, controls=(*CONTROLS, *LENGTHS), rules=(Rule(arm=LEADER, control=PLAIN),))
    (one,) = decisions(record)
    assert (one.verdict, one.why) == (Verdict.OPEN, Why.NOT_CONFIRMED)


def test_lengths_that_coincide_make_no_curve() -> None:
    """As in whole epochs of a short total; it is not said that a run failed."""
    record = searched(0.2, 0.1, controls=(*CONTROLS, *plain_lengths("100ep", (0.999,))))
    assert {str(total) for total in record.spec.lengths.values()} == {"100ep"}
    record = confirmed(record, {"slot-1": SHORT, "standard": LONG, "standard-x0.999": LONG})
    one = next(one for one in decisions(record) if one.rule.control == PLAIN)
    assert (one.verdict, one.why) == (Verdict.OPEN, Why.ONE_LENGTH)
    assert "failed" not in sentence(one, 1)


def test_a_leader_that_diverged_did_not_fail() -> None:
    """Without a cost of its own it cannot be held against the curve; the sentence says what may have happened."""
    record = study({"slot-1": ["diverged"] * 3, "standard": LONG[:3], "standard-x0.5": SHORT[:3]}, 50.0)
    (one,) = decisions(record)
    assert "3 seeds without a pair: a run failed or diverged." in sentence(one, 1)
