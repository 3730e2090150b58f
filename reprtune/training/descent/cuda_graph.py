"""How a step is run: one kernel after another, or all of them as one CUDA graph.

A small network keeps a GPU busy for a tenth of the time that Python needs to start the kernels of a step. A graph
holds the whole step: gather and augment the batch, forward, loss, backward, update, hold, sum of losses. It is
replayed with one call, with the same addresses each time; so everything that varies is a tensor on the device that is
changed in place: the batch's index, the learning rate, the bounds of what is held, the optimizer's counts, the scale of the
loss. One graph serves the full network and every sub-network.

Dropout works in a graph: torch registers the device's default generator with each graph and hands every
replay the generator's seed and offset, which then moves on as an eager step would have moved it.

Graphs of one device share a stream to be captured on, and with it what cuBLAS works in: they must be replayed
one after another, on one stream.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from reprtune.errors import ModelError
from reprtune.settings import graphs_wanted
from reprtune.training.data.batches import Batches
from reprtune.training.descent.step import Step
from reprtune.training.platform.device import is_out_of_memory

WARM_UP_STEPS = 3  # in which libraries choose algorithms and allocate; as torch's notes on graphs have it
WAITS = "synchronizing CUDA operation"  # what torch says in its sync debug mode
NOTICE = "Synchronization debug mode is a prototype"  # of the mode itself, once in a process
EMPTY = "The CUDA Graph is empty"  # and this where the kernels went to another stream or device

Body = Callable[[], None]
Capture = Callable[[Body, torch.device], Body]


class CaptureFailed(ModelError):  # noqa: N818 - as torch says it
    """A step cannot be captured as a graph; `__cause__` is what torch says.

    torch may then go on as if part of the capture still ran: the generator, the allocator, the stream. So this
    process should not use the device again. Another one can train the network step by step.
    """


class Waits(Exception):  # noqa: N818 - a reason, not a failure
    """A step waits for the device, so that it cannot be captured."""


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
        capture: body of a step, device of its tensors -> what does the same again; it may run the body itself
            before, and raises `Waits` when the body cannot be captured.
    """

    def __init__(self, step: Step, batches: Batches, capture: Capture | None = None) -> None:
        self.step, self.batches = step, batches
        self.how = "CUDA graph"
        self._capture = capture or capture_on_cuda
        self._index: Tensor | None = None
        self._replay: Body | None = None

    def __call__(self, step_in_epoch: int) -> None:
        index = self.batches.index(step_in_epoch)
        if self._index is None or self._replay is None:
            self._index = index.clone()
            self._replay = self._make(self._index)
        self._index.copy_(index)
        self._replay()

    def _make(self, index: Tensor) -> Body:
        # The body does not know this object, which keeps it: the memory of a network that nobody needs any more
        # is free at once.
        body = functools.partial(_step_on, self.step, self.batches, index)
        with undone(self.step):
            try:
                return self._capture(body, self.step.device)
            except Waits as error:
                self.how = f"eager: {error}"
                return body


def _step_on(step: Step, batches: Batches, index: Tensor) -> None:
    step(*batches.take(index))


def choose(step: Step, batches: Batches, why_eager: str | None) -> Stepper:
    """What trains: a graph, unless `why_eager` (see there) has a reason."""
    return GraphStep(step, batches) if why_eager is None else Eager(step, batches, why_eager)


def why_eager(batches: Batches, device: torch.device, coupled: bool = False) -> str | None:
    """The reason against a graph, known without running anything; None when nothing speaks against it.

    Args:
        coupled: does a step need the answers of other networks in training?

    Raises:
        SpecError: `REPRTUNE_GRAPH` is neither on nor off.
    """
    if device.type != "cuda":
        return ""
    if not graphs_wanted():
        return "REPRTUNE_GRAPH is off"
    if coupled:
        return "a loss couples the members"
    return None if batches.resident else "the data are streamed"


def capture_on_cuda(body: Body, device: torch.device) -> Body:
    """Warm up on a side stream of the device, then record `body` there.

    Raises:
        Waits: `body` waits for the device. CaptureFailed: it cannot be captured for another reason.
    """
    with torch.cuda.device(device):  # streams, generators and captures are of the current one
        here, side = torch.cuda.current_stream(), side_stream(torch.cuda.current_device())
        side.wait_stream(here)
        try:
            with torch.cuda.stream(side):
                body()  # what is set up only once may wait
                with waiting_refused():
                    for _ in range(WARM_UP_STEPS - 1):
                        body()
        finally:
            here.wait_stream(side)
        return _recorded(body, side)


@functools.cache
def side_stream(device: int) -> torch.cuda.Stream:
    """Where graphs of a device are made: one for all, for cuBLAS keeps memory for every stream it has seen."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _recorded(body: Body, stream: torch.cuda.Stream) -> Body:
    graph = torch.cuda.CUDAGraph()
    try:
        with warnings.catch_warnings(), torch.cuda.stream(stream):  # which a failed capture does not leave
            warnings.filterwarnings("error", EMPTY)
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                body()
    except (RuntimeError, Warning) as error:
        if is_out_of_memory(error):
            raise
        # An error of the body also spoils the end of the capture, which then says less.
        reason = error.__context__ or error
        said = str(reason).strip().splitlines() or [type(reason).__name__]
        raise CaptureFailed(
            f"A step of this network cannot be captured as a CUDA graph: {said[0]}",
            "Set REPRTUNE_GRAPH=off to train it step by step.",
        ) from reason
    return graph.replay


@contextlib.contextmanager
def waiting_refused() -> Iterator[None]:
    """What waits for the device inside is an error.

    Raises:
        Waits: something did.
    """
    before = torch.cuda.get_sync_debug_mode()
    try:
        _set_sync_debug_mode("error")
        yield
    except RuntimeError as error:
        if WAITS not in str(error):
            raise
        raise Waits("a step of this network waits for the device") from error
    finally:
        _set_sync_debug_mode(before)


def _set_sync_debug_mode(mode: int | str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", NOTICE)
        torch.cuda.set_sync_debug_mode(mode)


@contextlib.contextmanager
def undone(step: Step) -> Iterator[None]:
    """Whatever steps are run inside change nothing, unless they fail: all tensors keep their places and get
    their values back."""
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
