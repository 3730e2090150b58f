"""Fractional factorials, held against the columns of pyDOE3's own matrix."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from pyDOE3 import fracfact

from reprtune.errors import SpecError
from reprtune.spec.codec import canonical_json
from reprtune.spec.designs import fractional
from reprtune.spec.designs.design import Factor
from reprtune.spec.designs.fractional import FractionalFactorial, best_generator, runs
from reprtune.spec.sections.arms import Arms
from reprtune.spec.study import read_section
from tests.spec.example import TRIAL


def factors(n: int) -> tuple[Factor, ...]:
    return tuple(Factor(name=f"f{i}", levels={"off": {}, "on": {}}) for i in range(n))


def design(n: int, **fields: Any) -> FractionalFactorial:
    return FractionalFactorial(factors=factors(n), **fields)


def brute_resolution(matrix: np.ndarray) -> int:
    """The smallest number of columns whose product is constant; one more than there are where none is."""
    n = matrix.shape[1]
    for k in range(1, n + 1):
        for chosen in itertools.combinations(range(n), k):
            if abs(matrix[:, chosen].prod(axis=1).sum()) == len(matrix):
                return k
    return n + 1


GENERATORS = [
    "a b c abc",
    "a b -ab",
    "a b c -ab -ac",
    "a b c d bcd acd abd abc",
    "a b c d -abcd",
    "ab a b c ac",
]


@pytest.mark.parametrize("generator", GENERATORS)
def test_runs_are_those_of_pydoe3(generator: str) -> None:
    """Row by row."""
    assert np.array_equal(np.array(runs(generator)), fracfact(generator))


@pytest.mark.parametrize("generator", GENERATORS)
def test_aliases_and_resolution_are_those_of_the_columns(generator: str) -> None:
    """Two terms are aliases exactly when their columns are the same or opposite in every run."""
    matrix = fracfact(generator)
    n = matrix.shape[1]
    one = design(n, generator=generator, resolution=3)
    names = [f.name for f in one.factors]
    columns = {
        ":".join(names[i] for i in c): matrix[:, c].prod(axis=1)
        for k in (1, 2)
        for c in itertools.combinations(range(n), k)
    }
    expected = {
        term: tuple(o for o, other in columns.items() if o != term and abs(column @ other) == len(matrix))
        for term, column in columns.items()
    }
    assert one.aliases == {term: others for term, others in expected.items() if others}
    assert one.achieved == brute_resolution(matrix)


# Fewest runs of the textbook (Box, Hunter & Hunter 2005, table 6.22).
FEWEST = {
    (3, 3): 4, (5, 3): 8, (6, 3): 8, (7, 3): 8, (9, 3): 16, (11, 3): 16, (15, 3): 16,
    (4, 4): 8, (6, 4): 16, (7, 4): 16, (8, 4): 16, (9, 4): 32, (11, 4): 32,
    (5, 5): 16, (6, 5): 32, (7, 5): 64,
}  # fmt: skip


@pytest.mark.parametrize(("n", "resolution"), FEWEST)
def test_the_fewest_runs_are_those_of_the_textbook(n: int, resolution: int) -> None:
    """At least the resolution asked for, as the columns have it, and the run of all first levels."""
    matrix = fracfact(best_generator(n, resolution))
    assert len(matrix) == FEWEST[n, resolution] and matrix.shape[1] == n
    assert brute_resolution(matrix) >= resolution
    assert (matrix == -1).all(axis=1).any()


def test_each_level_is_in_half_of_the_arms() -> None:
    """Arms have the levels of the runs, and what all cells have in common."""
    changed = tuple(
        Factor(name=name, levels={"off": {}, "on": {path: value}})
        for name, path, value in (
            ("lr", "training.lr", 0.5),
            ("momentum", "training.momentum", 0.1),
            ("decay", "training.weight_decay", 0.25),
            ("total", "training.batch_size", 3),
        )
    )
    one = FractionalFactorial(factors=changed, changes={"method": "standard"})
    arms = one.arms(TRIAL)
    assert one.generator == "a b c abc" and len(arms) == len({arm.name for arm in arms}) == 8
    for arm, run in zip(arms, fracfact("a b c abc"), strict=True):
        assert [arm.levels[f.name] for f in changed] == [("off", "on")[int(x > 0)] for x in run]
        there = {path: v for f in changed for path, v in f.levels[arm.levels[f.name]].items()}
        assert arm.changes == {"method": "standard", **there}
    assert arms[0].name == "lr-off.momentum-off.decay-off.total-off"


def test_long_names_stay_different() -> None:
    """Where the levels do not fit into a name, cells are numbered."""
    long = tuple(Factor(name=f"a-factor-of-long-name-{i}", levels={"off": {}, "on": {}}) for i in range(6))
    names = [arm.name for arm in FractionalFactorial(factors=long).arms(TRIAL)]
    assert names == [f"cell-{i}" for i in range(16)]


def test_a_stored_generator_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands in the canonical text, and nothing is searched for when it is read back."""
    section = Arms(design=design(4, resolution=4), seeds=3)
    text = canonical_json(section)
    assert json.loads(text)["design"]["generator"] == "a b c abc"
    monkeypatch.setattr(fractional, "best_generator", lambda *_: "a b c -abc")
    assert read_section(json.loads(text)) == section
    assert design(4).generator == "a b c -abc"  # the change acts where nothing is stored


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"generator": "a b c"}, "must have a word for each of the 4 factors"),
        ({"generator": "a b d abd"}, "must have letters from a on"),
        ({"generator": "a b c abx"}, "must have letters from a on"),
        ({"generator": "a b c aab"}, "must name a letter once in a product, but got 'aab'"),
        ({"generator": "a b c -c"}, "must have different words|must have letters"),
        ({"generator": "a b c ab"}, "must have a resolution of 4 or more, but 'a b c ab' has 3"),
        ({"resolution": 2}, "resolution must be at least 3|resolution must be 3"),
        ({"resolution": 5}, "finds no fraction of resolution 5 for 4 factors"),
    ],
)
def test_a_wrong_fraction_is_refused(fields: dict[str, Any], message: str) -> None:
    """With the field and the rule."""
    with pytest.raises(SpecError, match=message):
        Arms(design=design(4, **fields))


def test_three_levels_are_refused() -> None:
    """With what takes them."""
    three = Factor(name="criterion", levels={"a": {}, "b": {}, "c": {}})
    with pytest.raises(SpecError, match="two levels each, but criterion has 3") as caught:
        Arms(design=FractionalFactorial(factors=(*factors(3), three)))
    assert "full-factorial" in caught.value.hint
