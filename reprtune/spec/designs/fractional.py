"""A fraction of all combinations of two levels: fewer arms, for which some effects cannot be told apart.

*Notations*

    generator   which fraction, a word for each factor: a letter is a factor of its own, `abc` the product of the
                factors a, b and c, at -1 in their first level and +1 in the other; `-ab` its opposite
    word        a product of factors that is the same in every run, so that each of them equals that of the others
    resolution  length of the shortest word: at 3 an effect looks like an interaction of two others, at 4 only like one
                of three, and interactions of two look like each other; at 5 these are told apart too
    alias       of a term: one whose column is the same in every run, or its opposite

Source: Box, Hunter & Hunter, Statistics for Experimenters (2005), chapter 6. A fraction of resolution 3 has at most
2^k - 1 factors in its 2^k runs, one of resolution 4 at most 2^(k-1), which the products of an odd number of factors
reach; among few fractions pyDOE3 finds the one that confuses least.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from reprtune.errors import SpecError
from reprtune.spec.designs.arm import Arm
from reprtune.spec.designs.design import Design, Factor, check_factors
from reprtune.spec.designs.factorial import MOST_CELLS, cells
from reprtune.spec.rules import at_least, at_most
from reprtune.spec.trial import TrialSpec

MOST_FACTORS = 20  # as many as pyDOE3 takes
# Columns that a search for the best fraction may look at: a second, or some where nothing else finds one.
MOST_TRIED = {3: 2**17, 4: 2**17, 5: 2**19}


@dataclass(frozen=True, kw_only=True)
class FractionalFactorial(Design):
    """A fraction of all combinations of two levels, chosen so that the effect of each factor is told apart from those
    of all others; the combination of all first levels is among them.

    Attributes:
        factors: what is varied, each at two levels. changes: what all cells have in common.
        resolution: at least so much; 3, 4 or 5. See `aliases` for what cannot be told apart then.
        generator: which fraction; empty = the fewest runs of that resolution. It is stored, so that a study stays as
            it was created.
    """

    kind: ClassVar[str] = "fractional-factorial"
    line: ClassVar[str] = (
        "a fraction of all combinations of two levels, in which some effects are not told apart"
    )
    is_factorial: ClassVar[bool] = True
    factors: tuple[Factor, ...]
    changes: Mapping[str, Any] = field(default_factory=dict)
    resolution: int = 4
    generator: str = ""

    def __post_init__(self) -> None:
        at_least("fractional-factorial.resolution", self.resolution, 3)
        at_most("fractional-factorial.resolution", self.resolution, 5)
        found = " ".join(word.removeprefix("+") for word in self.generator.lower().split())
        if not found and 3 <= len(self.factors) <= MOST_FACTORS:
            found = best_generator(len(self.factors), self.resolution)
        object.__setattr__(self, "generator", found)

    def check(self, where: str) -> None:
        check_factors(where, self.factors, fewest=3)
        at_most(f"{where}.factors", len(self.factors), MOST_FACTORS)
        for factor in self.factors:
            if len(factor.levels) != 2:
                raise SpecError(
                    f"{where}.factors must have two levels each, but {factor.name} has {len(factor.levels)}.",
                    "Leave out levels, or take full-factorial, which has every combination of any number of levels.",
                )
        _check_generator(f"{where}.generator", self.generator, len(self.factors))
        if (found := self.achieved) < self.resolution:
            raise SpecError(
                f"{where}.generator must have a resolution of {self.resolution} or more, but {self.generator!r} has "
                f"{found}.",
                "Leave the generator out, or lower the resolution.",
            )

    def arms(self, base: TrialSpec) -> tuple[Arm, ...]:  # noqa: ARG002 - all stands there
        combinations = [
            {f.name: tuple(f.levels)[level > 0] for f, level in zip(self.factors, run, strict=True)}
            for run in runs(self.generator)
        ]
        return cells(self.factors, self.changes, combinations)

    @property
    def achieved(self) -> int:
        """The resolution of its generator, which may be more than was asked for."""
        return resolution_of(self.generator)

    @property
    def aliases(self) -> dict[str, tuple[str, ...]]:
        """Term -> the others that it cannot be told from; of factors and interactions of two, those that have some.
        An interaction is called by its factors: `criterion:restore`."""
        words = _words(self.generator)
        names = [factor.name for factor in self.factors]
        columns: dict[frozenset[str], list[str]] = {}
        for n in (1, 2):
            for chosen in itertools.combinations(range(len(names)), n):
                term = ":".join(names[i] for i in chosen)
                columns.setdefault(_product([words[i] for i in chosen]), []).append(term)
        return {
            term: tuple(other for other in alike if other != term)
            for alike in columns.values()
            if len(alike) > 1
            for term in alike
        }


def runs(generator: str) -> list[tuple[int, ...]]:
    """The level of every factor, -1 or 1, in every run; that of all first levels first where it is there."""
    words = generator.split()
    letters = sorted(word for word in words if len(word) == 1)
    found = []
    for levels in itertools.product((-1, 1), repeat=len(letters)):
        at = dict(zip(letters, levels, strict=True))
        found.append(tuple(math.prod(-1 if letter == "-" else at[letter] for letter in w) for w in words))
    return found


def resolution_of(generator: str) -> int:
    """Length of the shortest word; one more than there are factors where there is none: every combination."""
    words = _words(generator)
    for n in range(1, len(words) + 1):
        if any(not _product(chosen) for chosen in itertools.combinations(words, n)):
            return n
    return len(words) + 1


def _words(generator: str) -> list[frozenset[str]]:
    """Letters of each factor, whatever its sign."""
    return [frozenset(word.lstrip("-")) for word in generator.split()]


def _product(words: Any) -> frozenset[str]:
    """The letters of a product: those that stand in it twice are gone."""
    return functools.reduce(frozenset.symmetric_difference, words)


def _check_generator(where: str, generator: str, n_factors: int) -> None:
    """Raise SpecError unless the words name so many different factors, each letter one of its own."""
    words = generator.split()
    if len(words) != n_factors:
        raise SpecError(
            f"{where} must have a word for each of the {n_factors} factors, but got {generator!r}."
        )
    letters = sorted(word for word in words if len(word) == 1)
    known = string.ascii_lowercase[: len(letters)]
    if "".join(letters) != known or not all(re.fullmatch(f"-?[{known}]+", word) for word in words):
        raise SpecError(
            f"{where} must have letters from a on, each once by itself, and products of them, but got {generator!r}.",
            "Of four factors in eight runs: a b c abc.",
        )
    if wrong := [word for word in words if len(set(word)) != len(word)]:
        raise SpecError(f"{where} must name a letter once in a product, but got {wrong[0]!r}.")
    if len(set(_words(generator))) != len(words):
        raise SpecError(
            f"{where} must have different words, but got {generator!r}: two factors would be one."
        )
    if 2 ** len(letters) > MOST_CELLS:
        raise SpecError(
            f"{where} has at most {MOST_CELLS} cells, but {generator!r} makes {2 ** len(letters)}.",
            "Take fewer letters.",
        )


# -- the best ---------------------------------------------------------------------------------------


@functools.cache
def best_generator(n_factors: int, resolution: int) -> str:
    """The generator with the fewest runs of at least that resolution, in which the run of all first levels is one.

    Raises:
        SpecError: every fraction has a lower one, or it would take too long to find.
    """
    for n_letters in range(2, n_factors):
        if n_factors > _most_factors(n_letters, resolution):
            continue
        found = _with_signs(_best(n_factors, n_letters, resolution))
        if resolution_of(found) >= resolution:
            return found
    raise SpecError(
        f"fractional-factorial finds no fraction of resolution {resolution} for {n_factors} factors.",
        "Take full-factorial, a lower resolution, or a generator of your own.",
    )


def _most_factors(n_letters: int, resolution: int) -> int:
    """So many factors a fraction of that resolution has at most; from 5 on all effects and interactions of two have
    columns of their own."""
    n_runs: int = 2**n_letters
    if resolution < 5:
        return n_runs - 1 if resolution == 3 else n_runs // 2
    return max(n for n in range(n_runs) if 1 + n + math.comb(n, 2) <= n_runs)


def _best(n_factors: int, n_letters: int, resolution: int) -> str:
    """A generator of that many letters: the one that confuses least where there are few; else at 3 and 4 one that has
    this resolution."""
    from pyDOE3 import fracfact_opt

    products = 2**n_letters - n_letters - 1
    n_erased = n_factors - n_letters
    n_tried = math.comb(products, n_erased)
    if (
        n_erased <= n_tried <= MOST_TRIED[resolution] // 2**n_factors
    ):  # fewer than erased: refused by pyDOE3 without need
        return str(fracfact_opt(n_factors, n_erased)[0])
    if resolution == 5:
        raise SpecError(
            f"fractional-factorial cannot try all {n_tried:,} fractions of {n_factors} factors for resolution 5.",
            "Take resolution 4, or a generator of your own.",
        )
    letters = string.ascii_lowercase[:n_letters]
    lengths = range(2, n_letters + 1) if resolution == 3 else range(3, n_letters + 1, 2)
    words = ("".join(chosen) for n in lengths for chosen in itertools.combinations(letters, n))
    return " ".join([*letters, *itertools.islice(words, n_erased)])


def _with_signs(generator: str) -> str:
    """The opposite of each product of an even number, so that it is at its first level where all letters are."""
    return " ".join(word if len(word) % 2 else f"-{word}" for word in generator.split())
