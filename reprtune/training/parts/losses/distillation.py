"""Imitating the other members of a trial, or the network's own last generation.

Members (Filter Grafting+, arXiv 2004.12311): everybody's teachers answer on its images before anybody steps; see
`reprtune.training.chain.together`. Generation (BAN, arXiv 1805.04770): a frozen copy of the network answers, once
there is one.

Teachers have no gradients and draw nothing. A frozen one is in evaluation mode; members normalise as they do in
training.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from reprtune.training.descent.losses import Term
from reprtune.training.parts.losses import LossContext
from reprtune.training.parts.losses.softened import divergence, mean_softened
from reprtune.training.surgery.subnetwork import SubNetwork

Precision = Callable[[], AbstractContextManager[object]]
COUNT = "num_batches_tracked"  # of BatchNorm: read by nothing in evaluation mode, and aside while it trains


def made(
    context: LossContext, *, teachers: str, temperature: float, distill_weight: float, distill_labels: str
) -> Term:
    """The loss with these options."""
    kind = Members if teachers == "members" else Generation
    return kind(context, temperature, distill_weight, rest=distill_labels == "rest")


class Members(Term):
    """w T^2 KL(mean of the other members' softened answers || the network's)."""

    def __init__(self, _: LossContext, temperature: float, weight: float, *, rest: bool) -> None:
        self.temperature, self.weight = temperature, weight
        self.of_labels = weight if rest else None
        self._others: Sequence[tuple[SubNetwork, Precision]] = ()
        self._taught: Tensor | None = None

    def meet(self, others: Sequence[tuple[SubNetwork, Precision]]) -> None:
        """The networks that are imitated, each with the precision of its forward passes."""
        self._others = others

    def ask(self, images: Tensor) -> None:
        """Let the others answer as they are now; the next call learns from it."""
        answers = [answer(network, precision, images) for network, precision in self._others]
        self._taught = mean_softened(answers, self.temperature)

    def __call__(self, logits: Tensor, labels: Tensor, images: Tensor, network: SubNetwork) -> Tensor:  # noqa: ARG002 - of a place
        taught, self._taught = self._taught, None
        assert taught is not None, "nobody was asked"
        return self.weight * divergence(logits, taught, self.temperature)

    def flops_per_image(self) -> float:
        """A forward pass is a third of a step: of three products with each weight, one."""
        return sum(network.train_flops() / 3 for network, _ in self._others)


@torch.no_grad()
def answer(network: SubNetwork, precision: Precision, images: Tensor) -> Tensor:
    """Logits (B, K) float32 of a network in training: nothing is dropped at random, and BatchNorm normalises with the
    statistics of these images, as in its own steps. Its running statistics, which stay as they are, lag behind weights
    that move fast: answers made with them are wrong enough to spoil whoever learns from them."""
    network.model.eval()
    with _without_running_statistics(network.model), precision():
        logits = network.forward(images).float()
    network.model.train()
    return logits


@contextlib.contextmanager
def _without_running_statistics(model: nn.Module) -> Iterator[None]:
    """Inside, BatchNorm in evaluation mode has none, and torch then takes those of the batch."""
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    kept = [(norm, norm.running_mean, norm.running_var) for norm in norms]
    for norm in norms:
        norm.running_mean = norm.running_var = None
    try:
        yield
    finally:
        for norm, mean, variance in kept:
            norm.running_mean, norm.running_var = mean, variance


class Generation(Term):
    """w T^2 KL(softened answers of the last generation || the network's); 0 in the first.

    It is computed in the first generation too, and multiplied by 0, so that one captured step serves them all. Its
    tensors belong to the state of the trial.
    """

    def __init__(self, context: LossContext, temperature: float, weight: float, *, rest: bool) -> None:
        self.temperature, self.weight = temperature, weight
        self._network = context.network
        self._frozen = {name: t.detach().clone() for name, t in _numbers(context.network.model).items()}
        self._share = torch.zeros((), device=context.device)  # w once there is a teacher
        self._is_there = False
        self.of_labels = self._share if rest else None

    @torch.no_grad()
    def renew(self, model: nn.Module) -> None:
        """From now on imitate `model` as it is now: whole, with nothing dropped."""
        self._put(_numbers(model))

    def __call__(self, logits: Tensor, labels: Tensor, images: Tensor, network: SubNetwork) -> Tensor:  # noqa: ARG002 - of a place
        taught = mean_softened([self._answer(images)], self.temperature)
        return self._share * divergence(logits, taught, self.temperature)

    @torch.no_grad()
    def _answer(self, images: Tensor) -> Tensor:
        model = self._network.model
        model.eval()
        logits: Tensor = functional_call(model, self._frozen, (images,))
        model.train()
        return logits.float()

    def flops_per_image(self) -> float:
        filters = self._network.filters
        return 2 * filters.macs(torch.ones(filters.n_filters)) if self._is_there else 0.0

    def tensors(self) -> dict[str, Tensor]:
        """The teacher's weights and statistics; empty where there is none yet."""
        return dict(self._frozen) if self._is_there else {}

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` returned."""
        if tensors:
            self._put(tensors)
        else:
            self._is_there = False
            self._share.zero_()

    def _put(self, numbers: Mapping[str, Tensor]) -> None:
        for name, tensor in self._frozen.items():
            tensor.copy_(numbers[name])
        self._is_there = True
        self._share.fill_(self.weight)


def _numbers(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name."""
    found = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: tensor for name, tensor in found.items() if name.rpartition(".")[2] != COUNT}
