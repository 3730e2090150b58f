"""What the networks share."""

from __future__ import annotations

from torch import Tensor, nn


def global_average(x: Tensor) -> Tensor:
    """The mean over height and width: N x C x H x W -> N x C.

    Written for channels-last maps, which makes it fast and sends a channels-last gradient back; the gradients
    of `mean((2, 3))` and `adaptive_avg_pool2d` come channels-first, and every layer before pays for it.
    """
    return x.permute(0, 2, 3, 1).mean((1, 2))


def he_normal(model: nn.Module) -> None:
    """Draw every convolution from N(0, 2 / (k k c_out)), biases 0 (He et al. 2015, arXiv 1502.01852, eq. 14).

    In the order of the layers, from torch's default generator. BatchNorm and linear layers keep what
    torch gives them: 1 and 0, and uniform within 1 / sqrt(inputs).
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
