"""The best so many per cent go on."""

from __future__ import annotations

from reprtune.spec.stop_rules import Percentile
from reprtune.stopping.judge import ShareJudge


class PercentileJudge(ShareJudge[Percentile]):
    @property
    def kept_share(self) -> float:
        return self.rule.percentile / 100
