"""Plain training of other lengths, as arms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reprtune.errors import SpecError
from reprtune.spec.codec import from_plain, to_plain
from reprtune.spec.duration import Duration
from reprtune.spec.scale import rescaled, scaled_study
from reprtune.spec.study import Arm, StudySpec, plain_lengths
from studies.methods_search import STUDY as METHODS
from studies.repr_ablation import STUDY as ABLATION


def lengths(study: StudySpec) -> dict[str, str]:
    """Arm that is standard training -> its total."""
    return {
        arm: str(trial.training.total) for arm, _, trial in study.arm_cells() if arm.startswith("standard")
    }


def test_they_are_standard_but_for_their_total() -> None:
    """A name that says the factor, the method standard, and that share of the total; nothing else."""
    assert plain_lengths("50ep", (0.4, 2)) == (
        Arm(name="standard-x0.4", changes={"method": "standard", "training.total": "20ep"}),
        Arm(name="standard-x2", changes={"method": "standard", "training.total": "100ep"}),
    )
    of = {arm: trial for arm, seed, trial in ABLATION.arm_cells() if seed == 0}
    standard = of["standard"]
    for arm in plain_lengths("100ep"):
        trial = of[arm.name]
        assert replace(trial, training=replace(trial.training, total=standard.training.total)) == standard


def test_lengths_are_whole_epochs() -> None:
    """The nearest number of them, and at least one."""
    totals = [arm.changes["training.total"] for arm in plain_lengths("7ep", (0.05, 0.4, 0.6, 1.5))]
    assert totals == ["1ep", "3ep", "4ep", "10ep"]
    assert plain_lengths(Duration.parse("999it"), (0.5,))[0].changes["training.total"] == "500it"


def test_what_standard_changes_is_changed_in_them_too() -> None:
    """A study whose standard arm is not the base with another method alone says so."""
    smoothed = {"method": "standard", "training.label_smoothing": 0.1}
    (arm,) = plain_lengths("100ep", (0.5,), standard=smoothed)
    assert arm.changes == {**smoothed, "training.total": "50ep"}


@pytest.mark.parametrize(
    ("factors", "said"),
    [
        ((0,), "must be numbers above 0, but got 0"),
        ((-1,), "must be numbers above 0, but got -1"),
        ((float("nan"),), "must be numbers above 0, but got nan"),
        ((float("inf"),), "must be numbers above 0, but got inf"),
        (("0.4",), "must be numbers above 0, but got '0.4'"),
        ((True,), "must be numbers above 0, but got True"),
        ((0.4, 1), "must differ from 1"),
        ((0.4, 0.6, 0.4), r"must differ from each other, but got \[0.4, 0.6, 0.4\]"),
    ],
)
def test_what_is_no_factor_is_refused(factors: Any, said: str) -> None:
    """With the rule and the value."""
    with pytest.raises(SpecError, match=said):
        plain_lengths("100ep", factors)


def test_a_total_that_is_none_is_refused() -> None:
    """As everywhere a person writes a duration."""
    with pytest.raises(SpecError, match="total must be a number of epochs"):
        plain_lengths("long")


def test_the_shipped_searches_have_them() -> None:
    """From 40 % of the steps, to twice them where some methods train two networks."""
    assert lengths(ABLATION) == {
        "standard": "100ep", "standard-x0.4": "40ep", "standard-x0.6": "60ep", "standard-x0.8": "80ep",
    }  # fmt: skip
    assert lengths(METHODS) == {
        "standard": "100ep", "standard-twice": "200ep", "standard-x0.4": "40ep", "standard-x0.6": "60ep",
        "standard-x0.8": "80ep", "standard-x1.4": "140ep",
    }  # fmt: skip


def test_they_keep_their_shares_of_another_total() -> None:
    """In epochs and in steps; too short for whole epochs, the nearest."""
    assert [*lengths(scaled_study(ABLATION, total="30ep")).values()] == ["30ep", "12ep", "18ep", "24ep"]
    assert [*lengths(scaled_study(ABLATION, total="8000it")).values()] == [
        "8000it", "3200it", "4800it", "6400it",
    ]  # fmt: skip
    assert [*lengths(rescaled(ABLATION, Duration.parse("100ep"))).values()] == [*lengths(ABLATION).values()]


def test_stored_they_are_arms_like_others() -> None:
    """Nothing but names and changes is stored, so that they can be read wherever arms can."""
    plain = to_plain(ABLATION)
    arms = plain["sections"][0]["design"]["list"]
    assert arms[3] == {
        "name": "standard-x0.4",
        "changes": {"method": "standard", "training.total": "40ep"},
    }
    assert from_plain(StudySpec, plain) == ABLATION
