"""What a number of paired seeds can see: the smallest effect, and how many seeds would decide.

*Notations*

    power      probability that the two-sided paired t test at 5 % is significant, when the true mean difference is
               delta, and on the right side: 1 - F(t_{0.975, n-1}; n-1, delta sqrt(n) / sd), F of the noncentral t
    smallest   the delta that is seen with a power of 80 %, given the sd of the differences at hand
    needed     the smallest n whose power is 80 % if the mean difference at hand were the true one, and the sd too
    m          comparisons that p is corrected for: the test is at 5 %/m then, the first step of Holm's rule, so that
               what one of the later steps would see is never promised

The sd at hand is itself an estimate: with n = 3 its 95 % interval runs from half to six times of it, so both are orders
of magnitude, not promises.
"""

from __future__ import annotations

import functools
import math

from scipy import optimize, stats

from reprtune.analysis.level import ALPHA
from reprtune.analysis.paired import MIN_PAIRS, Difference

POWER = 0.8
MOST = 1000  # more seeds than this nobody trains


def smallest(difference: Difference | None, m: int = 1) -> float | None:
    """The smallest true difference that so many seeds with that spread would have shown in four of five studies; None
    without an interval."""
    if difference is None or difference.low is None or difference.sd is None:
        return None
    return _effect(difference.n, m) * difference.sd


def detectable(n: int, m: int = 1) -> float | None:
    """The smallest true difference that `n` pairs show in four of five studies, in sds of the paired differences; None
    without an interval."""
    return _effect(n, m) if n >= MIN_PAIRS else None


def needed(difference: Difference | None, m: int = 1) -> int | None:
    """How many pairs would decide, if the mean difference seen were the true one; `MOST` + 1 for more than that many,
    None without an interval."""
    if difference is None or difference.low is None or difference.sd is None:
        return None
    effect = abs(difference.mean) / difference.sd
    if effect < _effect(MOST, m):
        return MOST + 1
    low, high = MIN_PAIRS - 1, MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _power(effect, middle, m) >= POWER else (middle, high)
    return high


def _power(effect: float, n: int, m: int) -> float:
    """Of an effect in standard deviations of the differences, at `n` pairs."""
    return float(stats.nct.sf(_critical(n, m), n - 1, effect * math.sqrt(n)))


def _critical(n: int, m: int) -> float:
    return float(stats.t.isf(ALPHA / 2 / m, n - 1))


@functools.lru_cache(maxsize=256)
def _effect(n: int, m: int) -> float:
    """The effect that `n` pairs see with `POWER`, which lies below the upper end from which it is looked for."""
    most = (2 * _critical(n, m) + 6) / math.sqrt(n)
    return float(optimize.brentq(lambda effect: _power(effect, n, m) - POWER, 1e-6, most))
