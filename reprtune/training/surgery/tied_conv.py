"""A convolution of which some filters are cheap spatial transforms of others: it holds the others alone.

A design of our own after the idea of arXiv 2110.12844, of which nothing beyond the abstract is public.

Notations
    J, n        filters of the layer, kept ones
    c, h, w     input channels, height and width of a kernel; t = h w
    K           kept filters (n, c, h, w), the parameter `weight`
    p(j)        row of K that filter j is made of; s_j its scale, T_j its transform

    weights     W_j = s_j T_j(K_p(j)), then one convolution with all of W: saves parameters
    features    y = K * x, then z_j = s_j T_j(y_p(j)): saves operations too

The two are not the same: transforming a kernel commutes with the convolution for a scale and a sign alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reprtune.training.surgery.spatial import Transform, is_monomial
from reprtune.training.surgery.ties import Ties, made

PLACEMENTS = ("weights", "features")


class TiedConv2d(nn.Module):
    """What `conv` computes once its tied filters are made of their sources.

    Args:
        conv: with groups = 1; its kept filters and its bias are taken over, its padding, stride and dilation too.
        ties: of its filters. transforms: the set that `ties.transform` counts.
        placement: `weights` or `features`.

    Attributes:
        weight: K. bias: (J,), of all filters, or None. What ties them are buffers that no state dict holds: they
            are part of the structure.
    """

    weight: Tensor
    bias: Tensor | None
    source: Tensor
    taps: Tensor  # these two, or `maps`
    factors: Tensor
    maps: Tensor
    grouped: Tensor  # these three of the placement `features`
    order: Tensor
    scale: Tensor

    def __init__(
        self, conv: nn.Conv2d, ties: Ties, transforms: Sequence[Transform], placement: str = "weights"
    ) -> None:
        super().__init__()
        kept = ~ties.tied
        self.weight = nn.Parameter(conv.weight.detach()[kept.to(conv.weight.device)].clone())
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach().clone())
        self.placement, self.padding_mode = placement, conv.padding_mode
        self.stride, self.padding, self.dilation = conv.stride, conv.padding, conv.dilation
        self._around = conv._reversed_padding_repeated_twice  # noqa: SLF001 - of the layer it stands for
        rows = torch.cumsum(kept, 0) - 1
        self._keep("source", rows[ties.source])
        if placement == "weights":
            self._of_weights(ties, transforms, conv.kernel_size)
        else:
            self._of_features(ties, transforms)

    def _keep(self, name: str, tensor: Tensor) -> None:
        self.register_buffer(name, tensor.to(self.weight.device), persistent=False)

    def _of_weights(self, ties: Ties, transforms: Sequence[Transform], size: Sequence[int]) -> None:
        """Where taps only move, they are read from their places; else they are multiplied with matrices."""
        matrices = torch.stack([transform.matrix((size[0], size[1])) for transform in transforms])
        maps = ties.maps(matrices)
        self.gathers = is_monomial(maps)
        if self.gathers:
            taps = maps.abs().argmax(-1)
            self._keep("taps", taps)
            self._keep("factors", maps.gather(-1, taps[..., None])[..., 0].to(self.weight.dtype))
        else:
            self._keep("maps", maps.to(self.weight.dtype))

    def _of_features(self, ties: Ties, transforms: Sequence[Transform]) -> None:
        """Maps are transformed together that have the same transform, and put into their order afterwards."""
        used = sorted(set(ties.transform.tolist()))
        groups = [(ties.transform == number).nonzero().flatten() for number in used]
        self.transforms = [transforms[number] for number in used]
        self.lengths = [len(group) for group in groups]
        together = torch.cat(groups)
        self._keep("grouped", self.source.cpu()[together])
        self._keep("order", torch.argsort(together))
        self.is_scaled = bool((ties.scale != 1).any())
        self._keep("scale", ties.scale.to(self.weight.dtype)[:, None, None])

    def kept(self) -> Tensor:
        """K: (n, c, h, w)."""
        return self.weight

    def filters(self) -> Tensor:
        """W: (J, c, h, w), of the placement `weights`."""
        if not self.gathers:
            with self._in_full():
                return made(self.weight, self.source, self.maps)
        rows = self.weight.flatten(2)[self.source]
        taps = self.taps[:, None, :].expand(rows.shape)
        moved = rows.gather(2, taps) * self.factors[:, None, :]
        return moved.reshape(len(moved), *self.weight.shape[1:])

    def _in_full(self) -> contextlib.AbstractContextManager[object]:
        """Autocast would round twice: here, and for the convolution, as it rounds filters that are written out."""
        kind = self.weight.device.type
        is_on = torch.is_autocast_enabled(kind)
        return torch.autocast(kind, enabled=False) if is_on else contextlib.nullcontext()

    def forward(self, x: Tensor) -> Tensor:
        """(B, J, H, W) of x (B, c, ., .)."""
        if self.placement == "weights":
            return self._convolved(x, self.filters(), self.bias)
        maps = self._convolved(x, self.kept(), None)
        parts = torch.split(maps[:, self.grouped], self.lengths, dim=1)
        z = torch.cat([change(part) for change, part in zip(self.transforms, parts, strict=True)], dim=1)
        z = z[:, self.order]
        z = z * self.scale if self.is_scaled else z
        return z if self.bias is None else z + self.bias[:, None, None]

    def _convolved(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.padding_mode == "zeros":
            return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation)
        x = F.pad(x, self._around, mode=self.padding_mode)
        return F.conv2d(x, weight, bias, self.stride, 0, self.dilation)

    def extra_repr(self) -> str:
        """As torch's layers have it."""
        n, c, h, w = self.weight.shape
        return f"{c}, {len(self.source)} filters of {n}, kernel_size=({h}, {w}), placement={self.placement}"


class TrainedTiedConv2d(TiedConv2d):
    """The same, of the placement `features`, with the parameters of the whole layer themselves: those of tied
    filters are not used, and have a gradient of 0. So a network in training can be given ties, and a layer be put
    back as it was."""

    rows: Tensor

    def __init__(self, conv: nn.Conv2d, ties: Ties, transforms: Sequence[Transform]) -> None:
        super().__init__(conv, ties, transforms, "features")
        self.weight, self.bias = conv.weight, conv.bias
        self._keep("rows", (~ties.tied).nonzero().flatten())

    def kept(self) -> Tensor:
        return self.weight[self.rows]
