"""What networks of a trial exchange, or filters of one.

A rule is `exchange(members, context, **options)`: members are the networks of a trial, in the order of their ring,
each as name -> parameter or buffer, the tensors themselves. It changes them in place, reading what they were
before, and returns nothing. Optimizer states are not its business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from reprtune.training.platform.seeds import generator


@dataclass(frozen=True)
class ExchangeContext:
    """What an exchange may need besides the networks.

    Attributes:
        seed: of the trial. number: how many exchanges came before this one.
        convolutions: names of layers in the order in which an image meets them; the weight of `conv1` is the
            entry `conv1.weight`, (J, c, k, k).
        follows: every entry -> the convolution before it, of a convolution's own that one itself; what none
            comes before has the first.
        norms: convolution -> the BatchNorm with a scale right after it, where there is one.
    """

    seed: int
    number: int
    convolutions: tuple[str, ...]
    follows: Mapping[str, str]
    norms: Mapping[str, str]

    def generator(self, member: int, layer: str) -> torch.Generator:
        """For the draws of one layer of one member at this exchange, on the CPU."""
        return generator(self.seed, "exchange", member, self.number, layer)
