"""How often something was said, with its interval."""

from __future__ import annotations

from scipy import stats


def share(hits: int, n: int) -> str:
    """`4.8 % (3.6 to 6.3, n = 1000)`: the exact (Clopper-Pearson) 95 % interval of a share."""
    found = stats.binomtest(hits, n).proportion_ci(0.95, method="exact")
    return f"{100 * hits / n:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f}, n = {n})"
