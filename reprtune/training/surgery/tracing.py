"""A network's graph as torch.fx finds it by following forward(), and what may be asked of its modules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from reprtune.errors import ModelError
from reprtune.training.platform.seeds import generator
from reprtune.training.surgery.channels import shape_of
from reprtune.training.surgery.multiply_adds import Measured

HOOKED = "has a hook, which may change what it computes"


class _Tracer(fx.Tracer):
    """Takes layers that a form has put into a network as they are, like torch's own; also notes whether some forward()
    that it follows looks at a BatchNorm's count of batches."""

    reads_counts = False

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m).__module__.startswith(f"{__package__}.") or super().is_leaf_module(
            m, module_qualified_name
        )

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        self.reads_counts |= attr == "num_batches_tracked"
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def _followed(model: nn.Module) -> tuple[fx.Graph, bool]:
    """The graph of the network in its mode, and whether its code reads a count of batches."""
    tracer = _Tracer()
    try:
        return tracer.trace(model), tracer.reads_counts
    finally:
        vars(tracer).clear()  # torch leaves it in a cycle of references, which would keep the network


def trace(model: nn.Module, example: Tensor) -> tuple[fx.Graph, bool]:
    """As `_followed`, in evaluation mode, with the shape of every tensor and the multiply-adds of every node."""
    modes = {module: module.training for module in model.modules()}
    name = type(model).__name__
    try:
        training, reads_counts = _followed(model.train())
        graph, _ = _followed(model.eval())
        with torch.no_grad():
            Measured(fx.GraphModule(model, graph)).propagate(example)
        graph.owning_module = None
        is_faithful = _is_faithful(graph, model, example)
    except Exception as error:
        raise ModelError(
            f"{name} cannot be traced by torch.fx: {error}",
            "Branches on tensor values must move out of forward().",
        ) from error
    finally:
        for module, mode in modes.items():
            module.training = mode
    if _operations(graph) != _operations(training):
        raise ModelError(
            f"{name} computes something else in training than in evaluation.",
            "Branches on self.training must move out of forward(): use modules like nn.Dropout, and leave "
            "auxiliary heads out.",
        )
    (answer,) = next(node for node in graph.nodes if node.op == "output").args
    if not isinstance(answer, fx.Node) or shape_of(answer) is None:
        raise ModelError(f"{name} must return one tensor, the logits, but its forward() returns {answer}.")
    if not is_faithful:
        raise ModelError(
            f"{name} computes something else than its graph as torch.fx traced it.",
            "Write `x = x + y` in place of `x += y` where x has other names too.",
        )
    return graph, reads_counts


def _operations(graph: fx.Graph) -> list[tuple[str, object, list[int]]]:
    """Constants have other names in every trace, so they are known by their place."""
    order = {node: i for i, node in enumerate(graph.nodes)}
    return [
        (n.op, None if n.op == "get_attr" else n.target, [order[source] for source in n.all_input_nodes])
        for n in order
    ]


@torch.no_grad()
def _is_faithful(graph: fx.Graph, model: nn.Module, example: Tensor) -> bool:
    """Do both make the same of an image? The graph does not see that two names are of one tensor."""
    image = torch.randn(example.shape, generator=generator(0, "trace")).to(example)
    answers = []
    for network in (fx.Interpreter(model, graph=graph).run, model):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)  # for networks that draw in evaluation too
            answers.append(network(image))
    ours, theirs = answers
    return not isinstance(ours, Tensor) or torch.allclose(ours, theirs, rtol=1e-3, atol=1e-6, equal_nan=True)


def unfit_modules(graph: fx.Graph, model: nn.Module) -> dict[str, str]:
    """Modules whose parameters do more than serve one call of their own."""
    unfit = {}
    calls = Counter(str(n.target) for n in graph.nodes if n.op == "call_module")
    for name, n_calls in calls.items():
        module = model.get_submodule(name)
        plain = {key for key, _ in module.named_parameters()} <= {"weight", "bias"}
        if module._forward_hooks or module._forward_pre_hooks:  # noqa: SLF001  torch has no other way to ask
            unfit[name] = HOOKED
        if isinstance(module, (nn.Conv2d, nn.Linear, _BatchNorm, nn.PReLU)) and not plain:
            unfit[name] = "computes its weights from others"
        if n_calls > 1:
            unfit[name] = "is used more than once"
    seen: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if (other := seen.setdefault(id(parameter), name)) != name:
            for one in (name, other):
                unfit.setdefault(one.rpartition(".")[0], "shares its weights with another layer")
    for node in graph.nodes:
        if node.op == "get_attr":
            unfit.setdefault(str(node.target).rpartition(".")[0], "gives its weights to another layer")
    return unfit


def own_parameters(graph: fx.Graph, model: nn.Module) -> dict[fx.Node, str]:
    """Nodes that fetch a parameter for one call, of a function, where nothing else uses it; and its name."""
    nodes = [node for node in graph.nodes if node.op == "get_attr"]
    places = Counter(str(node.target) for node in nodes)
    called = {str(n.target) for n in graph.nodes if n.op == "call_module"}
    sharing = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))
    parameters = dict(model.named_parameters())
    found = {}
    for node in nodes:
        name = str(node.target)
        alone = len(node.users) == 1 and places[name] == 1 and sharing[id(parameters.get(name))] == 1
        if alone and not any(name.startswith(f"{module}.") for module in called):
            found[node] = name
    return found


def counted_norms(graph: fx.Graph, model: nn.Module, unfit: Mapping[str, str]) -> frozenset[str]:
    """BatchNorm layers of torch's own code, of which nothing is used but the one call."""
    called = {str(node.target) for node in graph.nodes if node.op == "call_module"} - unfit.keys()
    return frozenset(n for n in called if type(model.get_submodule(n)).forward is _BatchNorm.forward)
