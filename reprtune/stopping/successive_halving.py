"""The best 1/f go on, judged a few times only: successive halving that nobody waits for.

*Notations*
    T, f    length of the trial in steps, `reduction_factor`
    level   T/f, T/f^2, ... steps

Judged once per level: at the first rung at or after it, and once where several levels lie between two rungs. The
trial is compared with those who have been there (asynchronous, as ASHA, Li et al., arXiv 1810.05934), so that
the first to arrive go on.
"""

from __future__ import annotations

from reprtune.spec.stop_rules import SuccessiveHalving
from reprtune.stopping.curves import Standing
from reprtune.stopping.judge import ShareJudge


class SuccessiveHalvingJudge(ShareJudge[SuccessiveHalving]):
    counts_stopped = False  # every level thins out those that have come to it

    @property
    def kept_share(self) -> float:
        return 1 / self.rule.reduction_factor

    def is_judged(self, standing: Standing) -> bool:
        """At the first rung of a level; without a total there are no levels, and every rung is judged."""
        step, total = standing.step, standing.total
        if total is None:
            return True
        if step <= 0:
            return False  # before every level
        power = self.rule.reduction_factor  # of the highest level at or before the step: total / power
        while step * power < total:
            power *= self.rule.reduction_factor
        return all(rung * power < total for rung in standing.earlier if rung < step)
