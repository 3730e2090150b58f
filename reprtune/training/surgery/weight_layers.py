"""The layers whose single weights can be left out."""

from __future__ import annotations

from torch import Tensor, nn

MIXING = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)


def weight_layers(model: nn.Module) -> dict[str, Tensor]:
    """Layer -> its weight, the parameter itself without its graph, in the order of the network: of every
    convolution, droppable or not, and every linear layer. Layers that share one parameter are one, by the first's
    name; a weight that is made anew for each forward pass (`torch.nn.utils.parametrize`) is none."""
    known = {id(p): name for name, p in model.named_parameters()}
    found = {}
    for name, module in model.named_modules():
        weight = module._parameters.get("weight")  # noqa: SLF001 - what `named_parameters` reads
        if isinstance(module, MIXING) and weight is not None and known.get(id(weight)) == f"{name}.weight":
            found[name] = weight.detach()
    return found
