"""The curve of plain training, from which the errors of all trials are told as differences: it carries the schedule.

*Notations*
    R(s)    error of plain training after s steps: the mean over its complete runs, smoothed
    smooth  local straight lines with tricube weights over two thirds of the evaluations of a stretch (lowess,
            Cleveland 1979, JASA 74(368)), of log error over log step, where a power law, what learning curves are like
            (Hestness et al., arXiv 1712.00409), is a straight line. Never across a milestone. Single evaluations at a high
            rate differ by points, and an error of R at a step is one for everybody there
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reprtune.stopping.curves import Curve, error_at
from reprtune.stopping.stretches import Stretches, around

SMOOTHED = 2 / 3  # share of a stretch's evaluations that each smoothed value looks at
FEWEST = 6  # evaluations of a stretch; fewer are left as they are


class StandardCurve:
    """R.

    Args:
        runs: complete runs of plain training, each (step, error) at every evaluation.
        stretches: of their learning rate.
    """

    def __init__(self, runs: Sequence[Curve], stretches: Stretches = ()) -> None:
        self.stretches = stretches
        tables = [dict(run) for run in runs]
        shared = set(tables[0]).intersection(*tables[1:]) if tables else set()
        mean = {step: float(np.mean([table[step] for table in tables])) for step in shared}
        self._curve = self._smooth(sorted((step, e) for step, e in mean.items() if math.isfinite(e)))
        self._known: dict[int, float | None] = {}

    def at(self, step: int) -> float | None:
        """R after so many steps, linear between evaluations of the same stretch; None outside of them."""
        if step not in self._known:
            self._known[step] = error_at(self._curve, step, *around(self.stretches, step)[:2])
        return self._known[step]

    def _smooth(self, points: Curve) -> list[tuple[int, float]]:
        pieces: dict[float, list[tuple[int, float]]] = {}
        for step, error in points:
            pieces.setdefault(around(self.stretches, step)[0], []).append((step, error))
        return [point for start, piece in pieces.items() for point in smoothed(piece, max(start, 0.0))]


def smoothed(points: Curve, start: float = 0.0) -> list[tuple[int, float]]:
    """The points of one stretch, steps increasing, as local straight lines see them.

    Args:
        start: of the stretch.
    """
    if len(points) < FEWEST:
        return list(points)
    from statsmodels.nonparametric.smoothers_lowess import lowess

    steps, errors = np.array(points, dtype=float).T
    if (errors <= 0).any():  # which have no logarithm
        return list(points)
    found: NDArray[np.float64] = np.exp(
        lowess(np.log(errors), np.log(steps - start), frac=SMOOTHED, it=0, return_sorted=False)
    )
    return [(step, float(e)) for (step, _), e in zip(points, found, strict=True)]
