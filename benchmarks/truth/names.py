"""What a formula names in many studies of one truth: how often something that is not so, and all that is."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from benchmarks.truth.shares import share
from reprtune.analysis.rebuilt import Row

Name = TypeVar("Name")
Study = tuple[Row, ...]
Formula = Callable[[Study], set[Name]]
Truth = TypeVar("Truth")


def lines(
    truths: Mapping[str, tuple[Truth, tuple[Name, ...]]],
    n_trials: Sequence[int],
    study: Callable[[Truth, int, int], Study],
    formulas: Mapping[str, Formula[Name]],
    studies: int,
    what: str,
) -> Iterator[str]:
    """One for each number of trials, truth (with what is really so) and formula; `what`: a thing that is named."""
    for n, (title, (truth, real)) in itertools.product(n_trials, truths.items()):
        made = [study(truth, n, seed) for seed in range(studies)]
        for when, formula in formulas.items():
            named = [formula(seen) for seen in made]
            wrong = share(sum(bool(names - set(real)) for names in named), studies)
            right = share(sum(set(real) <= names for names in named), studies)
            text = f"{n} trials, {title}, {when}: a wrong {what} in {wrong}"
            yield text + (f", all true ones in {right}" if real else "")
