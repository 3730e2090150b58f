"""Are two arms as good as equal? A large p does not say so; two one-sided tests against a stated margin do.

*Notations*

    margin     the difference in error, a fraction, below which one does not care; stated before the results
    TOST       two one-sided paired t tests, of mean <= -margin and of mean >= margin; p is the larger of both

Reference: Schuirmann 1987.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reprtune.analysis.level import ALPHA
from reprtune.analysis.paired import MIN_PAIRS, NO_SPREAD


@dataclass(frozen=True, kw_only=True)
class Equivalence:
    """Attributes: margin: a fraction. p: None where all differences are equal; not corrected."""

    margin: float
    p: float | None

    @property
    def is_shown(self) -> bool:
        return self.p is not None and self.p < ALPHA


def equivalence(differences: Sequence[float] | np.ndarray, margin: float) -> Equivalence:
    """Two one-sided paired t tests of these differences.

    Raises:
        ValueError: margin is not a positive number, fewer than `MIN_PAIRS` differences, or one is not finite.
    """
    if not (margin > 0 and math.isfinite(margin)):
        raise ValueError(
            f"margin must be a number above 0, got {margin}; give it in error, 0.005 for half a point"
        )
    values = np.asarray(differences, float)
    if len(values) < MIN_PAIRS:
        raise ValueError(f"differences must be {MIN_PAIRS} or more, got {len(values)}; add seeds")
    if not np.isfinite(values).all():
        raise ValueError("differences must be finite numbers; give diverged runs chance error")
    n, mean, sd = len(values), float(values.mean()), float(values.std(ddof=1))
    if sd < NO_SPREAD:
        return Equivalence(margin=margin, p=None)
    nearest = (margin - abs(mean)) / sd * math.sqrt(n)
    return Equivalence(margin=margin, p=float(stats.t.sf(nearest, n - 1)))
