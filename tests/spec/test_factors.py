"""Factors as they are stored: the order of their levels means something, and the factor that is asked about is one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from reprtune.errors import SpecError
from reprtune.spec.codec import canonical_json, from_plain
from reprtune.spec.designs.arm import Arm
from reprtune.spec.designs.design import Factor
from reprtune.spec.designs.factorial import FullFactorial, OneAtATime

LEVELS = {"with": {}, "random": {"method.criterion": "random"}, "none": {"method": "standard"}}
SORTED = {"a": {}, "b": {"method": "standard"}}
OTHER = Factor(name="head", levels={"average": {}, "flatten": {"model.head": "flatten"}})


def stored(factor: Factor) -> Factor:
    """Written as a study is, with sorted names, and read again."""
    return from_plain(Factor, json.loads(canonical_json(factor)))


def test_levels_keep_their_order_when_they_are_stored() -> None:
    """The first is the baseline's whatever it is called; so the arms of a design stay the same ones."""
    factor = stored(Factor(name="ranking", levels=LEVELS))
    assert list(factor.levels) == ["with", "random", "none"] and factor.first == "with"
    one = OneAtATime(arm=Arm(name="whole"), factors=(Factor(name="ranking", levels=LEVELS),))
    again = from_plain(OneAtATime, json.loads(canonical_json(one)) | {"kind": one.kind})
    names = [[level.name for level in design.arms(None)] for design in (one, again)]  # type: ignore[arg-type]
    assert names[0] == names[1] == ["whole", "ranking-random", "ranking-none"]


def test_levels_in_the_order_of_their_names_are_stored_as_they_were() -> None:
    """So that the digests of studies from before there was an order stay what they are."""
    assert json.loads(canonical_json(Factor(name="f", levels=SORTED))) == {
        "name": "f",
        "levels": {"a": {}, "b": {"method": "standard"}},
    }


def test_a_level_that_is_added_comes_last() -> None:
    """`order` names those that it knows; what is no list is refused."""
    plain = {"name": "f", "levels": {**SORTED, "c": {}}, "order": ["b", "gone"]}
    assert list(from_plain(Factor, plain).levels) == ["b", "a", "c"]
    with pytest.raises(SpecError, match="order must list the names of levels"):
        from_plain(Factor, plain | {"order": "b"})


def test_the_factor_that_is_asked_about_is_one_of_the_design() -> None:
    """Another one is refused with the nearest; without one nothing is stored of it."""
    factors = (OTHER, Factor(name="method", levels=SORTED))
    design = FullFactorial(factors=factors, asked="method")
    design.check("regimes.design")
    with pytest.raises(SpecError, match="asked must name one of its factors") as caught:
        replace(design, asked="methods").check("regimes.design")
    assert "Did you mean method?" in str(caught.value)
    assert "asked" not in canonical_json(replace(design, asked=None))
