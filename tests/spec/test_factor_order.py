"""Which level of a factor is the baseline's survives being stored, in tables that are in the order of their names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reprtune.errors import SpecError
from reprtune.spec.codec import canonical_json, from_plain, to_plain
from reprtune.spec.study import (
    Arm,
    Arms,
    Factor,
    FractionalFactorial,
    FullFactorial,
    LeaveOneOut,
    OneAtATime,
    StudySpec,
)

DECAY = {"with": {}, "none": {"training.weight_decay": 0.0}}  # not in the order of their names
RATE = {"high": {}, "low": {"training.lr": 0.01}}  # in it
FACTORS = (Factor(name="decay", levels=DECAY), Factor(name="rate", levels=RATE))
THREE = (*FACTORS, Factor(name="restore", levels={"b": {}, "a": {"method.restore": "random"}}))


def stored(design: Any) -> tuple[StudySpec, StudySpec]:
    """A study of it, and what is read of what is stored."""
    spec = StudySpec(name="x", question="q", cost="", sections=(Arms(design=design),))
    return spec, from_plain(StudySpec, json.loads(canonical_json(spec)))


@pytest.mark.parametrize(
    "design",
    [
        LeaveOneOut(arm=Arm(name="repr", changes={"method": "repr"}), factors=FACTORS),
        OneAtATime(arm=Arm(name="base"), factors=FACTORS),
        FullFactorial(factors=FACTORS),
        FractionalFactorial(factors=THREE, resolution=3),
    ],
)
def test_arms_are_the_same_after_storing(design: Any) -> None:
    """The whole, or the baseline, has the first level as it was written, and the others are named by the other ones."""
    before, after = stored(design)
    assert [(arm.name, arm.changes) for arm in after.arms] == [(arm.name, arm.changes) for arm in before.arms]
    factors = list(after.comparisons[0].design.factors)
    assert [one.first for one in factors] == ["with", "high", "b"][: len(factors)]


def test_only_another_order_is_written() -> None:
    """So that what is stored of factors in the order of their names stays as it was."""
    assert to_plain(FACTORS[0])["order"] == ["with", "none"] and "order" not in to_plain(FACTORS[1])


@pytest.mark.parametrize("order", ["with", {"with": 0}, None])
def test_an_order_that_cannot_be(order: Any) -> None:
    """Named by its field."""
    with pytest.raises(SpecError, match=r"factor\.order must list the names of levels"):
        from_plain(Factor, {"name": "decay", "levels": DECAY, "order": order}, "factor")
