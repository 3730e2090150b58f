"""Only the filters' weights are gone."""

from __future__ import annotations

from reprtune.training.parts.drops.filters import Filters


class WeightsOnly(Filters):
    """Their weights are 0 and do not move, while bias, BatchNorm and what reads them go on."""
