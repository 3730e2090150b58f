"""The later layers of a network, all of each (later-layer forgetting, arXiv 2202.00155).

Layers are what multiplies and adds (convolution, linear layer, attention), in the order in which the network calls
them for the first time. With a layer goes all that is called after it and before the next: BatchNorm, slopes, scales.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor, fx

from reprtune.errors import SpecError
from reprtune.training.parts.criteria import ScoreContext
from reprtune.training.surgery.subnetwork import SubNetwork


@dataclass(frozen=True)
class Called:
    """Something with numbers of its own.

    Attributes:
        name: a module, or a tensor that the network reads by itself. is_layer: does it multiply and add?
    """

    name: str
    is_layer: bool

    def owns(self, tensor: str) -> bool:
        return tensor == self.name or tensor.startswith(f"{self.name}.")


def select(
    context: ScoreContext,
    _scores: Mapping[str, Tensor] | None,
    *,
    keep_layers: float,
    renew_from: Sequence[str],
) -> frozenset[str]:
    """The names of all tensors from the first renewed layer on.

    Raises:
        SpecError: as `later`.
    """
    network = context.network
    renewed = later(network.filters.graph, keep_layers, renew_from)
    names = {**network.parameters, **network.buffers}
    return frozenset(name for name in names if any(called.owns(name) for called in renewed))


def check(network: SubNetwork, *, keep_layers: float, renew_from: Sequence[str]) -> None:
    """Raises:
    SpecError: as `later`.
    """
    later(network.filters.graph, keep_layers, renew_from)


def later(graph: fx.Graph, keep_layers: float, renew_from: Sequence[str]) -> list[Called]:
    """What is called from the first renewed layer on.

    Args:
        keep_layers: share of the layers that stay. renew_from: patterns of names; with one, the first layer that
            matches is the first that is renewed, whatever the share.

    Raises:
        SpecError: no layer matches, or the share leaves none, although it is below 1.
    """
    found = called(graph)
    layers = [i for i, one in enumerate(found) if one.is_layer]
    if renew_from:
        matching = [i for i in layers if any(fnmatchcase(found[i].name, pattern) for pattern in renew_from)]
        if not matching:
            raise SpecError(
                f"method.renew_from must match a layer, but {', '.join(map(repr, renew_from))} matches none.",
                f"The layers are {', '.join(found[i].name for i in layers)}.",
            )
        return found[matching[0] :]
    n_kept = round(keep_layers * len(layers))
    if n_kept == len(layers) and keep_layers < 1:
        raise SpecError(
            f"method.keep_layers = {keep_layers} renews none of {len(layers)} layers.",
            "Lower it, or name the first layer to renew in method.renew_from.",
        )
    return found[layers[n_kept] :] if n_kept < len(layers) else []


def called(graph: fx.Graph) -> list[Called]:
    """Every module and tensor of the network in the order of its first call, each once."""
    found: dict[str, Called] = {}
    for node in graph.nodes:
        if node.op not in ("call_module", "get_attr"):
            continue
        name, uses = str(node.target), [node] if node.op == "call_module" else list(node.users)
        found.setdefault(name, Called(name, any(use.meta.get("macs", 0) > 0 for use in uses)))
    return list(found.values())
