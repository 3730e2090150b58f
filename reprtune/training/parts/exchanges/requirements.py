"""What networks must have to be exchanged; asked before anything is trained."""

from __future__ import annotations

from reprtune.errors import SpecError
from reprtune.spec.parts.members import Exchange, Ring
from reprtune.training.surgery.preceding import Order


def check_requirements(rule: Exchange, order: Order) -> None:
    """Can these networks be exchanged by the rule?

    Raises:
        SpecError: they cannot.
    """
    if not isinstance(rule, Ring) or rule.blend_level != "filter" or rule.blend_by == "constant":
        return
    if without := [layer for layer in order.convolutions if layer not in order.norms]:
        raise SpecError(
            "method.blend_level = filter takes its shares from the BatchNorm right after each convolution, but "
            f"{', '.join(without)} {'has' if len(without) == 1 else 'have'} none.",
            "Take method.blend_level=layer, or a network with BatchNorm after every convolution, such as resnet-20.",
        )
