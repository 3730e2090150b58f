"""How a step is run: one kernel after another, or all of them as one CUDA graph.

A small network keeps a GPU busy for a tenth of the time that Python needs to start the kernels of a step. A graph
holds the whole step: gather and augment the batch, forward, loss, backward, update, hold, sum of losses. It is
replayed with one call, with the same addresses each time; so everything that varies is a tensor on the device that is
changed in place: the batch's index, the learning rate, the masks, the optimizer's counts, the scale of the
loss. One graph serves the full network and every sub-network.

Dropout works in a graph: torch registers the device's default generator with each graph and hands every
replay the generator's seed and offset, which then moves on as an eager step would have moved it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from reprtune.errors import ModelError
from reprtune.settings import graphs_wanted
from reprtune.training.data.batches import Batches
from reprtune.training.device import is_out_of_memory
from reprtune.training.step import Step

WARM_UP_STEPS = 3  # in which libraries choose algorithms and allocate; as torch's notes on graphs have it
WAITS = "synchronizing CUDA operation"  # what torch says in its sync debug mode

Body = Callable[[], None]


class Stepper(Protocol):
    """Trains step after step.

    Attributes:
        how: it does so, and why, for people; empty where there is no choice.
    """

    how: str

    def __call__(self, step_in_epoch: int) -> None:
        """Train on one batch of the epoch that was begun last."""


class Eager:
    """Starts one kernel after another."""

    def __init__(self, step: Step, batches: Batches, why: str) -> None:
        self.step, self.batches = step, batches
        self.how = f"eager: {why}" if why else ""

    def __call__(self, step_in_epoch: int) -> None:
        self.step(*self.batches.batch(step_in_epoch))


class GraphStep:
    """Replays one graph for every step.

    It is captured at the first step, and what the steps before it (which warm up) did to the network, the
    optimizer, the sums and the random numbers is undone: a captured trial is the eager one.

    Args:
        step: of a network with `SubNetwork(static=True)`. batches: on the device.
        capture: body of a step -> what does the same again; it may run the body itself before, and raises
            `Waits` when the body cannot be captured.
    """

    def __init__(self, step: Step, batches: Batches, capture: Callable[[Body], Body] | None = None) -> None:
        self.step, self.batches = step, batches
        self.how = "CUDA graph"
        self._capture = capture or capture_on_cuda
        self._index: Tensor | None = None
        self._replay: Body | None = None

    def __call__(self, step_in_epoch: int) -> None:
        index = self.batches.index(step_in_epoch)
        if self._index is None or self._replay is None:
            self._index = index.clone()
            self._replay = self._make()
        self._index.copy_(index)
        self._replay()

    def body(self) -> None:
        """One step on the batch of the index."""
        assert self._index is not None
        self.step(*self.batches.take(self._index))

    def _make(self) -> Body:
        with undone(self.step):
            try:
                return self._capture(self.body)
            except Waits as error:
                self.how = f"eager: {error}"
                return self.body


class Waits(Exception):  # noqa: N818 - a reason, not a failure
    """A step waits for the device, so that it cannot be captured."""


def choose(step: Step, batches: Batches, why_eager: str | None) -> Stepper:
    """What trains: a graph, unless `why_eager` (see there) has a reason."""
    return GraphStep(step, batches) if why_eager is None else Eager(step, batches, why_eager)


def why_eager(batches: Batches, device: torch.device) -> str | None:
    """The reason against a graph, known without running anything; None when nothing speaks against it.

    Raises:
        SpecError: `REPRTUNE_GRAPH` is neither on nor off.
    """
    if device.type != "cuda":
        return ""
    if not graphs_wanted():
        return "REPRTUNE_GRAPH is off"
    return None if batches.resident else "the data are streamed"


def capture_on_cuda(body: Body) -> Body:
    """Warm up on a side stream, then record `body` there.

    Raises:
        Waits: `body` waits for the device. ModelError: it cannot be captured for another reason.
    """
    here, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(here)
    with torch.cuda.stream(side):
        body()  # what is set up only once may wait
        with _waiting_refused():
            for _ in range(WARM_UP_STEPS - 1):
                body()
    here.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
            body()
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(
            f"A step of this network cannot be captured as a CUDA graph: {str(error).splitlines()[0]}",
            "Set REPRTUNE_GRAPH=off to train it step by step.",
        ) from error
    return graph.replay


@contextlib.contextmanager
def _waiting_refused() -> Iterator[None]:
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    except RuntimeError as error:
        if WAITS not in str(error):
            raise
        raise Waits("a step of this network waits for the device") from error
    finally:
        torch.cuda.set_sync_debug_mode(before)


@contextlib.contextmanager
def undone(step: Step) -> Iterator[None]:
    """Whatever steps are run inside change nothing: all tensors keep their places and get their values back."""
    model, device = step.network.model, step.device
    places = [*model.parameters(), *model.buffers(), step.loss_sum]
    values = [tensor.detach().clone() for tensor in places]
    state = {name: tensor.clone() for name, tensor in step.tensors().items()}
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        yield
    with torch.no_grad():
        for tensor, value in zip(places, values, strict=True):
            tensor.copy_(value)
    step.load(state)
