"""What a network must have to be ranked; asked before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable

from reprtune.errors import SpecError
from reprtune.training.surgery.filter_map import FilterMap


def check_requirements(criterion: str, layers: Iterable[str], filters: FilterMap) -> None:
    """Can `criterion` rank these layers?

    Raises:
        SpecError: it cannot.
    """
    if criterion == "bn-gamma":
        require_norms(layers, filters)


def require_norms(layers: Iterable[str], filters: FilterMap) -> None:
    """Every layer has a BatchNorm that all that it makes goes through.

    Raises:
        SpecError: some have none.
    """
    if without := [name for name in layers if name not in filters.norms]:
        raise SpecError(
            f"method.criterion = bn-gamma ranks filters by the BatchNorm after them, but {', '.join(without)} "
            f"{'has' if len(without) == 1 else 'have'} none.",
            "Add these layers to method.exclude, or take another criterion, such as l1.",
        )
