"""What the code released with RePr does (github iamaaditya/repr-ortho), which is not what its paper says.

It takes the QR decomposition of the layer's filters in their order, dropped ones with their old values, and
gives each dropped filter its column of Q. That is what Gram-Schmidt leaves of the *old filter* outside those
*before it*, at norm 1: near its old value, orthogonal neither to that nor to later survivors.

    released    as above, where a filter has at least as many numbers as the layer has filters
    scrambled   elsewhere the released code reads the d x J matrix as J x d without transposing, so that the
                columns it makes orthogonal are no filters; done here as there

Notations
    J, d        filters of the layer, numbers of a filter
    M           the layer as TensorFlow keeps it: (height, width, inputs, J) as a matrix (d, J)
"""

from __future__ import annotations

import torch
from torch import Tensor

from reprtune.training.parts.restores import Restored, RuleContext


def restore(weight: Tensor, dropped: Tensor, _context: RuleContext) -> Restored:
    """New weights of the filters in `dropped`, found in float64 on the CPU; nothing is drawn.

    Their norm is 1 (as there, with its default gain). A filter inside the span of those before it has no
    direction left and gets that of rounding; one that is 0 stays 0.
    """
    there = weight.detach().to("cpu", torch.float64).permute(*range(2, weight.dim()), 1, 0)
    n, d = len(weight), there.numel() // len(weight)
    orthogonal = _signed_q(there.reshape(max(n, d), min(n, d)))
    q = orthogonal if d >= n else orthogonal.T
    new = q.reshape(there.shape).permute(-1, -2, *range(weight.dim() - 2))[dropped.cpu()]
    level = "released" if d >= n else "scrambled"
    return Restored(new.contiguous().to(weight.device, weight.dtype), (level,) * len(new))


def _signed_q(matrix: Tensor) -> Tensor:
    """Q of the decomposition whose R has no negative number on its diagonal."""
    q, r = torch.linalg.qr(matrix)
    return q * r.diagonal().sign()
