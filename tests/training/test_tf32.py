"""TF32 is a setting of the whole process: on while a tf32 trial trains or is evaluated, and at no other time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from reprtune.states.store import StateStore
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.trial_networks import TrialNetworks
from reprtune.training.descent import cuda_graph
from reprtune.training.platform.device import set_numerics
from tests.training.recorded import Capture
from tests.training.tiny import CPU, LOADED_DATA, STEPS, assert_same_end, finish, go, spec

TF32 = spec(training__precision="tf32", method__criterion="taylor", method__restore_bn="recalibrate")
ON, OFF = (True, True), (False, False)


def flags() -> tuple[bool, bool]:
    """Of matrix products and of convolutions."""
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.fixture(autouse=True)
def _numerics() -> Iterator[None]:
    """As a process begins, and then as it was before."""
    before = flags()
    set_numerics(CPU)
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


class Seen:
    """Where a convolution of a run computes -> the flags it saw: `train`, `backward`, `evaluate` and `event`,
    which is all that is computed for drops and restores."""

    def __init__(self, run: Chain, patch: pytest.MonkeyPatch) -> None:
        self.by_place: dict[str, list[tuple[bool, bool]]] = {}
        self.place = ""
        conv = run.networks.model.get_submodule("conv2")
        conv.register_forward_hook(lambda module, _x, y: self.pass_of(module.training, y))
        apply_event = TrialNetworks.apply_event

        def watched(networks: TrialNetworks, event: Any) -> None:
            self.place = "event"
            apply_event(networks, event)
            self.place = ""

        patch.setattr(TrialNetworks, "apply_event", watched)

    def pass_of(self, training: bool, y: torch.Tensor) -> None:
        self.note(self.place or ("train" if training else "evaluate"))
        if y.requires_grad:
            y.register_hook(lambda _: self.note(self.place or "backward"))

    def note(self, place: str) -> None:
        self.by_place.setdefault(place, []).append(flags())


@pytest.mark.parametrize("captured", [False, True])
def test_every_pass_of_a_trial_in_tf32_sees_it_and_no_event(
    monkeypatch: pytest.MonkeyPatch, store: StateStore, captured: bool
) -> None:
    """Forward and backward, also while a step is warmed up and captured, and evaluations. Scores by gradients
    and statistics that are measured anew are in float32."""
    if captured:
        monkeypatch.setattr(cuda_graph, "why_eager", lambda *_: None)
        monkeypatch.setattr(cuda_graph, "capture_on_cuda", Capture())
    run = Chain(TF32, LOADED_DATA, store)
    seen = Seen(run, monkeypatch)
    go(run)
    run.test()
    assert run.finished and run.networks.how == ("CUDA graph" if captured else "")
    n = 4 if captured else STEPS  # a replay calls no module
    assert seen.by_place["train"] == seen.by_place["backward"] == [ON] * n
    assert set(seen.by_place["evaluate"]) == {ON} and len(seen.by_place["evaluate"]) >= 7
    assert set(seen.by_place["event"]) == {OFF} and len(seen.by_place["event"]) >= 8
    assert flags() == OFF


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_trial_beside_it_does_not_see_it(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    """A worker holds two attempts at once: here each trains a segment in turn."""
    one, other = Chain(TF32, LOADED_DATA), Chain(spec(training__precision=precision), LOADED_DATA)
    seen = [Seen(run, monkeypatch) for run in (one, other)]
    updates = [iter(run) for run in (one, other)]
    while not (one.finished and other.finished):
        for each in updates:
            next(each, None)
    assert {place: set(found) for place, found in seen[1].by_place.items() if place != "event"} == {
        "train": {OFF}, "backward": {OFF}, "evaluate": {OFF},
    }  # fmt: skip
    assert set(seen[0].by_place["train"]) == {ON}


@pytest.mark.parametrize("where", ["forward", "backward", "evaluate"])
def test_what_fails_does_not_leave_it_on(where: str) -> None:
    """Too little memory, a network that raises: the next trial of the process may be in float32."""

    def fail(*_: Any) -> None:
        raise MemoryError

    networks = Chain(TF32, LOADED_DATA).networks
    x, y = torch.randn(16, *networks.task.input_shape), torch.arange(16) % 10
    fc = networks.model.get_submodule("fc")
    if where == "backward":
        fc.register_full_backward_hook(fail)
    else:
        fc.register_forward_hook(fail)
    with pytest.raises(MemoryError):
        _ = networks.evaluate(networks.task.val) if where == "evaluate" else networks.step(x, y)
    assert flags() == OFF


def test_on_a_cpu_it_is_float32() -> None:
    """Bit for bit; only the specification, and so the name of a state, differs."""
    fp32, tf32 = finish(spec()), finish(spec(training__precision="tf32"))
    assert fp32.names[-1] != tf32.names[-1]
    assert_same_end(fp32, tf32)
