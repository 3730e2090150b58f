"""The sections of the probe that only a GPU has, with a fake of it whose steps take no time: they call what there
is, judge what they should, and end. What they find is nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.plain_loop import PlainLoop
from benchmarks.probe import correctness, processes, speed
from benchmarks.probe.results import Results
from benchmarks.probe.trials import Trials
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain.chain import Chain
from reprtune.training.descent.cuda_graph import Eager

CPU = torch.device("cpu")


class FakeStream:
    """Of no device."""

    def __init__(self, device: object = None) -> None:
        self.device = device


class FakeProfile(contextlib.AbstractContextManager["FakeProfile"]):
    """Has seen one kernel six times, 2 us each, and the call that started it."""

    def __init__(self, **_: object) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def key_averages(self) -> list[SimpleNamespace]:
        kernel = SimpleNamespace(key="gemm", count=6, self_device_time_total=12.0)
        return [kernel, SimpleNamespace(key="cudaGraphLaunch", count=3, self_device_time_total=0.0)]


@pytest.fixture
def memory_mib(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """MiB that the allocator will have reserved, whenever it is asked; 100 when nothing is left to say."""
    said: list[int] = []
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda *_: (said.pop(0) if said else 100) << 20)
    return said


@pytest.fixture
def trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory_mib: list[int]) -> Trials:
    """Trials on the CPU that say they are on a GPU."""
    nothing = lambda *_: None  # noqa: E731
    for name in ("synchronize", "empty_cache", "set_device", "set_per_process_memory_fraction"):
        monkeypatch.setattr(torch.cuda, name, nothing)
    monkeypatch.setattr(torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=1 << 30))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    found = Trials(tmp_path, CPU)
    found.on_cuda, found._n = True, 400
    return found


@pytest.fixture
def free_steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Steps that do nothing; the numbers of their batches."""
    asked: list[int] = []
    monkeypatch.setattr(Eager, "__call__", lambda _self, index: asked.append(index))
    monkeypatch.setattr(PlainLoop, "train", lambda _self, n_steps: float(n_steps))
    return asked


@pytest.fixture
def results(tmp_path: Path) -> Results:
    results = Results(tmp_path / "probe.json", 1000.0)
    results.begin("section")
    return results


def held(results: Results) -> dict[str, bool]:
    return {name: check["ok"] for name, check in results.checks.items()}


def test_times_are_taken_of_every_network_and_precision(
    trials: Trials, results: Results, free_steps: list[int]
) -> None:
    """Graph and eager, each lever, the plain loop, the streams; batches of the epoch only."""
    for section in (speed.steps, speed.levers, speed.plain, speed.streams):
        section(results, trials)
    kinds = {f"{how} {kind}" for how in ("graph", "eager") for kind in ("bf16", "tf32", "fp32")}
    kinds |= {"plain loop tf32", "plain loop bf16"} | {f"lever: {name}" for name in speed.LEVERS}
    kinds |= {f"on {n} streams, each" for n in (1, 2, 4, 8)}
    assert {model: set(rows) for model, rows in results.epoch_seconds.items()} == dict.fromkeys(
        speed.MODELS, kinds
    )
    assert min(free_steps) >= 0 and max(free_steps) < 400 // 16
    assert not torch.backends.cudnn.allow_tf32  # the plain loop's setting is gone again


def test_whole_segments_are_timed_with_their_evaluation(
    trials: Trials, results: Results, free_steps: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full, sub-network, full; of 50,000 images, here of fewer."""
    large, sizes = trials.large, []

    def fewer(model: str, precision: str, n_steps: int, n: int) -> TrialSpec:
        sizes.append((n_steps, n))
        return large(model, precision, 2)

    monkeypatch.setattr(trials, "large", fewer)
    speed.whole(results, trials)
    assert sizes == [(351, 50_000)] * 2 and free_steps
    assert [len(results.measured[f"whole epochs of {model}"]) for model in speed.MODELS] == [3, 3]


def test_kernels_are_counted_per_step(
    trials: Trials, results: Results, free_steps: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three steps: 6 kernels are 2 each, 12 us are 4; calls of the driver are no kernels."""
    monkeypatch.setattr(speed, "profile", FakeProfile)
    speed.kernels(results, trials)
    assert results.measured["kernels of resnet-20"] == {"per step": 2, "busy us": 4, "top": [("gemm", 2, 4)]}


def test_a_compiler_that_is_missing_fails_nothing(
    trials: Trials, results: Results, free_steps: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left out, with the reason."""

    def refuse(_model: object) -> None:
        raise RuntimeError("there is no compiler")

    monkeypatch.setattr(torch, "compile", refuse)
    speed.compile_(results, trials)
    assert [text.split(": ")[0] for text in results._now.left_out] == list(speed.MODELS)
    assert "there is no compiler" in results._now.left_out[0] and not results._now.why
    monkeypatch.setattr(torch, "compile", lambda model: model)
    speed.compile_(results, trials)
    assert "lever: compiled" in results.epoch_seconds["resnet-20"]


@pytest.mark.parametrize(("sizes", "ok"), [([300, 300, 310, 320], True), ([300, 340, 380, 420], False)])
def test_memory_that_does_not_come_back_is_seen(
    trials: Trials, results: Results, memory_mib: list[int], free_steps: list[int], sizes: list[int], ok: bool
) -> None:
    """64 MiB more after four trials than after the first."""
    memory_mib.extend(sizes)
    correctness.leak(results, trials)
    assert held(results) == {"finished trials give their memory back": ok}


@pytest.mark.parametrize(
    ("error", "ok"),
    [(torch.OutOfMemoryError("CUDA out of memory"), True), (RuntimeError("x"), False), (None, False)],
)
def test_too_little_memory_must_say_so(
    trials: Trials, results: Results, monkeypatch: pytest.MonkeyPatch, error: Exception | None, ok: bool
) -> None:
    """By torch's error; another one, or none, is a failure."""
    whole = correctness.finish

    def finish(run: Chain) -> Chain:
        if run.spec.model.width == 128:
            if error is not None:
                raise error
            return run
        return whole(run)

    monkeypatch.setattr(correctness, "finish", finish)
    correctness.memory(results, trials)
    assert held(results) == {"too little memory, then a trial that fits": ok}


def test_dropout_is_compared_with_eager_steps(trials: Trials, results: Results) -> None:
    """Both are eager here, so that they agree; without dropout the losses are others."""
    correctness.dropout(results, trials)
    assert held(results) == {"dropout in a graph": True}


def test_tf32_must_differ_from_fp32_on_tensor_cores(trials: Trials, results: Results) -> None:
    """A CPU multiplies both alike, which a GPU of compute capability 9 does not."""
    correctness.precisions(results, trials)
    assert held(results) == {"fp32 is fp32": True, "tf32 uses the tensor cores": False}


def test_children_of_a_gpu_are_asked_on_their_devices(
    trials: Trials, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five on this GPU and one on the other; where there is one GPU, the second is left out."""
    asked: list[tuple[str, str]] = []

    def ask(wanted: list[tuple[str, str]], _folder: Path) -> dict[str, Any]:
        asked[:] = wanted
        return {}

    trials.device = torch.device("cuda:1")
    monkeypatch.setattr(processes, "_ask", ask)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    processes.isolated(results, trials)
    names = ["deterministic", "deterministic", "warned", "capture", "broken"]
    assert asked == [*((name, "cuda:1") for name in names), ("second", "cuda:0")]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    processes.isolated(results, trials)
    assert [name for name, _ in asked] == names and results._now.left_out == ["second device: there is none"]


def test_a_child_that_cannot_capture_says_what_happened_first(
    trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its network waits while it is captured, and not otherwise; then it tries another trial."""
    states = iter([False, True])
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: next(states, False))
    monkeypatch.setattr(torch.cuda, "current_stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "default_stream", FakeStream)

    def synchronize(*_: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    said = processes.capture(trials)
    assert said == {
        "first": "RuntimeError: operation not permitted when stream is capturing",
        "on the default stream": False,
        "second": "",
    }


def test_a_child_breaks_its_device_and_a_second_one_trains_on_another(trials: Trials) -> None:
    """On a CPU an index that is too large is an error, and the device still works."""
    said = processes.broken(trials)
    assert said["before"] is None and said["error"].startswith("IndexError") and said["after"] is None
    losses = processes.second(trials)["losses"]
    assert losses[0] == losses[1] and len(losses[0]) > 1
