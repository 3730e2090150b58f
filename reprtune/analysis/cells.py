"""The runs of a factorial design as a table: seeds by cells, and means over cells with some levels in common."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from reprtune.analysis.paired import SeedValue
from reprtune.errors import StudyError

Levels = Mapping[str, str]
Factors = Mapping[str, Sequence[str]]
Cell = tuple[str, ...]


class WhyNot(str, Enum):
    """Why there is no effect of a level."""

    NO_CELL = "no cell has a run"
    UNBALANCED = "levels of two factors do not go together equally often"
    FEW_SEEDS = "fewer than two seeds are complete in all cells"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One finished run: factor -> level, and its error."""

    levels: Levels
    seed: int
    error: float


class CellTable:
    """Errors of seeds that are complete: a row for each seed, a column for each cell."""

    def __init__(self, runs: Sequence[Run], factors: Factors, cells: Collection[Levels] | None) -> None:
        _check(factors, [*(r.levels for r in runs), *(cells or ())])
        self.factors = {f: list(levels) for f, levels in factors.items()}
        given = [r.levels for r in runs] if cells is None else cells
        self.cells: list[Cell] = list(dict.fromkeys(tuple(levels[f] for f in factors) for levels in given))
        errors: dict[int, dict[Cell, list[float]]] = {}
        for run in runs:
            cell = tuple(run.levels[f] for f in factors)
            errors.setdefault(run.seed, {}).setdefault(cell, []).append(run.error)
        self.seeds = sorted(s for s, found in errors.items() if self.cells and {*self.cells} <= {*found})
        rows = [[float(np.mean(errors[s][c])) for c in self.cells] for s in self.seeds]
        self.errors = np.array(rows).reshape(len(self.seeds), len(self.cells))

    def why_not(self) -> WhyNot | None:
        if not self.cells:
            return WhyNot.NO_CELL
        if not all(self._is_balanced(pair) for pair in itertools.combinations(range(len(self.factors)), 2)):
            return WhyNot.UNBALANCED
        return WhyNot.FEW_SEEDS if len(self.seeds) < 2 else None

    def _is_balanced(self, pair: tuple[int, int]) -> bool:
        """Does every level of one occur equally often with every level of the other?"""
        together = Counter((cell[pair[0]], cell[pair[1]]) for cell in self.cells)
        seen = [len({cell[i] for cell in self.cells}) for i in pair]
        return len(together) == seen[0] * seen[1] and len({*together.values()}) == 1

    def cell_means(self) -> dict[Cell, float]:
        if not self.seeds:
            return {}
        return dict(zip(self.cells, map(float, self.errors.mean(axis=0)), strict=True))

    def means(self, levels: Levels) -> np.ndarray:
        """Per seed, over all cells with these levels."""
        places = list(self.factors)
        at = [all(cell[places.index(f)] == level for f, level in levels.items()) for cell in self.cells]
        return np.asarray(self.errors[:, at].mean(axis=1))

    def levels(self, factor: int) -> list[str]:
        """Those that have a cell, in the order of the factor."""
        seen = {cell[factor] for cell in self.cells}
        return [level for level in list(self.factors.values())[factor] if level in seen]

    def by_seed(self, values: np.ndarray) -> tuple[SeedValue, ...]:
        return tuple(SeedValue(seed=s, value=float(v)) for s, v in zip(self.seeds, values, strict=True))


def _check(factors: Factors, rows: Sequence[Levels]) -> None:
    for levels in rows:
        for factor, allowed in factors.items():
            if levels.get(factor) not in allowed:
                raise StudyError(
                    f"levels[{factor!r}] must be one of {', '.join(allowed)}, but got {levels.get(factor)!r}.",
                    "Give every run one level of each factor of the design.",
                )
