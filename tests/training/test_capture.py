"""How a step is captured on CUDA: on its device, on one side stream, and with everything put back when it fails.

The parts of torch.cuda that it uses are played by `FakeCuda`.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from reprtune.errors import ModelError
from reprtune.training.descent import cuda_graph
from reprtune.training.descent.cuda_graph import CaptureFailed, Waits, capture_on_cuda, waiting_refused
from tests.training.recorded import Recording

FIRST, SECOND = torch.device("cuda:0"), torch.device("cuda:1")
NOTICE = (
    "Synchronization debug mode is a prototype feature and does not yet detect all synchronizing operations"
)
EMPTY = (
    "The CUDA Graph is empty. This usually means that the graph was attempted to be captured on wrong device or "
    "stream."
)


class FakeStream:
    def __init__(self, cuda: FakeCuda, device: int, name: str) -> None:
        self.cuda, self.device, self.name = cuda, device, name

    def wait_stream(self, other: FakeStream) -> None:
        self.cuda.waits.append((self.name, other.name))


class FakeCuda:
    """torch.cuda without a GPU: kernels go to the current stream of `home`, the device of the tensors.

    Attributes:
        waits: (stream, that it waits for). modes: of sync debugging, as they were set. created: side streams.
        current: the stream of each device. fails: raised at the end of a capture.
    """

    def __init__(self, patch: pytest.MonkeyPatch, home: int = 0) -> None:
        self.home, self.device, self.modes, self.mode = home, 0, list[Any](), 0
        self.waits, self.created = list[tuple[str, str]](), list[FakeStream]()
        self.current = [FakeStream(self, i, "here") for i in (0, 1)]
        self.fails: Exception | None = None
        self.recording: Recording | None = None
        fakes = {
            "device": self.on,
            "current_device": lambda: self.device,
            "current_stream": lambda: self.current[self.device],
            "Stream": self.new_stream,
            "CUDAGraph": lambda: self,
            "stream": self.stream,
            "graph": self.graph,
            "get_sync_debug_mode": lambda: self.mode,
            "set_sync_debug_mode": self.set_mode,
        }
        for name, fake in fakes.items():
            patch.setattr(torch.cuda, name, fake)
        patch.setattr(cuda_graph, "side_stream", functools.cache(cuda_graph.side_stream.__wrapped__))

    def set_mode(self, mode: Any) -> None:
        """As torch: the mode is set when its notice, which comes once, is raised."""
        self.mode = mode
        self.modes.append(mode)
        if len(self.modes) == 1:
            warnings.warn(NOTICE, stacklevel=2)

    def new_stream(self, device: int) -> FakeStream:
        self.created.append(FakeStream(self, device, f"side {len(self.created)}"))
        return self.created[-1]

    @contextlib.contextmanager
    def on(self, device: torch.device) -> Iterator[None]:
        before, self.device = self.device, device.index
        try:
            yield
        finally:
            self.device = before

    @contextlib.contextmanager
    def stream(self, stream: FakeStream) -> Iterator[None]:
        before, self.current[stream.device] = self.current[stream.device], stream
        try:
            yield
        finally:
            self.current[stream.device] = before

    @contextlib.contextmanager
    def graph(self, _: Any, *, stream: FakeStream, capture_error_mode: str) -> Iterator[None]:
        """As torch, it does not go back to the stream of before when the capture cannot be ended."""
        assert capture_error_mode == "thread_local"
        before, self.current[stream.device] = self.current[stream.device], stream
        with Recording() as self.recording:
            try:
                yield
            finally:
                if self.fails is not None:
                    raise self.fails
        if self.current[self.home] is not stream or not self.recording.operations:
            warnings.warn(EMPTY, stacklevel=2)
        self.current[stream.device] = before

    def replay(self) -> None:
        assert self.recording is not None
        self.recording.replay()


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    return FakeCuda(monkeypatch)


def adds(counts: torch.Tensor) -> Any:
    return lambda: counts.add_(1)


def test_a_capture_warms_up_three_times_the_last_two_without_waiting(cuda: FakeCuda) -> None:
    """The first step may wait for what is set up only once; the debug mode is put back; then it records. What
    runs on the side stream begins after what came before, and the rest comes after it."""
    counts, modes = torch.zeros(()), list[Any]()

    def body() -> None:
        counts.add_(1)
        modes.append(cuda.mode)

    replay = capture_on_cuda(body, FIRST)
    assert modes == [0, "error", "error", 0] and cuda.mode == 0
    assert cuda.waits == [("side 0", "here"), ("here", "side 0")]
    before = float(counts)
    replay()
    assert float(counts) == before + 1 and len(modes) == 4  # the tensor moved without Python


@pytest.mark.parametrize(("home", "device"), [(0, FIRST), (1, SECOND)])
def test_a_graph_is_captured_on_the_device_of_its_tensors(
    monkeypatch: pytest.MonkeyPatch, home: int, device: torch.device
) -> None:
    """Also where another device is the current one, which stays so."""
    cuda, counts, where = FakeCuda(monkeypatch, home), torch.zeros(()), list[Any]()
    body = lambda: (where.append((cuda.device, cuda.current[home].name)), counts.add_(1))  # noqa: E731
    capture_on_cuda(body, device)()
    assert where == [(home, "side 0")] * 4 and cuda.created[0].device == home
    assert cuda.device == 0 and [s.name for s in cuda.current] == ["here", "here"]


def test_a_graph_without_kernels_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch only warns, which nobody may see; replayed, it would train nothing, and the loss would be 0."""
    FakeCuda(monkeypatch, home=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(CaptureFailed, match="The CUDA Graph is empty"):
            capture_on_cuda(adds(torch.zeros(())), FIRST)


def test_all_captures_of_a_device_share_a_side_stream(cuda: FakeCuda) -> None:
    """One for each device, however many trials: cuBLAS keeps memory for every stream."""
    for device in (FIRST, FIRST, FIRST):
        capture_on_cuda(adds(torch.zeros(())), device)
    cuda.home = 1
    for device in (SECOND, SECOND):
        capture_on_cuda(adds(torch.zeros(())), device)
    assert [stream.device for stream in cuda.created] == [0, 1]


def failing(error: Exception, at: int) -> Any:
    """A body that raises when it is called for the `at`-th time, counted from 0."""
    calls = iter(range(10))

    def body() -> None:
        torch.zeros(()).add_(1)
        if next(calls) == at:
            raise error

    return body


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("called a synchronizing CUDA operation"), Waits),
        (RuntimeError("no kernel image"), RuntimeError),
        (torch.OutOfMemoryError("CUDA out of memory."), torch.OutOfMemoryError),
    ],
)
def test_whatever_ends_the_warm_up_the_device_is_as_before(
    cuda: FakeCuda, error: Exception, kind: type[Exception], at: int
) -> None:
    """What follows waits for the side stream, the debug mode is put back, and the stream of before is the current
    one. Only a wait after the first step is a reason against a graph."""
    kind = RuntimeError if at == 0 and kind is Waits else kind
    with pytest.raises(kind):
        capture_on_cuda(failing(error, at), FIRST)
    assert cuda.waits[-1] == ("here", "side 0")
    assert cuda.mode == 0 and cuda.current[0].name == "here"


@pytest.mark.parametrize(
    ("body", "end", "kind", "words"),
    [
        (
            "operation not permitted when stream is capturing\nmore",
            None,
            CaptureFailed,
            "operation not permitted ",
        ),
        (
            "operation not permitted",
            "previous error during capture",
            CaptureFailed,
            "operation not permitted",
        ),
        ("out of memory", "previous error during capture", CaptureFailed, "out of memory"),
        (None, "unjoined work", CaptureFailed, "unjoined work"),
        ("CUDA error: out of memory", None, RuntimeError, "out of memory"),
        (None, "CUDA error: out of memory", RuntimeError, "out of memory"),
    ],
)
def test_a_capture_that_fails(
    cuda: FakeCuda, body: str | None, end: str | None, kind: type[Exception], words: str
) -> None:
    """In the step, at its end, or both: an error that gives torch's first reason in one line, and the switch.
    Too little memory stays what it is, unless the capture could not be ended."""
    cuda.fails = RuntimeError(end) if end else None
    with pytest.raises(kind, match=words) as caught:
        capture_on_cuda(failing(RuntimeError(body), 3) if body else adds(torch.zeros(())), FIRST)
    assert cuda.current[0].name == "here" and cuda.device == 0
    assert isinstance(caught.value, ModelError) is (kind is CaptureFailed)
    if isinstance(caught.value, CaptureFailed):
        assert caught.value.hint == "Set REPRTUNE_GRAPH=off to train it step by step."
        assert "\n" not in caught.value.message and "more" not in caught.value.message
        assert str(caught.value.__cause__).startswith(words.strip())


def test_the_notice_of_the_debug_mode_is_left_out(cuda: FakeCuda) -> None:
    """torch says once in a process that the mode is a prototype, with the mode set already; every other warning
    comes through, and the mode of before comes back."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with waiting_refused():
            warnings.warn("of a network", stacklevel=1)
    assert [str(w.message) for w in seen] == ["of a network"] and cuda.modes == ["error", 0]


def test_a_debug_mode_that_cannot_be_set_is_not_left_on(
    cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else every later step that waits for the device would fail."""

    def set_mode(mode: Any) -> None:
        cuda.mode = mode
        if mode == "error":
            raise RuntimeError("something new")

    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", set_mode)
    with pytest.raises(RuntimeError, match="something new"), waiting_refused():
        pass
    assert cuda.mode == 0
