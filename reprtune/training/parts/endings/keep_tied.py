"""What is tied in the end stays tied: each such layer becomes one that holds its kept filters alone.

A design of our own after the idea of arXiv 2110.12844, of which nothing beyond the abstract is public. What the
network says does not change: the layer makes the filters, or the feature maps, that training has made.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from reprtune.errors import ModelError
from reprtune.training.chain.member import Member
from reprtune.training.parts.drops.tied_weights import TiedWeights
from reprtune.training.surgery.tied_layers import tied_form, tied_structure


def end(member: Member) -> tuple[nn.Module, dict[str, Any]]:
    """The network with its tied layers, and the form that says which; `member` is left as it is.

    Raises:
        ModelError: nothing is tied.
    """
    dropping = member.dropping
    if not isinstance(dropping, TiedWeights) or not dropping.ties:
        raise ModelError(
            "method.ending = keep-tied has nothing to keep: no filter is tied at the end.",
            "Let the last drop come before the end, with a smaller method.s1 or method.start.",
        )
    form = tied_form(dropping.ties, dropping.transforms, dropping.placement)
    return tied_structure(dropping.plain_model(), form, torch.empty(0)), form
