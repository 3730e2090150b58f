"""Durations: what a person may write, how many steps it is, and that it writes back as itself."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprtune.errors import SpecError
from reprtune.spec.duration import Duration


@pytest.mark.parametrize(
    ("text", "steps"),
    [("20ep", 340), ("4000it", 4000), ("2.5ep", 42), ("0.5ep", 8), ("1.5 ep", 26), (" 3ep ", 51), ("0ep", 0)],
)
def test_steps(text: str, steps: int) -> None:
    """With 17 steps per epoch: epochs times 17, rounded to the nearest, halves to even; steps as they are."""
    assert Duration.parse(text).steps(17) == steps


@pytest.mark.parametrize(
    "text", ["", "20", "ep", "-3ep", "20 epochs", "1e3it", "3.ep", "ten ep", 20, 2.5, None, True]
)
def test_refuses_what_is_no_duration(text: object) -> None:
    """The error names the field, the rule and the value, and shows how to write it."""
    with pytest.raises(SpecError) as caught:
        Duration.parse(text, "method.s1")
    assert caught.value.message == (
        f"method.s1 must be a number of epochs (ep) or optimizer steps (it), but got {text!r}."
    )
    assert caught.value.hint == 'Write method.s1 like "20ep" or "4000it".'


def test_steps_are_whole() -> None:
    """Half an optimizer step does not exist; "2.0it" is two of them."""
    with pytest.raises(SpecError, match=r"method\.s2 must be a whole number of steps, but got '2\.5it'"):
        Duration.parse("2.5it", "method.s2")
    assert Duration.parse("2.0it") == Duration(Fraction(2), "it")


@given(
    whole=st.integers(0, 10**12 - 1),
    thousandths=st.integers(0, 10**9 - 1),
    unit=st.sampled_from(["ep", "it"]),
)
def test_writes_back_exactly(whole: int, thousandths: int, unit: str) -> None:
    """What a duration prints is read as the same duration, to the last digit."""
    text = f"{whole}.{thousandths:09d}ep" if unit == "ep" else f"{whole}it"
    duration = Duration.parse(text)
    assert Duration.parse(str(duration)) == duration
    if unit == "ep":
        assert duration.value == Fraction(whole * 10**9 + thousandths, 10**9)


def test_one_text_for_one_length() -> None:
    """Equal durations print alike, so that they share a digest."""
    assert {str(Duration.parse(text)) for text in ("20ep", "20.0ep", " 20 ep", "020ep")} == {"20ep"}
    assert str(Duration.parse("2.50ep")) == "2.5ep"


@pytest.mark.parametrize(
    ("text", "factor", "scaled"),
    [("8ep", Fraction(5, 2), "20ep"), ("8ep", Fraction(1, 4), "2ep"), ("3ep", Fraction(1, 10), "1ep"),
     ("100it", Fraction(1, 3), "33it"), ("2.5ep", Fraction(2), "5ep")],
)  # fmt: skip
def test_scaled(text: str, factor: Fraction, scaled: str) -> None:
    """Scaling rounds to whole epochs or steps and never to nothing."""
    assert str(Duration.parse(text).scaled(factor)) == scaled
