"""What only a GPU can show: `make gpu-check` runs these, and fails where there is no GPU."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reprtune.settings import Settings
from reprtune.spec.trial import TrialSpec
from reprtune.states.store import StateStore
from reprtune.training.chain import state
from reprtune.training.chain.chain import Chain, LoadedData
from reprtune.training.chain.train_one import train_one
from reprtune.training.chain.trial_networks import Interrupted
from reprtune.training.data.batches import Batches
from reprtune.training.descent.cuda_graph import Eager, GraphStep, waiting_refused
from reprtune.training.descent.step import Step
from reprtune.training.platform.device import set_numerics, tf32
from tests.conftest import ROOT
from tests.training.hand_sliced import SmallConvNet, convnet_indices, cut, fill, outside, plain_sgd
from tests.training.tiny import SPEC, STEPS, go, same_bits, spec, until

pytestmark = pytest.mark.cuda
DEVICE = torch.device("cuda")
ADAM = {"training.optimizer": "adam", "training.lr": 1e-3}
ADAMW = {"training.optimizer": "adamw", "training.lr": 1e-3}
BY_FILTER = {"training.bias_correction": "filter"}
TRIALS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "sgd without momentum": {"training.momentum": 0.0},
    "nesterov": {"training.nesterov": True},
    "adam": ADAM,
    "adamw": ADAMW,
    "adam by filter": ADAM | BY_FILTER,
    "adamw by filter": ADAMW | BY_FILTER,
    "all in the loss": {
        "training.label_smoothing": 0.1,
        "method.losses": "overlap",
        "method.ortho_penalty": 1e-3,
    },
    "srip": {"method.losses": "srip", "method.srip_until": "12it"},
    "ortho-reg": {"method.losses": "ortho-reg"},
    "all augmentations": {"task.augment": "crop+flip+cutout", "task.cutout": 3},
    "resnet": {"model.name": "resnet-8", "model.width": 8},
    "resnet, tf32": {"model.name": "resnet-8", "model.width": 8, "training.precision": "tf32"},
    "clusters": {
        "method": "c-sgd",
        "method.pull": 1.0,
        "method.start": 0.5,
        "method.cluster_by": "even",
    },
    "sgd, bf16": {"training.precision": "bf16"},
    "sgd, fp16": {"training.precision": "fp16"},
    "adam by filter, fp16": ADAM | BY_FILTER | {"training.precision": "fp16"},
}


@pytest.fixture(scope="module")
def loaded_data() -> LoadedData:
    set_numerics(DEVICE)
    torch.backends.cudnn.benchmark = False  # which algorithm wins must not differ between two sides
    return LoadedData(Path("nowhere"), DEVICE)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRTUNE_GRAPH", "off")


def trained(trial: TrialSpec, loaded_data: LoadedData, store: StateStore | None = None) -> Chain:
    run = Chain(trial, loaded_data, store)
    go(run)
    assert run.finished and not run.diverged
    return run


def tensors(run: Chain) -> dict[str, Tensor]:
    return state.decode(run.networks.save())[0]


def assert_close_end(run: Chain, other: Chain, tolerance: float) -> None:
    """The same filters were dropped and restored, and no tensor is further away than rounding explains."""
    assert [d.dropped for d in run.history.drops] == [d.dropped for d in other.history.drops]
    a, b = tensors(run), tensors(other)
    assert set(a) == set(b)
    far = {}
    for name, tensor in a.items():
        one, two = tensor.double(), b[name].double()
        distance = float((one - two).norm() / two.norm().clamp(min=1e-2))
        if not distance <= tolerance:
            far[name] = distance
    assert not far


@pytest.mark.parametrize("name", TRIALS)
def test_a_captured_trial_is_the_eager_one(
    loaded_data: LoadedData, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Full network, sub-network, full, sub, full: one graph, within rounding of one kernel after another."""
    trial = spec(**TRIALS[name])
    run = trained(trial, loaded_data)
    assert run.networks.how == "CUDA graph" and isinstance(run.networks.stepper, GraphStep)
    monkeypatch.setenv("REPRTUNE_GRAPH", "off")
    other = trained(trial, loaded_data)
    assert other.networks.how == "eager: REPRTUNE_GRAPH is off" and isinstance(other.networks.stepper, Eager)
    half = trial.training.precision != "fp32"
    assert_close_end(run, other, tolerance=0.1 if half else 0.01)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is one GPU")
def test_a_captured_trial_on_the_last_gpu_is_the_eager_one(
    loaded_data: LoadedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the first is the current one, which it stays."""
    last = torch.device("cuda", torch.cuda.device_count() - 1)
    there = LoadedData(Path("nowhere"), last)
    run = trained(SPEC, there)
    assert run.networks.how == "CUDA graph" and torch.cuda.current_device() == 0
    monkeypatch.setenv("REPRTUNE_GRAPH", "off")
    assert_close_end(run, trained(SPEC, there), tolerance=0.01)


def test_tf32_rounds_what_is_multiplied_and_fp32_does_not(loaded_data: LoadedData) -> None:
    """To 10 bits after the point, in matrix products and in convolutions, against float64."""
    draw = torch.Generator().manual_seed(0)
    x, w = (torch.randn(size, generator=draw) for size in ((16, 64, 32, 32), (64, 64, 3, 3)))
    a = torch.randn(1024, 1024, generator=draw)
    calls = {"matmul": (torch.mm, a, a), "conv": (F.conv2d, x, w)}

    def errors() -> dict[str, float]:
        found = {}
        for name, (call, *given) in calls.items():
            exact = call(*(tensor.double() for tensor in given))
            found[name] = float((call(*(t.to(DEVICE) for t in given)).cpu() - exact).norm() / exact.norm())
        return found

    before = errors()
    with tf32():
        inside = errors()
    for error in (before, errors()):
        assert all(value < 1e-5 for value in error.values()), error
    assert all(1e-5 < value < 1e-2 for value in inside.values()), inside


def test_dropout_is_drawn_as_in_eager_steps(loaded_data: LoadedData, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generator's seed and offset are those of each replay; without dropout the losses differ."""

    def losses(dropout: float) -> list[float]:
        run = Chain(SPEC, loaded_data)
        run.networks.model.register_forward_hook(
            lambda model, _, out: F.dropout(out, dropout, model.training)
        )
        go(run)
        return [point.train_loss for point in run.history.points]

    captured, without = losses(0.5), losses(0.0)
    monkeypatch.setenv("REPRTUNE_GRAPH", "off")
    assert captured == pytest.approx(losses(0.5), rel=1e-3)
    assert captured != pytest.approx(without, rel=1e-2)


def test_a_network_that_waits_is_trained_eagerly(loaded_data: LoadedData) -> None:
    """Reading a number in the forward pass rules a graph out, and the trial says so."""
    run = Chain(SPEC, loaded_data)
    run.networks.model.register_forward_hook(
        lambda _m, _i, out: out * (1.0 if float(out.detach().sum()) < 1e30 else 0.0)
    )
    go(run)
    assert run.finished
    assert run.networks.how == "eager: a step of this network waits for the device"


FAILED_CAPTURE = """
import os
from pathlib import Path
import torch
from reprtune.training.platform.device import open_device
from reprtune.training.descent.cuda_graph import CaptureFailed
from reprtune.training.chain.chain import Chain, LoadedData
from reprtune.settings import Settings
from tests.training.tiny import SPEC, go
run = Chain(SPEC, LoadedData(Path("nowhere"), open_device(Settings(device="cuda"))))
def synchronize(_model, _x, y):
    if torch.cuda.is_current_stream_capturing():
        torch.cuda.synchronize()
    return y
run.networks.model.register_forward_hook(synchronize)
before = torch.cuda.current_stream()
try:
    go(run)
except CaptureFailed as error:
    print(torch.cuda.current_stream() == before, error.hint, error.message, flush=True)
    os._exit(0)  # whatever CUDA thinks of it
"""


def test_a_capture_that_fails_says_so() -> None:
    """In a process of its own, for it may not be used any more: the error names torch's reason and the switch,
    and the current stream is the one of before."""
    said = subprocess.run(
        [sys.executable, "-c", FAILED_CAPTURE], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert said.startswith("True Set REPRTUNE_GRAPH=off") and "captur" in said.split("CUDA graph:")[1]


def test_a_finished_trial_gives_its_memory_back(loaded_data: LoadedData) -> None:
    """Weights, optimizer and graph; only what the process keeps for all of them stays."""
    sizes = []
    for seed in range(4):
        trained(spec(**{"model.name": "resnet-8", "model.width": 32, "seed": seed}), loaded_data)
        gc.collect()
        torch.cuda.empty_cache()
        sizes.append(torch.cuda.memory_reserved())
    assert sizes[-1] - sizes[0] < 8 << 20


@pytest.mark.parametrize("steps", [4, 12, 20])
def test_a_trial_goes_on_from_a_stored_state(loaded_data: LoadedData, tmp_path: Path, steps: int) -> None:
    """Interrupted in a full phase, a sub-network phase, and after a restore."""
    store = StateStore(tmp_path, "me")
    with pytest.raises(Interrupted):
        go(Chain(SPEC, loaded_data, store, should_stop=until(steps)))
    run = trained(SPEC, loaded_data, store)
    assert run.steps_spent == STEPS - steps
    assert_close_end(run, trained(SPEC, loaded_data), tolerance=0.01)


DETERMINISTIC = """
import hashlib, sys
from pathlib import Path
from reprtune.settings import Settings
from reprtune.states.store import StateStore
from reprtune.training.chain import state
from reprtune.training.chain.train_one import train_one
from tests.training.tiny import spec
trial = spec(**{"task.augment": "crop+flip", "model.name": "resnet-8", "model.width": 8})
settings = Settings(runs_dir=Path(sys.argv[1]), device="cuda", deterministic=True)
result = train_one(trial, settings, lambda *_: None, test=True)
payload = StateStore(settings.states).get(Path(result["state"]).stem)
tensors, _ = state.decode(payload)
sha = hashlib.sha256()
for name in sorted(tensors):
    sha.update(name.encode() + tensors[name].numpy().tobytes())
print(sha.hexdigest(), result["test_error"], result["device"])
"""


def test_deterministic_means_the_same_bits(tmp_path: Path) -> None:
    """Two processes with --deterministic end in the same weights, statistics and errors."""
    said = [
        subprocess.run(
            [sys.executable, "-c", DETERMINISTIC, str(tmp_path / name)],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout
        for name in ("one", "two")
    ]  # fmt: skip
    assert said[0] == said[1] and "deterministic" in said[0]


@pytest.fixture
def little_memory() -> Iterator[Any]:
    """`limit(n)`: the allocator gets n bytes beyond those it has."""

    def limit(n_bytes: int) -> None:
        gc.collect()
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(DEVICE).total_memory
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + n_bytes) / total)

    yield limit
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize("n_bytes", [0, 64 << 20])
def test_too_little_memory_has_its_outcome_and_the_next_trial_works(
    tmp_path: Path, little_memory: Any, n_bytes: int
) -> None:
    """While data load, and in a step whose batch is far too big; in the same process then a trial that fits."""
    settings = Settings(runs_dir=tmp_path, device="cuda")
    large = {"model.name": "resnet-20", "model.width": 64, "task.train_images": 1024}
    trial = spec(**large, **{"training.batch_size": 1024, "method.s1": "2it", "method.s2": "2it"})
    little_memory(n_bytes)
    result = train_one(trial, settings, lambda *_: None, test=False)
    assert result["outcome"] == "out-of-memory"
    assert result["steps"] == 0
    torch.cuda.set_per_process_memory_fraction(1.0)
    assert train_one(SPEC, settings, lambda *_: None, test=True)["outcome"] == "complete"


def test_the_sub_network_is_the_one_built_by_hand(loaded_data: LoadedData) -> None:
    """Captured steps on the sub-network against a network of the kept filters alone, trained by plain SGD on
    the same batches; of the dropped filters not a bit moves."""
    trial = spec(**{"training.weight_decay": 0.01})
    run = Chain(trial, loaded_data)
    for update in run:
        if update.kind == "event":
            break
    networks, batches = run.networks, run.networks.batches
    assert not networks.network.is_full
    keep = {name: networks.network.keep[numbers] for name, numbers in networks.filters.slices().items()}
    kept = [mask.nonzero().flatten() for mask in keep.values()]
    indices = convnet_indices(kept, bn=True)
    widths = [len(rows) for rows in kept]
    small = SmallConvNet(networks.task.input_shape[0], widths, networks.task.n_classes, True, set()).to(
        DEVICE
    )
    fill(small, networks.model, indices)
    rates = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}
    optimizer = plain_sgd(small, networks.network.state["momentum"], indices, **rates)
    whole = networks.model.state_dict()
    frozen = {name: outside(whole[name], index).clone() for name, index in indices.items()}
    networks.step.lr.fill_(0.05)
    networks.model.train()
    for index in range(STEPS // 8):
        train_by_hand(small, optimizer, batches, index)
        networks.stepper(index)
        for name, where in indices.items():
            torch.testing.assert_close(
                cut(whole[name], where), small.state_dict()[name], rtol=1e-3, atol=1e-4, msg=name
            )
            assert same_bits(outside(whole[name], where).cpu(), frozen[name].cpu()), name


def train_by_hand(
    small: SmallConvNet, optimizer: torch.optim.Optimizer, batches: Batches, index: int
) -> None:
    x, y = batches.batch(index)
    optimizer.zero_grad()
    F.cross_entropy(small(x), y).backward()
    optimizer.step()


def test_a_step_does_not_wait_for_the_device(loaded_data: LoadedData, eager: None) -> None:
    """In torch's sync debug mode, which raises at every wait: eager steps of each optimizer and precision."""
    for changes in TRIALS.values():
        run = Chain(spec(**changes), loaded_data)
        step, batches = run.networks.step, run.networks.batches
        assert isinstance(step, Step)
        batches.start_epoch(torch.Generator().manual_seed(0))
        step(*batches.batch(0))  # what is set up only once may wait
        with waiting_refused():
            for index in range(1, 4):
                step(*batches.batch(index))
