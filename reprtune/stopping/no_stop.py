"""All go on."""

from __future__ import annotations

from collections.abc import Sequence

from reprtune.spec.stop_rules import NoStop
from reprtune.stopping.curves import Rival, Standing
from reprtune.stopping.judge import Judge


class NoStopJudge(Judge[NoStop]):
    def stops(self, _standing: Standing, _rivals: Sequence[Rival]) -> bool:
        return False
