"""One of the networks that a trial trains: its step, its filters, what it stores.

Inside a step nothing waits for the device and nothing branches on the value of a tensor: the learning
rate and the losses are tensors on the device, changed in place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reprtune.spec.parts.part import Own
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain.network_numbers import model_numbers, network_numbers
from reprtune.training.chain.plan import Segment
from reprtune.training.data.batches import Batches
from reprtune.training.data.task import Task
from reprtune.training.descent import cuda_graph
from reprtune.training.descent.batch_counters import Counters
from reprtune.training.descent.losses import Loss
from reprtune.training.descent.optimizers import Optimizer
from reprtune.training.descent.step import GradientRule, Step
from reprtune.training.models import build_model
from reprtune.training.parts.behaviour import behaviour
from reprtune.training.parts.drops import Dropping
from reprtune.training.parts.holding import Holding, Measuring
from reprtune.training.parts.losses import LossContext, made
from reprtune.training.platform.seeds import derive, generator
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.forms import Form, all_reformed, reformed
from reprtune.training.surgery.subnetwork import SubNetwork


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """Training was asked to stop between two steps; the networks of the trial are whole and can be saved."""


def new_network(spec: TrialSpec, task: Task, seed: int, number: int, forms: Sequence[Form] = ()) -> nn.Module:
    """A new network of the specification, in these forms, on the CPU."""
    channels, height, width = task.input_shape
    model = build_model(spec.model, channels, (height, width), task.n_classes, seed, number)
    return all_reformed(model, forms, torch.zeros(1, *task.input_shape))


@dataclass(frozen=True, eq=False)
class Shipped:
    """What came out of a member in the end, of another structure than what was trained."""

    model: nn.Module
    numbers: Mapping[str, float]


class Member:
    """A network in training.

    Every draw of it (initial weights, order and augmentation, random layers) is its own, so that its numbers
    depend neither on the other members nor on when they are trained.

    Args:
        number: its place, from 0, among the members of the trial.
        batches: of the train part; may be shared, for each segment begins by drawing its epoch again.
        shared: what the losses of all members have in common.
        eager: why steps must not be captured as a graph; None = the device decides.
        forms, weights: of the network that it begins from; None = new weights.
    """

    def __init__(
        self,
        spec: TrialSpec,
        number: int,
        task: Task,
        batches: Batches,
        device: torch.device,
        shared: dict[str, Any] | None = None,
        eager: str | None = None,
        forms: Sequence[Form] = (),
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.spec, self.number, self.batches = spec, number, batches
        networks = spec.method.networks
        self.share_of_lr = 1.0 if networks is None else networks.share_of_lr(number)
        self.forms = tuple(forms)  # how the structure differs from the one that the specification builds
        model = new_network(spec, task, spec.seed, number, self.forms)
        if weights is not None:
            model.load_state_dict(weights)
        self.input_shape = task.input_shape
        self.filters = find_filters(model, torch.zeros(1, *task.input_shape))
        self.device = device
        self.model: nn.Module = model.to(device)
        optimizer = Optimizer(spec.training, self.model.named_parameters(), torch.zeros((), device=device))
        drop = spec.method.dropped_as
        eager = eager or cuda_graph.why_eager(batches, device, spec.method.couples_members, drop.changes_step)
        static = eager is None
        self.network = SubNetwork(self.model, self.filters, optimizer.state, drop.filters, static)
        self.dropping: Dropping = behaviour(drop)(self.network, static)
        self.counters = Counters(self.model, self.filters)
        # Place -> what its part keeps of this network.
        self.holdings: dict[str, object] = {"drop": self.dropping}
        context = LossContext(
            task, batches.steps_per_epoch, device, self.network, {} if shared is None else shared
        )
        loss = Loss(spec.training.label_smoothing, tuple(made(spec.method, context)))
        for term in loss.terms:
            if isinstance(term, Holding):
                self.holdings["losses"] = term  # only the last generation keeps something
        self.step = Step(spec.training, self.network, optimizer, loss, self._gradient_rule(), self.dropping)
        self.stepper = cuda_graph.choose(self.step, batches, eager)
        self.step_done, self._epoch = 0, -1
        self.seconds = self._begun = 0.0  # of the segment
        self._shipped: Shipped | None = None

    def _gradient_rule(self) -> GradientRule | None:
        """What changes the gradients; a rule of ours is made for this network, and may keep something of it."""
        part = self.spec.method.gradient
        if part is None or isinstance(part, Own):
            return None if part is None else behaviour(part)
        rule: GradientRule = behaviour(part)(self.network, self.spec.training)
        self.holdings["gradient"] = rule
        return rule

    # -- what comes out ---------------------------------------------------------------------------

    def forward(self, x: Tensor) -> Tensor:
        """The logits of the network as it is now."""
        return self.network.forward(x) if self._shipped is None else self._shipped.model(x)

    def numbers(self) -> dict[str, float]:
        """Of the network as it is now, by the names of objectives."""
        return network_numbers(self.network) if self._shipped is None else dict(self._shipped.numbers)

    @property
    def n_absent(self) -> int:
        """Filters that are dropped in the network as it is now."""
        return int((~self.network.keep).sum()) if self._shipped is None else 0

    def measures(self) -> dict[str, float]:
        """What the parts that measure something find in the network as it is now; waits for the device."""
        parts = [part for part in self.holdings.values() if isinstance(part, Measuring)]
        return {name: value for part in parts for name, value in part.numbers().items()}

    def become(self, model: nn.Module, form: Form) -> None:
        """Be, after the last step, a network of another structure, which is not trained any more."""
        self.model = model
        self.forms = (*self.forms, form)
        self._shipped = Shipped(model, model_numbers(model, self.input_shape))

    @property
    def flops_per_image(self) -> float:
        """Ideal operations of a training step on one image, of the network as it stands and of its teachers."""
        return self.dropping.train_flops() + self.step.loss.flops_per_image()

    def train(self, segment: Segment, lrs: NDArray[Any], tick: Callable[[], bool]) -> None:
        """Train to the end of the segment.

        Args:
            lrs: learning rate of every step of the trial.
            tick: called before every step; True asks to stop there.

        Raises:
            Interrupted: `tick` asked for it; call `train` again with the same segment to continue.
        """
        self.resume_clock()
        self.begin(segment)
        while self.step_done < segment.stop:
            if tick():
                self.leave()
                raise Interrupted
            self.advance(self.prepare(lrs))
            self.step_done += 1
        self.leave()

    def begin(self, segment: Segment) -> None:
        """Before the first step of a segment, and before the next one of a segment that was interrupted."""
        self._epoch = -1
        if self.step_done == segment.start:
            self.step.loss_sum.zero_()
            self.seconds = 0.0
            torch.manual_seed(derive(self.spec.seed, "layers", self.number, segment.start))  # dropout's
        self.model.train()

    def prepare(self, lrs: NDArray[Any]) -> int:
        """Before a step; which batch of the epoch it is."""
        now, index = divmod(self.step_done, self.batches.steps_per_epoch)
        if now != self._epoch:
            self._epoch = now
            self.batches.start_epoch(self._order(now))
        self.step.lr.fill_(lrs[self.step_done] * self.share_of_lr)
        self.step.loss.before_step(self.step_done)
        self.counters.set_aside(self.step_done)  # again: whoever saves in `tick` puts them back
        return index

    def leave(self) -> None:
        """Between two steps, where nothing has failed: a device that has is asked for nothing more."""
        self.counters.put_back(self.step_done)
        self.stop_clock()

    def resume_clock(self) -> None:
        """Time is the member's from now on."""
        self._begun = time.perf_counter()

    def stop_clock(self) -> None:
        """And no longer."""
        self.seconds, self._begun = self.seconds_spent(), 0.0

    def advance(self, index: int) -> None:
        """One step, on batch `index` of the epoch."""
        self.stepper(index)

    def seconds_spent(self) -> float:
        """Seconds that this member was trained in the segment so far."""
        return self.seconds + (time.perf_counter() - self._begun if self._begun else 0.0)

    def _order(self, epoch: int) -> torch.Generator:
        networks = self.spec.method.networks
        number = 0 if networks is not None and networks.same_order else self.number
        return generator(self.spec.seed, "epoch", number, epoch)

    # -- states -----------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Everything needed to continue between two segments, by name."""
        self.counters.put_back(self.step_done)
        state = self.network.whole_state() if self._shipped is None else self.model.state_dict()
        own = {f"net{self.number}/{name}": t for name, t in state.items()}
        own |= {f"keep{self.number}": self.network.keep, f"loss_sum{self.number}": self.step.loss_sum}
        if self._shipped is not None:
            return own
        for place, part in self.holdings.items():
            if isinstance(part, Holding):
                own |= {f"part{self.number}/{place}/{name}": t for name, t in part.tensors().items()}
        return own | {f"step{self.number}/{name}": t for name, t in self.step.tensors().items()}

    def load(
        self, tensors: Mapping[str, Tensor], step: int, seconds: float, forms: Sequence[Form] = ()
    ) -> None:
        """Continue from what `tensors` returned, `step` steps done, `seconds` of them in this segment, the network
        of those forms."""
        self.network.set_keep(torch.ones_like(self.network.keep))  # what is aside is of the network that was
        self.dropping.load({})  # and so is what is changed in it
        for form in forms[len(self.forms) :]:
            example = torch.zeros(1, *self.input_shape)
            self.become(reformed(self.model.cpu(), form, example).to(self.device), form)
        self.model.load_state_dict(_below(f"net{self.number}/", tensors))
        if self._shipped is None:
            self.step.load(_below(f"step{self.number}/", tensors))
            self.network.set_keep(tensors[f"keep{self.number}"])
            for place, part in self.holdings.items():  # which may look at all that was loaded before
                if isinstance(part, Holding):
                    part.load(_below(f"part{self.number}/{place}/", tensors))
        keep = tensors[f"keep{self.number}"]
        self.network.keep = keep.clone()  # of one that ended too, which is not trained any more
        self.step.loss_sum.copy_(tensors[f"loss_sum{self.number}"])
        self.step_done, self.seconds = step, seconds


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
