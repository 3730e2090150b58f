"""Filters that are cheap spatial transforms of other filters of their layer.

A design of our own after the idea of arXiv 2110.12844, of which nothing beyond the abstract is public.

Notations
    J, c, h, w  filters, input channels, height and width of a layer's weight (J, c, h, w); t = h w
    W_j         filter j as (c, t)
    p(j)        its source: a filter that is kept, itself for a kept one
    T_j         (t, t): its transform of `spatial.matrices`; 1 for a kept one
    s_j         its scale: 1, or fitted
    M_j         s_j T_j, its map: W_j = W_p(j) M_j^T
    G_j         gradient of the loss by W_j as if it were free

    Chosen for each j: p, T (and s) with the least ||W_j - s T(W_p)||^2, over all kept filters and all
    transforms. The gradient by a kept filter i is G_i + sum of G_j M_j over the j whose source it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

DECIMALS = 12  # of a squared distance relative to the filter's own; nearer than that is rounding


@dataclass(frozen=True, eq=False)
class Ties:
    """What the filters of a layer are made of.

    Attributes:
        source: (J,) int64, p(j). transform: (J,) int64, the number of T_j in its set; 0 is the identity.
        scale: (J,) float64, s_j.
    """

    source: Tensor
    transform: Tensor
    scale: Tensor

    @property
    def tied(self) -> Tensor:
        """(J,) bool: made of another filter."""
        return self.source != torch.arange(len(self.source), device=self.source.device)

    def maps(self, transforms: Tensor) -> Tensor:
        """M: (J, t, t), in the type and on the device of `transforms` (n, t, t)."""
        chosen = transforms[self.transform.to(transforms.device)]
        return chosen * self.scale.to(transforms)[:, None, None]


def free(n_filters: int) -> Ties:
    """Of a layer without ties."""
    return Ties(
        torch.arange(n_filters),
        torch.zeros(n_filters, dtype=torch.int64),
        torch.ones(n_filters, dtype=torch.float64),
    )


def nearest(weight: Tensor, dropped: Tensor, transforms: Tensor, fit_scale: bool = False) -> Ties:
    """The ties of the filters in `dropped` (J,) bool that are nearest to what these are, in float64 on the CPU.

    The first transform is taken of those that are as near, and the first filter.

    Args:
        weight: (J, c, h, w), at least one filter kept. transforms: (n, t, t) as of `spatial.matrices`.
        fit_scale: s is what fits best, of either sign; otherwise 1.
    """
    found, dropped = free(len(weight)), dropped.cpu()
    if not dropped.any():
        return found
    rows = weight.detach().reshape(len(weight), -1).to("cpu", torch.float64)
    kept, own = rows[~dropped], rows[dropped]
    shaped = kept.reshape(len(kept), weight.shape[1], -1)
    distances = torch.stack([_distances(own, shaped @ each.T, fit_scale) for each in transforms])
    size = own.square().sum(1).clamp_min(torch.finfo(torch.float64).tiny)
    relative = (distances / size[:, None]).round(decimals=DECIMALS)  # (n, dropped, kept)
    best = relative.transpose(0, 1).flatten(1).numpy().argmin(1)  # the first of equal ones
    transform, source = map(torch.from_numpy, np.divmod(best, len(kept)))
    found.source[dropped] = torch.arange(len(weight))[~dropped][source]
    found.transform[dropped] = transform
    if fit_scale:
        made = torch.einsum("dtu,dcu->dct", transforms[transform], shaped[source]).flatten(1)
        found.scale[dropped] = _scales((own * made).sum(1), made.square().sum(1))
    return found


def _distances(own: Tensor, made: Tensor, fit_scale: bool) -> Tensor:
    """||W_j - s T(W_i)||^2 of every dropped filter (rows) and every kept one (columns)."""
    made = made.flatten(1)
    product, size = own @ made.T, made.square().sum(1)
    scale = _scales(product, size) if fit_scale else torch.ones(())
    return own.square().sum(1)[:, None] - 2 * scale * product + scale**2 * size


def _scales(product: Tensor, size: Tensor) -> Tensor:
    """The s with the least distance; 0 where T(W_i) is 0."""
    return torch.where(size > 0, product / size.clamp_min(torch.finfo(torch.float64).tiny), 0.0)


def made(weight: Tensor, source: Tensor, maps: Tensor) -> Tensor:
    """The layer's filters made of their sources: W_p(j) M_j^T, (J, c, h, w).

    Args:
        weight: (n, c, h, w), the rows that `source` (J,) counts. maps: (J, t, t).
    """
    rows = weight.reshape(*weight.shape[:2], -1)[source]
    return (rows @ maps.transpose(1, 2)).reshape(len(source), *weight.shape[1:])


def pulled_back(gradient: Tensor, source: Tensor, maps: Tensor) -> Tensor:
    """The gradient (J, c, h, w) by the free filters, as one by what they are made of: summed in the rows of the
    sources, 0 in those of tied filters."""
    rows = gradient.reshape(*gradient.shape[:2], -1) @ maps
    return torch.zeros_like(rows).index_add_(0, source, rows).reshape(gradient.shape)


def squares(weight: Tensor, ties: Ties, transforms: Tensor) -> tuple[float, float]:
    """How much tying changes: the sum of squares of the change of the tied filters of (J, c, h, w), and that of
    these filters."""
    old = weight.detach().to("cpu", torch.float64)
    new = made(old, ties.source, ties.maps(transforms))
    return float((new - old)[ties.tied].square().sum()), float(old[ties.tied].square().sum())
