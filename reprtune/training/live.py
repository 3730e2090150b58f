"""One network in training: its step, its evaluation, its drops and restores, its state as bytes.

Inside a step nothing waits for the device and nothing branches on the value of a tensor: the learning
rate, the losses and the masks are tensors on the device, changed in place.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from reprtune.errors import SpecError
from reprtune.spec.codec import from_plain, to_plain
from reprtune.spec.history import CURVES, Drop, History, Point, Restore
from reprtune.spec.trial import TrialSpec
from reprtune.training import graph, state
from reprtune.training.criteria import ScoreContext
from reprtune.training.criteria.needs import check_needs
from reprtune.training.data.batches import Batches, evaluation_batches
from reprtune.training.data.task import Part, Task
from reprtune.training.dropping import (
    RECALIBRATION_BATCHES,
    RestoreContext,
    drop_filters,
    restore_dropped,
)
from reprtune.training.filters import find_filters
from reprtune.training.losses import Loss
from reprtune.training.models import build_model
from reprtune.training.numbers import network_numbers
from reprtune.training.optimizers import Optimizer
from reprtune.training.schedule import Event, Segment
from reprtune.training.seeds import derive, generator
from reprtune.training.select import candidates, n_dropped
from reprtune.training.step import Step
from reprtune.training.subnetwork import SubNetwork
from reprtune.training.teacher import load_teacher

NETWORK = 0  # a state is a tuple of K networks; these methods train one


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """Training was asked to stop between two steps; the live network is whole and can be saved."""


@dataclass(frozen=True)
class Evaluation:
    loss: float
    error: float


class Live:
    """The network, its optimizer and its history at one moment of a trial.

    Args:
        spec: the trial. task: its data. batches: of the train part; may be shared by several trials
            of one process, for each segment begins by drawing its epoch again.
        device: where everything lives.
    """

    def __init__(self, spec: TrialSpec, task: Task, batches: Batches, device: torch.device) -> None:
        self.spec, self.task, self.batches, self.device = spec, task, batches, device
        channels, height, width = task.input_shape
        model = self._build(spec.seed)
        self.filters = find_filters(model, torch.zeros(1, channels, height, width))
        self.model: nn.Module = model.to(device)
        folder = spec.training.teacher
        teacher = load_teacher(folder, task, device) if folder is not None else None
        self.teacher_digest = teacher.digest if teacher is not None else None
        lr = torch.zeros((), device=device)
        optimizer = Optimizer(spec.training, self.model.named_parameters(), lr)
        eager = graph.why_eager(batches, device)
        self.network = SubNetwork(
            self.model, self.filters, optimizer.state, spec.method.drop, static=eager is None
        )
        self.step = Step(spec.training, self.network, optimizer, Loss(spec.training, teacher))
        self.stepper = graph.choose(self.step, batches, eager)
        self.step_done = 0
        self.n_drop = n_dropped(self.filters, spec.method)
        if spec.method.cycles > 0:
            self._check_drops()
            check_needs(spec.method.criterion, candidates(self.filters, spec.method), self.filters)
        self.points: tuple[Point, ...] = ()
        self._written: list[dict[str, Any]] = []
        self.drops: tuple[Drop, ...] = ()
        self.restores: tuple[Restore, ...] = ()
        self.diverged_at: int | None = None
        self.partial_seconds = self._begun = 0.0

    def _check_drops(self) -> None:
        """Cycles that drop nothing are standard training under another name."""
        if self.n_drop == 0:
            n = sum(self.filters.layers[name] for name in candidates(self.filters, self.spec.method))
            raise SpecError(
                f"method.prune_ratio = {self.spec.method.prune_ratio} and method.layer_cap = "
                f"{self.spec.method.layer_cap} drop none of the {n} filters that may be dropped.",
                "Raise them, or set method.cycles to 0 for standard training.",
            )

    @property
    def how(self) -> str:
        """Steps are run as a graph or not, and why; empty where there is no choice."""
        return self.stepper.how

    @property
    def gflops_per_step(self) -> float:
        """Ideal cost of a step of the network as it stands, in 1e9 floating-point operations."""
        return self.network.train_flops() * self.spec.training.batch_size / 1e9

    def measured(self) -> dict[str, float]:
        """Every number of the last evaluation by name: of its point, and of the network as it stands; empty
        before the first."""
        if not self.points:
            return {}
        return {name: getattr(self.points[-1], name) for name in CURVES} | network_numbers(self.network)

    # -- training ---------------------------------------------------------------------------------

    def train(self, segment: Segment, lrs: NDArray[Any], tick: Callable[[], bool]) -> None:
        """Train to the end of the segment and evaluate there.

        Args:
            lrs: learning rate of every step of the trial.
            tick: called before every step; True asks to stop there.

        Raises:
            Interrupted: `tick` asked for it; call `train` again with the same segment to continue.
        """
        self._begun = time.perf_counter()
        if self.step_done == segment.start:
            self.step.loss_sum.zero_()
            self.partial_seconds = 0.0
            self._seed_layers(segment.start)
        self.model.train()
        epoch = -1
        while self.step_done < segment.stop:
            if tick():
                self.partial_seconds, self._begun = self._segment_seconds(), time.perf_counter()
                raise Interrupted
            now, index = divmod(self.step_done, self.batches.steps_per_epoch)
            if now != epoch:
                epoch = now
                self.batches.start_epoch(generator(self.spec.seed, "epoch", NETWORK, epoch))
            self.step.lr.fill_(lrs[self.step_done])
            self.advance(index)
            self.step_done += 1
        self._close(segment, float(lrs[segment.stop - 1]))

    def advance(self, index: int) -> None:
        """One step, on batch `index` of the epoch."""
        self.stepper(index)

    def _close(self, segment: Segment, lr: float) -> None:
        train_loss = float(self.step.loss_sum) / (segment.stop - segment.start)  # waits for the device
        val = self.evaluate(self.task.val)
        if not (math.isfinite(train_loss) and math.isfinite(val.loss)):
            self.diverged_at = segment.stop
            return
        last = self.points[-1] if self.points else None
        point = Point(
            step=segment.stop,
            phase=segment.phase,
            cycle=segment.cycle,
            lr=lr,
            train_loss=train_loss,
            val_loss=val.loss,
            val_error=val.error,
            gflops=(last.gflops if last else 0.0) + self.gflops_per_step * (segment.stop - segment.start),
            seconds=(last.seconds if last else 0.0) + self._segment_seconds(),
            time=time.time(),
        )
        self.points = (*self.points, point)

    def _segment_seconds(self) -> float:
        return self.partial_seconds + time.perf_counter() - self._begun

    def _seed_layers(self, step: int) -> None:
        """Dropout and its like draw from torch's global generator."""
        torch.manual_seed(derive(self.spec.seed, "layers", NETWORK, step))

    @torch.no_grad()
    def evaluate(self, part: Part) -> Evaluation:
        """Mean cross-entropy and share of wrong answers over a part of the data."""
        self.model.eval()
        loss = torch.zeros((), dtype=torch.float64, device=self.device)
        wrong = torch.zeros((), dtype=torch.int64, device=self.device)
        for x, y in evaluation_batches(part, self.task.mean, self.task.std):
            with self.step.autocast():
                logits = self.network.forward(x).float()
            loss += F.cross_entropy(logits, y, reduction="sum")
            wrong += (logits.argmax(1) != y).sum()
        self.model.train()
        return Evaluation(float(loss) / len(part.y), float(wrong) / len(part.y))

    # -- events -----------------------------------------------------------------------------------

    def happen(self, event: Event) -> None:
        if event.kind == "drop":
            batches = partial(evaluation_batches, self.task.score, self.task.mean, self.task.std)
            context = ScoreContext(self.spec.seed, event.cycle, self.network, batches)
            drop = drop_filters(self.network, self.spec, context, event.stop)
            self.drops = (*self.drops, drop)
        else:
            rules = RestoreContext(event.cycle, NETWORK, self._build, self._some_batches)
            restore = restore_dropped(self.network, self.spec, rules, event.stop)
            self.restores = (*self.restores, restore)

    def _some_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The train part in the order of a generator of its own: that of a folder is by class."""
        part, size = self.task.train, self.spec.training.batch_size
        order = torch.randperm(len(part), generator=generator(self.spec.seed, "recalibrate", NETWORK))
        some = part.select(order[: RECALIBRATION_BATCHES * size])
        return evaluation_batches(some, self.task.mean, self.task.std, size)

    def _build(self, seed: int) -> nn.Module:
        """A new network of the specification, on the CPU."""
        channels, height, width = self.task.input_shape
        size, n_classes = (height, width), self.task.n_classes
        return build_model(self.spec.model, channels, size, n_classes, seed, NETWORK)

    # -- states -----------------------------------------------------------------------------------

    def save(self, *, pause_after: int | None = None, end: bool = False) -> bytes:
        """Everything needed to continue, as bytes; with `pause_after`, the number of plan items done, also
        what is needed in the middle of a segment. `end`: a trial is complete with this state."""
        tensors = {f"net{NETWORK}/{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"step{NETWORK}/{k}": v for k, v in self.step.tensors().items()}
        tensors["keep"] = self.network.keep
        if pause_after is not None:
            tensors |= {"loss_sum": self.step.loss_sum, "rng": torch.get_rng_state()}
            if self.device.type == "cuda":
                tensors["rng_cuda"] = torch.cuda.get_rng_state(self.device)
        notes = {
            "step": self.step_done,
            "points": self._plain_points(),
            "drops": to_plain(self.drops),
            "restores": to_plain(self.restores),
            "diverged_at": self.diverged_at,
            "end": end,
        }
        if pause_after is not None:
            notes |= {"items_done": pause_after, "partial_seconds": self._segment_seconds()}
        return state.encode(tensors, notes)

    def _plain_points(self) -> list[dict[str, Any]]:
        """The points as JSON values; each is turned only once, for they are saved again and again."""
        for point in self.points[len(self._written) :]:
            self._written.append(to_plain(point))
        return self._written

    def load(self, payload: bytes) -> Mapping[str, Any]:
        """Continue from what `save` returned; its notes.

        Raises:
            StateError: these bytes are something else; nothing was changed.
        """
        tensors, notes = state.decode(payload)
        self.model.load_state_dict(_below(f"net{NETWORK}/", tensors))
        self.step.load(_below(f"step{NETWORK}/", tensors))
        self.network.set_keep(tensors["keep"])
        if "rng" in tensors:
            self.step.loss_sum.copy_(tensors["loss_sum"])
            torch.set_rng_state(tensors["rng"])
            if "rng_cuda" in tensors:
                torch.cuda.set_rng_state(tensors["rng_cuda"], self.device)
        self.step_done = notes["step"]
        self.partial_seconds = notes.get("partial_seconds", 0.0)
        self._written = notes["points"]
        self.points = from_plain(tuple[Point, ...], self._written, "points")
        self.drops = from_plain(tuple[Drop, ...], notes["drops"], "drops")
        self.restores = from_plain(tuple[Restore, ...], notes["restores"], "restores")
        self.diverged_at = notes["diverged_at"]
        return notes

    def history(self, total_steps: int, rungs: tuple[int, ...]) -> History:
        return History(
            total_steps=total_steps,
            steps_per_epoch=self.batches.steps_per_epoch,
            layers=dict(self.filters.layers),
            kept_out=dict(self.filters.kept_out),
            rungs=rungs,
            points=self.points,
            drops=self.drops,
            restores=self.restores,
            diverged_at=self.diverged_at,
        )


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
