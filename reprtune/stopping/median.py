"""The better half goes on."""

from __future__ import annotations

from reprtune.spec.stop_rules import Median
from reprtune.stopping.judge import ShareJudge


class MedianJudge(ShareJudge[Median]):
    kept_share = 0.5
