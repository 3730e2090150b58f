"""Weight Evolution's crossing of weak filters with strong ones (arXiv 2110.04492), in a form that cannot blow up.

Strong are the filters of the layer that were not taken. Both are ordered by the sum of their absolute weights, and
the i-th largest weak filter meets the i-th largest strong one, as in the released code (BZQLin/Weight-evolution):

    crossed     mixed as below
    alone       there are fewer strong filters than weak ones, and none is left for it: it stays as it was

Of each kernel (one input channel of a filter) of more than one tap the r smallest taps are crossed, the i-th smallest
with the i-th largest of the strong kernel: s <- a s + (1 - a) l with a = |s| / (|s| + |l|). Kernels of one tap have no
inferior part, so that there the whole filter is crossed, with a = |f| / (|f| + |g|).

What the released code does otherwise: it takes exactly one tap of each kernel, and computes a s + (1 - a) l with the
two taps in each other's place and their signs left in a. That is 2 s l / (s + l): about twice the smallest tap, and
without a bound where s is about -l. Here the result lies between the two taps, next to the larger one.

Notations
    s, l        a tap of the weak kernel, and of the strong one
    f, g        the weak filter and the strong one; |f| the sum of absolute weights
    t, r        taps of a kernel; how many are crossed: `cross_share` of t, rounded up
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reprtune.training.parts.filter_rows import filter_rows
from reprtune.training.parts.restores import Restored, RuleContext


def restore(weight: Tensor, dropped: Tensor, _context: RuleContext, *, cross_share: float) -> Restored:
    """New weights of the filters in `dropped`, found in float64 on the CPU; nothing is drawn.

    Args:
        cross_share: of the taps of each kernel; 0 leaves the filters as they were.
    """
    rows, dropped = filter_rows(weight), dropped.cpu()
    n_taps = weight[0, 0].numel() if weight.dim() > 2 else 1
    n_crossed = math.ceil(round(cross_share * n_taps, 9))  # 0.1 * 10 may be a little above 1
    new, strong = rows[dropped], _by_size(rows[~dropped])
    order = rows[dropped].abs().sum(1).argsort(descending=True, stable=True)
    levels = ["alone"] * len(new)
    for weak, partner in zip(order.tolist(), strong, strict=False):
        levels[weak] = "crossed"
        if n_crossed:
            new[weak] = _crossed(new[weak], partner, n_taps, n_crossed)
    return Restored(new.reshape(-1, *weight.shape[1:]).to(weight.device, weight.dtype), tuple(levels))


def _by_size(rows: Tensor) -> Tensor:
    """The largest first, of equal ones the first."""
    return rows[rows.abs().sum(1).argsort(descending=True, stable=True)]


def _crossed(weak: Tensor, strong: Tensor, n_taps: int, n_crossed: int) -> Tensor:
    """Both (d,), d a multiple of the number of taps."""
    if n_taps == 1:
        return _mixed(weak, strong, weak.abs().sum(), strong.abs().sum())
    kernels, others = weak.reshape(-1, n_taps).clone(), strong.reshape(-1, n_taps)
    smallest = kernels.abs().argsort(dim=1, stable=True)[:, :n_crossed]
    largest = others.abs().argsort(dim=1, descending=True, stable=True)[:, :n_crossed]
    s, l = kernels.gather(1, smallest), others.gather(1, largest)  # noqa: E741 - as in the notations
    return kernels.scatter(1, smallest, _mixed(s, l, s.abs(), l.abs())).flatten()


def _mixed(s: Tensor, l: Tensor, size: Tensor, other: Tensor) -> Tensor:  # noqa: E741 - as in the notations
    """a s + (1 - a) l with a = size / (size + other); where both are 0, so is what they give."""
    a = size / (size + other).clamp_min(torch.finfo(torch.float64).tiny)
    return a * s + (1 - a) * l
