"""Parts by their names, for tests that try each of them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from reprtune.spec.parts.criteria import Criterion
from reprtune.spec.parts.restores import Restore
from reprtune.spec.parts.selections import Drop, Tied
from reprtune.training.parts.criteria import ScoreContext, score_filters
from reprtune.training.parts.restores import Restored, RuleContext, restore_filters

# Those that the network itself knows; tied filters are not absent, but made of others.
DROPS = tuple(part.kind for part in Drop.kinds if "filter" in part.units and part is not Tied)

OF_FILTERS = [kind.kind for kind in Criterion.kinds if "filter" in kind.units]  # criteria


def scored(name: str, filters: Mapping[str, Tensor], context: ScoreContext) -> dict[str, Tensor]:
    """By the criterion of that name."""
    return score_filters(Criterion.read(name, "criterion"), filters, context)


def restored(
    name: str, weight: Tensor, dropped: Tensor, context: RuleContext, scale: str | None = None
) -> Restored:
    """By the restore rule of that name."""
    options = {} if scale is None else {"restore_scale": scale}
    return restore_filters(Restore.read({"kind": name, **options}, "restore"), weight, dropped, context)
