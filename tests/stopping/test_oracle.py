"""Every stop rule on random curves, against its definition in words, done the slow way in exact fractions."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from typing import Any

import pytest

from reprtune.spec.stop_rules import Median, NoStop, Percentile, StopRule, SuccessiveHalving
from reprtune.stopping.curves import Rival, Standing
from reprtune.stopping.rungs import judge, should_stop

TOTAL, N_CASES = 100, 600
RULES: list[tuple[StopRule, Fraction, int | None]] = [  # rule, share that goes on, factor between levels
    (Median(min_comparable=1), Fraction(1, 2), None),
    (Median(min_comparable=4), Fraction(1, 2), None),
    (Percentile(min_comparable=2), Fraction(1, 4), None),
    (Percentile(percentile=10, min_comparable=1), Fraction(1, 10), None),
    (Percentile(percentile=70, min_comparable=1), Fraction(7, 10), None),
    (SuccessiveHalving(min_comparable=1), Fraction(1, 3), 3),
    (SuccessiveHalving(reduction_factor=2, min_comparable=3), Fraction(1, 2), 2),
    (SuccessiveHalving(reduction_factor=7, min_comparable=1), Fraction(1, 7), 7),
    (NoStop(), Fraction(1), None),
]
each_rule = pytest.mark.parametrize(
    ("rule", "share", "factor"), RULES, ids=[f"{rule.kind}-{i}" for i, (rule, _, _) in enumerate(RULES)]
)


def on_the_way(curve: list[tuple[int, float]], step: int) -> Any:
    """The error at the step on the straight line between the points around it; None where there is none on a side."""
    before = [(s, e) for s, e in curve if s <= step]
    after = [(s, e) for s, e in curve if s >= step]
    if not before or not after:
        return None
    (s0, e0), (s1, e1) = max(before, key=lambda p: p[0]), min(after, key=lambda p: p[0])
    if not (math.isfinite(e0) and math.isfinite(e1)):
        return math.inf
    return (
        Fraction(e0) if s0 == s1 else Fraction(e0) + (Fraction(e1) - Fraction(e0)) * (step - s0) / (s1 - s0)
    )


def is_worse_than_share(error: Any, errors: list[Any], share: Fraction) -> bool:
    """Above the quantile: the place `share` of the way from the first to the last of the sorted errors."""
    ordered, place = sorted(errors), (len(errors) - 1) * share
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    if low == high or math.isinf(high):  # on the way to infinity all is infinite
        return bool(error > high)
    return bool(error > low + (high - low) * (place % 1))


def is_behind(own: tuple[Any, Any], others: list[tuple[Any, Any]], share: Fraction) -> bool:
    """Front after front is taken away; the trial goes on while no more than the share is before it."""
    if 10 * (1 + sum(e >= own[0] for e, _ in others)) <= len(others) + 1:
        return True
    left, before, is_first = [own, *others], 0, True
    while True:
        front = [p for p in left if not any(q[0] <= p[0] and q[1] <= p[1] and q != p for q in left)]
        if own in front:
            before += sum(p[0] < own[0] for p in front)
            return not is_first and before > len(others) * share
        before, is_first, left = before + len(front), False, [p for p in left if p not in front]


def is_a_level_here(step: int, earlier: list[int], factor: int) -> bool:
    """Is the rung the first at or after one of total/f, total/f^2, ..., down to below one step?"""
    levels, level = [], Fraction(TOTAL, factor)
    while not levels or levels[-1] >= 1:
        levels.append(level)
        level /= factor
    return any(step >= level and not any(level <= rung < step for rung in earlier) for level in levels)


def in_words(case: dict[str, Any], rule: StopRule, share: Fraction, factor: int | None) -> bool:
    """Whether the trial is stopped at its rung."""
    if isinstance(rule, NoStop):
        return False
    if factor is not None and not is_a_level_here(case["step"], case["earlier"], factor):
        return False
    there = [(on_the_way(r.curve, case["step"]), r.cost) for r in case["rivals"]]
    there = [(e, c) for e, c in there if e is not None]
    if len(there) < rule.options()["min_comparable"]:
        return False
    if case["cost"] is None:
        return is_worse_than_share(Fraction(case["error"]), [e for e, _ in there], share)
    return is_behind((Fraction(case["error"]), case["cost"]), there, share)


def random_case(rng: random.Random, *, several: bool) -> dict[str, Any]:
    """A trial at a rung among up to 25 others of 1 to 5 points each, some not numbers; often with ties."""
    rungs = sorted(rng.sample(range(1, TOTAL), rng.randint(1, 6)))
    step, earlier = rungs[-1], rungs[:-1]
    rivals = []
    for _ in range(rng.randint(0, 25)):
        steps = sorted(
            {*rng.sample(range(1, TOTAL + 1), rng.randint(1, 5)), *rng.sample([step, 1, TOTAL], 2)}
        )
        curve = [
            (s, rng.random() if rng.random() < 0.97 else rng.choice([math.nan, math.inf])) for s in steps
        ]
        rivals.append(Rival(curve, float(rng.randint(1, 12)) if several else None))
    here = [e for r in rivals for s, e in r.curve if s == step and math.isfinite(e)]
    error = rng.choice(here) if here and rng.random() < 0.3 else rng.random()
    cost = float(rng.randint(1, 12)) if several else None
    return {"step": step, "error": error, "cost": cost, "rivals": rivals, "earlier": earlier}


@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
@each_rule
def test_it_does_what_its_definition_says(
    rule: StopRule, share: Fraction, factor: int | None, several: bool
) -> None:
    """For one objective and for several; both answers are frequent."""
    rng, stopped = random.Random(f"{rule}{several}"), 0
    for _ in range(N_CASES):
        case = random_case(rng, several=several)
        standing = Standing(case["step"], case["error"], case["cost"], case["earlier"], TOTAL)
        found = should_stop(rule, standing, case["rivals"])
        assert found is in_words(case, rule, share, factor), case
        stopped += found
    assert (N_CASES / 10 < stopped < 9 * N_CASES / 10) is rule.stops


def test_every_rule_has_an_oracle_and_a_judge_of_its_own() -> None:
    """The card of each names a class; no two rules share one, and each has the rule's value."""
    assert {type(rule) for rule, _, _ in RULES} == {*StopRule.kinds}
    assert len({type(judge(kind())) for kind in StopRule.kinds}) == len(StopRule.kinds)
    assert all(judge(rule).rule is rule for rule, _, _ in RULES)
