"""The columns of a linear model on searched parameters: what each does alone, and what enters products.

*Notations*

    z        value of an ordered parameter on [-1, 1] over its range (of its log10 on a logarithmic one)
    linear   z; of a choice an indicator of every level but the first
    main     what a parameter does alone, straight, curved or in steps: an indicator of every level but the first
             of a choice, and of an ordered parameter that took up to `MAX_LEVELS` values; else z and z^2
    absent   None, of a trial that does not have the parameter (it exists in some draws only): 0 in every column,
             and `main` has an indicator of presence besides
    basis    orthonormal columns that span those of a model; `without` is the residual of least squares on it
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reprtune.spec.space import Choice, FloatRange, Range

MAX_LEVELS = 6
NEGLIGIBLE = 1e-7  # of the length of a column: less than this is rounding

Columns = Mapping[str, Sequence[Any]]  # parameter -> its value in every trial, None where it is absent


def place(range_: Range, value: float) -> float:
    """Where a value lies on the axis of its range: log10 on a logarithmic one."""
    return math.log10(value) if isinstance(range_, FloatRange) and range_.log else float(value)


def width(range_: Range) -> float:
    """From the lowest to the highest value, as `place` has them."""
    ends = range_.values() or range_.ends()
    return place(range_, float(ends[-1])) - place(range_, float(ends[0]))


def drawn_columns(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, list[Any]]:
    """The values of every parameter over the trials."""
    return {name: [drawn.get(name) for drawn in rows] for name in names}


def linear(range_: Range, values: Sequence[Any]) -> np.ndarray:
    """What enters products; no column where the parameter took one value."""
    levels = _levels(range_, values)
    if isinstance(range_, Choice):
        return _indicators(values, levels[1:])
    if len(levels) < 2:
        return np.empty((len(values), 0))
    low, span = place(range_, float((range_.values() or range_.ends())[0])), width(range_)
    return np.array([0.0 if v is None else 2 * (place(range_, v) - low) / span - 1 for v in values])[:, None]


def main(range_: Range, values: Sequence[Any]) -> np.ndarray:
    """What the parameter does alone."""
    levels = _levels(range_, values)
    absent = [v is None for v in values]
    presence = ~np.array(absent)[:, None] if any(absent) else np.empty((len(values), 0))
    if isinstance(range_, Choice) or len(levels) <= MAX_LEVELS:
        return np.hstack([presence, _indicators(values, levels[1:])])
    z = linear(range_, values)
    return np.hstack([presence, z, z**2])


def mains(params: Mapping[str, Range], drawn: Columns) -> np.ndarray:
    """The constant and what each parameter does alone."""
    n = len(next(iter(drawn.values())))
    return np.hstack([np.ones((n, 1)), *(main(range_, drawn[name]) for name, range_ in params.items())])


def products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Every column of one times every column of the other."""
    return (a[:, :, None] * b[:, None, :]).reshape(len(a), a.shape[1] * b.shape[1])


def basis(columns: np.ndarray, length: float | None = None) -> np.ndarray:
    """Orthonormal columns with the same span. `length`: what is small against it is rounding; default the longest."""
    if not columns.size:
        return columns[:, :0]
    u, s, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(u[:, s > NEGLIGIBLE * (s[0] if length is None else length)])


def without(of: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What least squares on this basis leaves."""
    return np.asarray(y - of @ (of.T @ y))


def _levels(range_: Range, values: Sequence[Any]) -> list[Any]:
    there = {v for v in values if v is not None}
    return [o for o in range_.options if o in there] if isinstance(range_, Choice) else sorted(there)


def _indicators(values: Sequence[Any], levels: Sequence[Any]) -> np.ndarray:
    found = [[v is not None and v == level for level in levels] for v in values]
    return np.array(found, dtype=float).reshape(len(values), len(levels))
