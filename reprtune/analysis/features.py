"""Settings as columns of numbers, for scikit-learn."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reprtune.spec.space import Choice, FloatRange, Range


def features(drawn: Sequence[Mapping[str, Any]], params: Mapping[str, Range]) -> np.ndarray:
    """A row for each trial: numbers as they are (logarithms where the range is), a column of 0 and 1 for each option,
    and one for whether the parameter was drawn, where some trials lack it."""
    columns: list[list[float]] = []
    for name, range_ in params.items():
        values = [d.get(name) for d in drawn]
        if isinstance(range_, Choice):
            columns += [[float(v == option) for v in values] for option in range_.options]
            continue
        known = [_number(range_, v) for v in values if v is not None]
        middle = statistics.fmean(known) if known else 0.0
        columns.append([middle if v is None else _number(range_, v) for v in values])
        if len(known) < len(values):
            columns.append([float(v is not None) for v in values])
    return np.array(columns).T


def _number(range_: Range, value: Any) -> float:
    return float(np.log(value)) if isinstance(range_, FloatRange) and range_.log else float(value)
