"""The networks of a trial while they are trained: members, data and history, and all of it as bytes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from reprtune.history import CURVES, Drop, Exchange, Happening, History, Point, Restore
from reprtune.spec.codec import from_plain, to_plain
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain import beginning, ending, renewing, state
from reprtune.training.chain.dropping import count_to_drop, drop, told_of_drop
from reprtune.training.chain.evaluation import Evaluation, evaluate
from reprtune.training.chain.exchanging import check_exchange, exchange
from reprtune.training.chain.member import Interrupted, Member
from reprtune.training.chain.plan import Segment
from reprtune.training.chain.restoring import restore
from reprtune.training.chain.together import Together, drawing_state, set_drawing_state
from reprtune.training.data.batches import Batches
from reprtune.training.data.task import Part, Task
from reprtune.training.descent.cuda_graph import Stepper
from reprtune.training.descent.step import Step
from reprtune.training.models.weights import check_alike, read_weights
from reprtune.training.parts.schedules import Event
from reprtune.training.surgery.filter_map import FilterMap
from reprtune.training.surgery.subnetwork import SubNetwork

__all__ = ["Interrupted", "TrialNetworks"]

PATIENT_SECONDS = 1.0  # of an evaluation, before it is left where a worker is to stop

# Kind of event -> what it does to a member; it is told as a Happening.
OTHER_EVENTS: dict[str, Callable[[Member, Task, Event], Happening]] = {
    "begin": beginning.begin,
    "renew": renewing.renew,
    "end": ending.end,
}


class TrialNetworks:
    """The networks of a trial while it is trained, with its data and its history so far.

    Where an attribute speaks of one network, that of the first member is meant.

    Args:
        spec: the trial. task: its data. batches: of the train part; may be shared by several trials
            of one process.
        device: where everything lives.
        eager: why steps must not be captured as a graph; None = the device decides.
    """

    def __init__(
        self, spec: TrialSpec, task: Task, batches: Batches, device: torch.device, eager: str | None = None
    ) -> None:
        self.spec, self.task, self.batches, self.device = spec, task, batches, device
        n_members, coupled = spec.method.n_members, spec.method.couples_members
        exported = read_weights(spec.model, task.input_shape, task.n_classes, n_members)
        self.inherited = exported.inherited(n_members) if exported is not None else None
        starts = [exported.of(n) if exported is not None else None for n in range(n_members)]
        shared: dict[str, Any] = {}
        self.members = [
            Member(
                spec,
                n,
                task,
                batches.again() if coupled else batches,
                device,
                shared=shared,
                eager=eager,
                forms=start.forms if start is not None else (),
                weights=start.weights if start is not None else None,
            )
            for n, start in enumerate(starts)
        ]
        self._together = Together(self.members, device) if coupled else None
        self.n_drop = count_to_drop(spec.method, self.network)
        check_exchange(self.members[0])
        self.points: tuple[Point, ...] = ()
        self._written: list[dict[str, Any]] = []
        self.member_errors: tuple[tuple[float, ...], ...] = ()
        self.ensemble_errors: tuple[float, ...] = ()
        self.drops: tuple[Drop, ...] = ()
        self.restores: tuple[Restore, ...] = ()
        self.exchanges: tuple[Exchange, ...] = ()
        self.happenings: tuple[Happening, ...] = ()
        self.diverged_at: int | None = None
        if exported is not None:
            check_alike(spec.model, [member.filters.layers for member in self.members])

    @property
    def network(self) -> SubNetwork:
        return self.members[0].network

    @property
    def model(self) -> nn.Module:
        return self.members[0].model

    @property
    def filters(self) -> FilterMap:
        return self.members[0].filters

    @property
    def step(self) -> Step:
        return self.members[0].step

    @property
    def stepper(self) -> Stepper:
        return self.members[0].stepper

    @property
    def how(self) -> str:
        """Steps are run as a graph or not, and why; empty where there is no choice."""
        return self.stepper.how

    @property
    def loss_digests(self) -> list[str]:
        """Of what the losses read that is no part of the specification."""
        return [term.digest for term in self.step.loss.terms if term.digest is not None]

    @property
    def steps_trained(self) -> int:
        """Steps of all members together."""
        return sum(member.step_done for member in self.members)

    @property
    def step_done(self) -> int:
        """Steps of the trial: of each member, between two segments."""
        return self.steps_trained // len(self.members)

    @property
    def steps_before(self) -> int:
        """Steps of all networks that were trained, in other trials, for what this one begins from."""
        return self.inherited.steps if self.inherited is not None else 0

    @property
    def gflops_per_step(self) -> float:
        """Ideal cost of a step of every member as it stands, in 1e9 floating-point operations."""
        images = self.spec.training.batch_size
        return sum(member.flops_per_image for member in self.members) * images / 1e9

    def measured(self) -> dict[str, float]:
        """Every number of the last evaluation by name: of its point, and of the network as it stands, of several
        the mean; empty before the first."""
        if not self.points:
            return {}
        each = [member.numbers() for member in self.members]
        means = {name: sum(numbers[name] for numbers in each) / len(each) for name in each[0]}
        return {name: getattr(self.points[-1], name) for name in CURVES} | means

    def close(self) -> None:
        """End what reads the data; the next step begins anew."""
        for batches in {id(m.batches): m.batches for m in self.members}.values():
            batches.close()

    # -- training ---------------------------------------------------------------------------------

    def train(self, segment: Segment, lrs: NDArray[Any], tick: Callable[[], bool]) -> None:
        """Train every member to the end of the segment and evaluate there.

        Args:
            lrs: learning rate of every step of the trial.
            tick: called before every step, of all members together where a loss couples them, and every batch of the
                evaluation where that takes more than a second; True asks to stop there.

        Raises:
            Interrupted: `tick` asked for it; call `train` again with the same segment to continue.
        """
        if self._together is not None:
            self._together.train(segment, lrs, tick)
        else:
            for member in self.members:
                member.train(segment, lrs, tick)
        self._record_segment(segment, float(lrs[segment.stop - 1]), tick)

    def _record_segment(self, segment: Segment, lr: float, tick: Callable[[], bool]) -> None:
        n_steps = segment.stop - segment.start
        losses = [float(member.step.loss_sum) / n_steps for member in self.members]  # waits for the device
        val = self.evaluate(self.task.val, tick)
        train_loss = sum(losses) / len(losses)
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
            gflops=(last.gflops if last else 0.0) + self.gflops_per_step * n_steps,
            seconds=(last.seconds if last else 0.0) + sum(member.seconds_spent() for member in self.members),
            time=time.time(),
        )
        self._add(point, val)

    def _add(self, point: Point, val: Evaluation) -> None:
        self.points = (*self.points, point)
        if len(self.members) > 1:
            self.member_errors = (*self.member_errors, val.member_errors)
            self.ensemble_errors = (*self.ensemble_errors, val.ensemble_error)

    def evaluate(self, part: Part, tick: Callable[[], bool] = lambda: False) -> Evaluation:
        """Cross-entropy and share of wrong answers over a part of the data, means over the members.

        Raises:
            Interrupted: `tick`, called before every batch after the first second, asked for it.
        """
        patient_until = time.monotonic() + PATIENT_SECONDS

        def leave() -> None:
            if time.monotonic() > patient_until and tick():
                raise Interrupted

        return evaluate([(m, m.step.autocast) for m in self.members], part, self.task, leave)

    # -- events -----------------------------------------------------------------------------------

    def apply_event(self, event: Event) -> None:
        """What happens in every member, or between them. After an exchange and an end the members are evaluated
        anew, and their last point is that of what they are from now on."""
        if event.kind == "exchange":
            self._exchange(event)
            return
        for member in self.members:
            if event.kind == "drop":
                self.drops = (*self.drops, drop(member, self.task, event))
                self._tell(*told_of_drop(member, event))
            elif event.kind == "restore":
                self.restores = (*self.restores, restore(member, self.task, event))
            else:
                self._tell(OTHER_EVENTS[event.kind](member, self.task, event))
        if event.kind == "end":
            self._evaluate_anew(event)

    def _exchange(self, event: Event) -> None:
        assert self.spec.method.exchange is not None
        exchange(self.members, self.spec.method.exchange, event.cycle)
        before = self.errors
        if self._evaluate_anew(event):
            told = Exchange(step=event.stop, before=before, after=self.errors)
            self.exchanges = (*self.exchanges, told)

    @property
    def errors(self) -> tuple[float, ...]:
        """Of every member at the last point."""
        return self.member_errors[-1] if self.member_errors else (self.points[-1].val_error,)

    def _evaluate_anew(self, event: Event) -> bool:
        """The last point is replaced; False where what the members are now has no finite loss."""
        point = self.points[-1]
        val = self.evaluate(self.task.val)
        if not math.isfinite(val.loss):
            self.diverged_at = event.stop
            return False
        self.points, self._written = self.points[:-1], self._written[: len(self.points) - 1]
        self.member_errors, self.ensemble_errors = self.member_errors[:-1], self.ensemble_errors[:-1]
        self._add(replace(point, val_loss=val.loss, val_error=val.error), val)
        return True

    def measure(self, step: int) -> dict[str, float]:
        """What the members' parts find in them at a rung, of several members the largest; it is recorded."""
        found: dict[str, float] = {}
        for member in self.members:
            if numbers := member.measures():
                self._tell(Happening(kind="measure", step=step, member=member.number, numbers=numbers))
            found |= {name: max(value, found.get(name, value)) for name, value in numbers.items()}
        return found

    def _tell(self, *happenings: Happening) -> None:
        """Record them. What is no number, as of a network that has diverged, is left out, as it is of points."""
        for one in happenings:
            numbers = {name: value for name, value in one.numbers.items() if math.isfinite(value)}
            self.happenings = (*self.happenings, replace(one, numbers=numbers))

    # -- states -----------------------------------------------------------------------------------

    def save(self, *, pause_after: int | None = None, end: bool = False) -> bytes:
        """Everything needed to continue, as bytes; with `pause_after`, the number of plan items done, also
        what is needed in the middle of a segment. `end`: a trial is complete with this state."""
        tensors = {name: t for member in self.members for name, t in member.tensors().items()}
        if pause_after is not None:
            together = self._together
            tensors |= drawing_state(self.device) if together is None else together.tensors()
        notes = {
            "steps": [member.step_done for member in self.members],
            "seconds": [member.seconds_spent() for member in self.members],
            "points": self._plain_points(),
            "member_errors": self.member_errors,
            "ensemble_errors": self.ensemble_errors,
            "drops": to_plain(self.drops),
            "restores": to_plain(self.restores),
            "exchanges": to_plain(self.exchanges),
            "happenings": to_plain(self.happenings),
            "forms": [list(member.forms) for member in self.members],
            "diverged_at": self.diverged_at,
            "end": end,
            "steps_before": self.steps_before,
        }
        if pause_after is not None:
            notes |= {"items_done": pause_after}
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
        notes_of = zip(self.members, notes["steps"], notes["seconds"], notes["forms"], strict=True)
        for member, step, seconds, forms in notes_of:
            member.load(tensors, step, seconds, forms)
        if self._together is not None:
            self._together.load(tensors)
        elif "rng" in tensors:
            set_drawing_state(tensors, self.device)
        self._written = notes["points"]
        self.points = from_plain(tuple[Point, ...], self._written, "points")
        self.member_errors = tuple(map(tuple, notes["member_errors"]))
        self.ensemble_errors = tuple(notes["ensemble_errors"])
        self.drops = from_plain(tuple[Drop, ...], notes["drops"], "drops")
        self.restores = from_plain(tuple[Restore, ...], notes["restores"], "restores")
        self.exchanges = from_plain(tuple[Exchange, ...], notes["exchanges"], "exchanges")
        self.happenings = from_plain(tuple[Happening, ...], notes["happenings"], "happenings")
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
            exchanges=self.exchanges,
            happenings=self.happenings,
            member_errors=self.member_errors,
            ensemble_errors=self.ensemble_errors,
            diverged_at=self.diverged_at,
        )
