"""Channels that are cheap spatial transforms of the feature maps of kept filters.

While it lasts a layer with ties computes the maps of its kept filters alone, and makes the others of them
(`surgery.tied_conv`). This is another network than the one whose kernels are transformed, and no kernel gives a
transformed map; so what is tied so is never untied. The weights of tied filters are not used and do not move.

The network's modules are changed for it, and with them what a step computes: a step captured before would be
another one.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from reprtune.errors import ModelError
from reprtune.training.parts.drops.tied_weights import TiedWeights
from reprtune.training.surgery.channels import shape_of
from reprtune.training.surgery.multiply_adds import MultiplyAdds
from reprtune.training.surgery.spatial import transforms
from reprtune.training.surgery.subnetwork import SubNetwork
from reprtune.training.surgery.tied_conv import TrainedTiedConv2d


class TiedMaps(TiedWeights):
    """As `TiedWeights`, which chooses the ties, in the placement `features`."""

    placement = "features"

    def __init__(
        self, network: SubNetwork, static: bool = False, *, transforms: str, fit_scale: bool = False
    ) -> None:
        if static:
            raise ModelError(
                "Steps with tied feature maps cannot be captured as a CUDA graph, for the network changes at the drop.",
                "Train it step by step, or take method.placement = weights.",
            )
        self._convs: dict[str, nn.Conv2d] = {}  # layer -> what stood in its place
        super().__init__(network, static, transforms=transforms, fit_scale=fit_scale)

    def gradients(self, named: Mapping[str, Tensor]) -> None:
        """They are those of the kept filters already."""

    @torch.no_grad()
    def hold(self) -> None:
        self._hold_still()

    def train_flops(self) -> float:
        """Of the layers as they are now: those of tied filters are not computed."""
        if not self.ties:
            return super().train_flops()
        model, shape = self.network.model, shape_of(next(iter(self.network.filters.graph.nodes)))
        assert shape is not None
        like = next(model.parameters())
        example = torch.zeros(shape, dtype=like.dtype, device=like.device)
        modes = {module: module.training for module in model.modules()}
        with MultiplyAdds() as counter, torch.no_grad():
            model.eval()(example)
        for module, mode in modes.items():
            module.training = mode
        return 6.0 * counter.total / len(example)

    def plain_model(self) -> nn.Module:
        self._put_back()
        copied = super().plain_model()
        self._place()
        return copied

    def _begin(self) -> None:
        super()._begin()
        self._put_back()
        self._place()

    def _put_back(self) -> None:
        for name, conv in self._convs.items():
            self._set(name, conv)
        self._convs = {}

    def _place(self) -> None:
        for name, ties in self.ties.items():
            conv = self.network.model.get_submodule(name)
            assert isinstance(conv, nn.Conv2d)
            size = (conv.kernel_size[0], conv.kernel_size[1])
            self._convs[name] = conv
            self._set(name, TrainedTiedConv2d(conv, ties, transforms(self.transforms, size)))

    def _set(self, name: str, module: nn.Module) -> None:
        parent, _, child = name.rpartition(".")
        setattr(self.network.model.get_submodule(parent), child, module)

    def _held(self, name: str) -> list[Tensor]:
        """The weights of tied filters too."""
        return [self._weight(name), *super()._held(name)]
