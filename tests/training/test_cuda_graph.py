"""A step as one graph: everything that varies is a tensor changed in place, and capturing leaves no trace."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reprtune.errors import SpecError
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.plan import Segment
from reprtune.training.chain.trial_networks import Interrupted, TrialNetworks
from reprtune.training.descent import cuda_graph
from reprtune.training.descent.cuda_graph import Eager, GraphStep, Waits, undone, why_eager
from reprtune.training.platform.device import describe
from tests.training.recorded import Capture, Recording
from tests.training.tiny import (
    CPU,
    LOADED_DATA,
    SPEC,
    STEPS,
    assert_same_end,
    finish,
    go,
    same_bits,
    spec,
    trial_networks,
    until,
)

TRIALS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "sgd without momentum": {"training.momentum": 0.0, "method.drop": "weights-only"},
    "nesterov": {"training.nesterov": True, "training.lr_schedule": "cosine"},
    "adam": {"training.optimizer": "adam", "task.augment": "crop+flip+cutout", "task.cutout": 3},
    "adamw": {
        "training.optimizer": "adamw",
        "training.label_smoothing": 0.1,
        "method.losses": "overlap",
        "method.ortho_penalty": 1e-3,
    },
    "adam by filter": {"training.optimizer": "adam", "training.bias_correction": "filter"},
    "adamw by filter, bf16": {
        "training.optimizer": "adamw",
        "training.bias_correction": "filter",
        "training.precision": "bf16",
    },
    "sgd, fp16": {"training.precision": "fp16"},
    "adam by filter, fp16": {
        "training.optimizer": "adam",
        "training.bias_correction": "filter",
        "training.precision": "fp16",
    },
}


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch) -> Capture:
    """Every trial is captured, by a recording."""
    monkeypatch.setattr(cuda_graph, "why_eager", lambda *_: None)
    monkeypatch.setattr(cuda_graph, "capture_on_cuda", capture := Capture())
    return capture


def captured(trial: TrialSpec, monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[Chain, Capture]:
    """The trial, to its end or until it is asked to stop, by a recording."""
    with monkeypatch.context() as patch:
        patch.setattr(cuda_graph, "why_eager", lambda *_: None)
        patch.setattr(cuda_graph, "capture_on_cuda", capture := Capture())
        return finish(trial, **options), capture


@pytest.mark.parametrize("name", TRIALS)
def test_one_recording_trains_all_phases_as_eager_steps_do(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Two cycles with drop and restore, recorded at the first step and replayed at every step: weights,
    statistics, optimizer, histories are those of the eager trial bit for bit."""
    trial = spec(**TRIALS[name])
    run, capture = captured(trial, monkeypatch)
    assert (capture.n_captures, capture.n_replays) == (1, STEPS)
    assert run.networks.how == "CUDA graph"
    assert [point.phase for point in run.history.points] == ["full", "sub", "full", "sub", "full", "full"]
    assert_same_end(run, finish(trial))


def test_an_interrupted_trial_is_captured_again_and_ends_the_same(
    capture: Capture, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a state in the middle of the sub-network phase, in a new network with a graph of its own."""
    with pytest.raises(Interrupted):
        go(Chain(SPEC, LOADED_DATA, store, should_stop=until(12)))
    run = finish(SPEC, store)
    assert capture.n_captures == 2 and run.steps_spent == STEPS - 12
    monkeypatch.undo()
    assert_same_end(run, finish(SPEC))


def test_recording_sees_what_is_no_tensor_changed_in_place() -> None:
    """The stand-in is no rubber stamp: a learning rate that is replaced instead of changed, and a batch that
    is another tensor, do not reach a replay."""
    rate, x, total = torch.ones(()), torch.ones(3), torch.zeros(3)
    box = {"rate": rate}
    with Recording() as recording:
        total += box["rate"] * x
    total.zero_()
    box["rate"] = torch.full((), 5.0)
    recording.replay()
    assert total.tolist() == [1, 1, 1]
    rate.fill_(2)
    recording.replay()
    assert total.tolist() == [3, 3, 3]


def test_recording_refuses_what_waits() -> None:
    """Reading a number from a tensor is an error in a recording."""
    with pytest.raises(AssertionError, match="_local_scalar_dense"), Recording():
        float(torch.ones(()) + 1)


def everything(one: TrialNetworks) -> dict[str, Tensor]:
    tensors = {**one.model.state_dict(), **one.step.tensors(), "loss_sum": one.step.loss_sum}
    return {name: tensor.clone() for name, tensor in tensors.items()}


@pytest.mark.parametrize("name", ["sgd", "adam", "adam by filter, fp16"])
def test_what_warms_up_is_undone(name: str) -> None:
    """Weights, statistics, optimizer, scale, sum of losses and torch's random numbers are as before, in the
    same places."""
    one = trial_networks(spec(**TRIALS[name]))
    one.step.lr.fill_(0.1)
    x, y = torch.randn(16, *one.task.input_shape), torch.arange(16) % 10
    one.step(x, y)
    before, random = everything(one), torch.get_rng_state()
    places = {name: tensor.data_ptr() for name, tensor in one.model.state_dict().items()}
    with undone(one.step):
        one.step(x, y)
        torch.rand(3)
        moved = everything(one)
    after = everything(one)
    assert all(same_bits(after[key], before[key]) for key in before)
    assert not [key for key in dict(one.model.named_parameters()) if same_bits(moved[key], before[key])]
    assert torch.equal(torch.get_rng_state(), random)
    assert {n: t.data_ptr() for n, t in one.model.state_dict().items()} == places


def test_a_step_that_waits_is_run_eagerly_and_says_so() -> None:
    """The trial goes on without a graph, from where it was."""

    def refuse(body: Any, device: torch.device) -> Any:
        body()
        raise Waits("a step of this network waits for the device")

    one, other = trial_networks(), trial_networks()
    one.members[0].stepper = GraphStep(one.step, one.batches, refuse)
    for which in (one, other):
        which.batches.start_epoch(torch.Generator().manual_seed(0))
        which.step.lr.fill_(0.1)
        for index in range(3):
            which.stepper(index)
    assert one.how == "eager: a step of this network waits for the device"
    assert all(same_bits(a, everything(other)[key]) for key, a in everything(one).items())


class Resident:
    resident = True


class Streamed:
    resident = False


@pytest.mark.parametrize(
    ("batches", "device", "switch", "why"),
    [
        (Resident, "cuda", None, None),
        (Resident, "cuda", "on", None),
        (Resident, "cuda", "off", "REPRTUNE_GRAPH is off"),
        (Streamed, "cuda", None, "the data are streamed"),
        (Resident, "cpu", None, ""),
        (Streamed, "cpu", "off", ""),
    ],
)
def test_when_a_graph_is_taken(
    monkeypatch: pytest.MonkeyPatch, batches: Any, device: str, switch: str | None, why: str | None
) -> None:
    """On CUDA, with data that lie there, unless it is switched off; on a CPU there is no choice to tell of."""
    if switch is not None:
        monkeypatch.setenv("REPRTUNE_GRAPH", switch)
    assert why_eager(batches(), torch.device(device)) == why


def test_a_switch_that_is_neither_on_nor_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is refused with its name and both words."""
    monkeypatch.setenv("REPRTUNE_GRAPH", "maybe")
    with pytest.raises(SpecError, match="REPRTUNE_GRAPH must be on or off, but is 'maybe'"):
        why_eager(Resident(), torch.device("cuda"))  # type: ignore[arg-type]


def test_on_a_cpu_steps_are_eager_and_masks_are_not_static() -> None:
    """The full network is computed without masks, and the device's text tells of no graph."""
    one = trial_networks()
    assert isinstance(one.stepper, Eager) and not one.network.static
    assert one.how == "" and "graph" not in describe(CPU, one.how)


def test_dropout_draws_the_numbers_of_an_eager_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay draws from the generator as it stands, which each segment seeds anew."""

    def trained(dropout: float) -> dict[str, Tensor]:
        one = trial_networks()
        one.model.register_forward_hook(lambda model, _, out: F.dropout(out, dropout, model.training))
        one.train(Segment(0, 8, "full", 0), np.full(8, 0.05), lambda: False)
        return everything(one)

    eager, without = trained(0.5), trained(0.0)
    monkeypatch.setattr(cuda_graph, "why_eager", lambda *_: None)
    monkeypatch.setattr(cuda_graph, "capture_on_cuda", Capture())
    replayed = trained(0.5)
    assert all(same_bits(tensor, replayed[key]) for key, tensor in eager.items())
    assert not torch.equal(eager["loss_sum"], without["loss_sum"])


def waits(body: Any, device: torch.device) -> Any:
    """As `capture_on_cuda` where a warm-up step reads a number of a tensor."""
    body()
    try:
        raise RuntimeError("called a synchronizing CUDA operation")
    except RuntimeError as error:
        raise Waits("a step of this network waits for the device") from error


@pytest.mark.parametrize("capture", [Capture(), waits])
def test_a_network_that_nobody_needs_is_gone_at_once(capture: Any) -> None:
    """Captured or not: its memory on the device is free for the next trial without the garbage collector, which
    may come late, for it counts objects and not bytes."""
    one = trial_networks()
    one.members[0].stepper = GraphStep(one.step, one.batches, capture)
    one.batches.start_epoch(torch.Generator().manual_seed(0))
    for index in range(3):
        one.stepper(index)
    weight = one.model.get_parameter("conv1.weight")
    kept = [weakref.ref(x) for x in (one.stepper, one.step, one.network, one.step.optimizer)]
    gc.collect()
    gc.disable()
    try:
        del one, weight
        assert [ref() for ref in kept] == [None] * len(kept)
    finally:
        gc.enable()
