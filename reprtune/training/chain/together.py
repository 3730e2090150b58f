"""Members that advance step by step, because a loss needs the answers of others.

In every step each member's teachers first answer on its images, all as they are before anybody moves; then every
member steps. Random layers draw from a state of each member's own, so that nobody's numbers depend on the order in
which members are taken.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from reprtune.training.chain.member import Interrupted, Member
from reprtune.training.chain.plan import Segment
from reprtune.training.parts.losses.distillation import Members


class Together:
    """Trains the members of a trial step by step.

    Args:
        members: each with batches of its own, which may share their pictures.
    """

    def __init__(self, members: Sequence[Member], device: torch.device) -> None:
        self.members, self.device = members, device
        self._draws: dict[int, dict[str, Tensor]] = {}  # number of a member -> state of its generators
        for member in members:
            others = [one for one in members if one is not member]
            for term in _asking(member):
                term.meet([(one.network, one.step.autocast) for one in others])

    def train(self, segment: Segment, lrs: NDArray[Any], tick: Callable[[], bool]) -> None:
        """Train all to the end of the segment; the arguments and errors are those of `Member.train`, but that
        `tick` is called once for a step of all of them."""
        for member in self.members:
            with self._turn(member):
                member.begin(segment)
        while self.members[0].step_done < segment.stop:
            if tick():
                self._leave()
                raise Interrupted
            self._step(lrs)
        self._leave()

    def _step(self, lrs: NDArray[Any]) -> None:
        """All answers are there before anybody's weights move."""
        batches = {}
        for member in self.members:
            with self._turn(member):
                batch = member.batches.batch(member.prepare(lrs))
                for term in _asking(member):
                    term.ask(batch[0])
                batches[member.number] = batch
        for member in self.members:
            with self._turn(member):
                member.step(*batches[member.number])
                member.step_done += 1

    def _leave(self) -> None:
        for member in self.members:
            member.leave()

    @contextlib.contextmanager
    def _turn(self, member: Member) -> Iterator[None]:
        """Inside, torch's generators are the member's and its time is counted."""
        if member.number in self._draws:
            set_drawing_state(self._draws[member.number], self.device)
        member.resume_clock()
        try:
            yield
        finally:
            member.stop_clock()
            self._draws[member.number] = drawing_state(self.device)

    def tensors(self) -> dict[str, Tensor]:
        """What is needed to continue in the middle of a segment, besides the members' own."""
        each = self._draws.items()
        return {f"draws{number}/{name}": t for number, state in each for name, t in state.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` returned; at the beginning of a segment there is nothing to take over."""
        self._draws = {}
        for name, tensor in tensors.items():
            if name.startswith("draws"):
                number, _, kind = name.removeprefix("draws").partition("/")
                self._draws.setdefault(int(number), {})[kind] = tensor


def _asking(member: Member) -> Iterator[Members]:
    return (term for term in member.step.loss.terms if isinstance(term, Members))


def drawing_state(device: torch.device) -> dict[str, Tensor]:
    """The state of torch's default generators, of the CPU and of the device."""
    state = {"rng": torch.get_rng_state()}
    return state | ({"rng_cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_drawing_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Go on drawing where `drawing_state` was taken."""
    torch.set_rng_state(state["rng"])
    if "rng_cuda" in state:
        torch.cuda.set_rng_state(state["rng_cuda"], device)
