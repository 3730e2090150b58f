"""Ranges of a search: their grids, ends, names and scaling."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprtune.errors import SpecError
from reprtune.spec.duration import Duration
from reprtune.spec.space import Choice, DurationRange, FloatRange, IntRange, Range, param_name, param_names


def durations(low: str, high: str, step: str = "1ep") -> DurationRange:
    return DurationRange(low=Duration.parse(low), high=Duration.parse(high), step=Duration.parse(step))


@pytest.mark.parametrize(
    ("range_", "values", "ends"),
    [
        (IntRange(low=1, high=4), [1, 2, 3, 4], [1, 4]),
        (IntRange(low=1, high=6, step=2), [1, 3, 5], [1, 5]),
        (IntRange(low=3, high=3), [3], [3, 3]),
        (FloatRange(low=0.1, high=0.6, step=0.1), [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.1, 0.6]),
        (FloatRange(low=0.1, high=0.6, step=0.2), [0.1, 0.3, 0.5], [0.1, 0.5]),
        (FloatRange(low=0.1, high=0.6), None, [0.1, 0.6]),
        (FloatRange(low=1e-4, high=1.0, log=True), None, [1e-4, 1.0]),
        (durations("3ep", "6ep"), [3, 4, 5, 6], ["3ep", "6ep"]),
        (durations("100it", "450it", "100it"), [100, 200, 300, 400], ["100it", "400it"]),
        (Choice(options=("a", 2, 2.5, True)), ["a", 2, 2.5, True], ["a", 2, 2.5, True]),
    ],
)
def test_values_and_ends(range_: Range, values: list[Any] | None, ends: list[Any]) -> None:
    """The grid in order, or None for a continuum; the ends as values of the field."""
    assert range_.values() == values
    assert range_.ends() == ends


def test_draws_become_field_values() -> None:
    """A drawn number of epochs or steps becomes a duration of that unit; the others stay as they are."""
    assert durations("3ep", "6ep").to_field(4) == "4ep"
    assert durations("100it", "200it", "50it").to_field(150) == "150it"
    assert IntRange(low=1, high=4).to_field(2) == 2
    assert FloatRange(low=0.1, high=0.6).to_field(0.25) == 0.25
    assert FloatRange(low=0.1, high=0.6, step=0.05).to_field(0.1 + 4 * 0.05) == 0.3  # adds up to 0.30…04
    assert Choice(options=("a", "b")).to_field("b") == "b"


@given(low=st.integers(0, 30), n=st.integers(0, 30), step=st.integers(1, 9), rest=st.integers(0, 8))
def test_grids_reach_but_never_pass_high(low: int, n: int, step: int, rest: int) -> None:
    """Int, float and duration grids agree: every low + k x step up to high, and no more."""
    high = low + n * step + min(rest, step - 1)
    expected = [low + k * step for k in range(n + 1)]
    assert IntRange(low=low, high=high, step=step).values() == expected
    assert durations(f"{low}ep", f"{high}ep", f"{step}ep").values() == expected
    hundredths = FloatRange(low=low / 100, high=high / 100, step=step / 100).values()
    assert hundredths == pytest.approx([v / 100 for v in expected], abs=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IntRange(low=4, high=1),
         "An int range needs low <= high and step above 0, but got low 4, high 1, step 1."),
        (lambda: IntRange(low=1, high=4, step=0),
         "An int range needs low <= high and step above 0, but got low 1, high 4, step 0."),
        (lambda: FloatRange(low=0.6, high=0.1),
         "A float range needs low <= high and step above 0, but got low 0.6, high 0.1, step 1."),
        (lambda: FloatRange(low=0.1, high=0.6, step=0.0),
         "A float range needs low <= high and step above 0, but got low 0.1, high 0.6, step 0.0."),
        (lambda: FloatRange(low=0.0, high=1.0, log=True),
         "A logarithmic range needs low above 0 and no step, but got FloatRange("),
        (lambda: FloatRange(low=0.1, high=1.0, step=0.1, log=True),
         "A logarithmic range needs low above 0 and no step, but got FloatRange("),
        (lambda: durations("3ep", "100it"), "A duration range needs one unit, but got 3ep, 100it, 1ep."),
        (lambda: durations("3it", "10it"), "A duration range needs one unit, but got 3it, 10it, 1ep."),
        (lambda: durations("1.5ep", "3ep"), "A duration range needs whole numbers, but got 1.5ep to 3ep."),
        (lambda: durations("3ep", "2ep"),
         "A duration range needs low <= high and step above 0, but got low 3, high 2, step 1."),
        (lambda: Choice(options=()), "A choice needs different options, at least one, but got []."),
        (lambda: Choice(options=("a", "a")),
         "A choice needs different options, at least one, but got ['a', 'a']."),
    ],
)  # fmt: skip
def test_impossible_ranges(make: Any, message: str) -> None:
    """An impossible range is refused where it is written, with its rule and its values."""
    with pytest.raises(SpecError) as caught:
        make()
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("range_", "factor", "scaled"),
    [
        (durations("3ep", "12ep"), Fraction(5), durations("15ep", "60ep", "5ep")),
        (durations("3ep", "12ep"), Fraction(1, 4), durations("1ep", "3ep")),
        (durations("3ep", "12ep"), Fraction(1, 100), durations("1ep", "1ep")),
        (durations("3ep", "12ep"), Fraction(5, 2), durations("8ep", "30ep", "2ep")),
        (durations("100it", "400it", "100it"), Fraction(1, 2), durations("50it", "200it", "50it")),
    ],
)
def test_scaled(range_: DurationRange, factor: Fraction, scaled: DurationRange) -> None:
    """Ends and step grow alike, in whole units of at least one."""
    assert range_.scaled(factor) == scaled


@pytest.mark.parametrize(
    ("path", "range_", "name"),
    [
        ("method.prune_ratio", FloatRange(low=0.1, high=0.6), "prune_ratio"),
        ("method.s1", durations("3ep", "6ep"), "s1_epochs"),
        ("method.s2", durations("10it", "60it", "10it"), "s2_steps"),
        ("seed", IntRange(low=0, high=3), "seed"),
    ],
)
def test_param_names(path: str, range_: Range, name: str) -> None:
    """The last word of the path, with the unit for a duration."""
    assert param_name(path, range_) == name


def test_names_of_a_whole_space() -> None:
    """One word where that is enough; the part too where two paths end in the same word."""
    whole = IntRange(low=1, high=2)
    space: dict[str, Range] = {
        "method.schedule.s1": durations("3ep", "6ep"),
        "method.criterion": Choice(options=("l1", "l2")),
        "method.criterion.margin": whole,
        "method.restore.margin": whole,
        "method.criterion.reach": durations("3it", "6it", "1it"),
        "method.exchange.reach": durations("3ep", "6ep"),
        "training.lr": whole,
    }
    assert param_names(space) == {
        "method.schedule.s1": "s1_epochs",
        "method.criterion": "criterion",
        "method.criterion.margin": "criterion.margin",
        "method.restore.margin": "restore.margin",
        "method.criterion.reach": "criterion.reach_steps",
        "method.exchange.reach": "exchange.reach_epochs",
        "training.lr": "lr",
    }
