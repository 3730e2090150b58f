"""Is a captured trial the eager one, does what is dropped hold still, is fp32 fp32? Each within one process."""

from __future__ import annotations

import contextlib
import copy
import gc
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.probe.results import Results, Skipped
from benchmarks.probe.trials import TINY_STEPS, Trials, distance, finish, tensors
from reprtune.states.store import StateStore
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.trial_networks import Interrupted
from reprtune.training.data.batches import evaluation_batches
from reprtune.training.platform.device import is_out_of_memory, release_cached_memory

ADAM = {"training.optimizer": "adam", "training.lr": 1e-3}
BY_FILTER = {"training.bias_correction": "filter"}
RESNET = {"model.name": "resnet-8", "model.width": 8}
FIRST: dict[str, dict[str, Any]] = {"sgd": {}, "resnet-8 in bf16": RESNET | {"training.precision": "bf16"}}
FURTHER: dict[str, dict[str, Any]] = {
    "resnet-8 in tf32": RESNET | {"training.precision": "tf32"},
    "adam by filter": ADAM | BY_FILTER,
    "fp16": {"training.precision": "fp16"},
    "all augmentations": {"task.augment": "crop+flip+cutout", "task.cutout": 3},
    "all in the loss": {
        "training.label_smoothing": 0.1,
        "method.losses": "overlap",
        "method.ortho_penalty": 1e-3,
    },
    "weights-only": {"method.drop": "weights-only"},
    "adam": ADAM,
    "adamw": ADAM | {"training.optimizer": "adamw"},
    "nesterov": {"training.nesterov": True},
    "no momentum": {"training.momentum": 0.0},
    "pooled": {"model.pool": True},
    "adam by filter in fp16": ADAM | BY_FILTER | {"training.precision": "fp16"},
}
ROUNDING = {"fp32": 0.01}  # largest relative distance of a tensor at the end; of the others:
COARSE = 0.1
SECONDS = 20.0  # that one comparison may need
TF32 = (2e-5, 2e-2)  # error of a product with 10 bits of mantissa; fp32 is below, and nothing should be above


def same(results: Results, trials: Trials) -> None:
    """A captured trial is the eager one: full network, sub-network, full, sub, full, by one graph."""
    _compare(results, trials, FIRST)


def variants(results: Results, trials: Trials) -> None:
    """The same of every optimizer, precision and way to drop."""
    _compare(results, trials, FURTHER if trials.on_cuda else dict(itertools.islice(FURTHER.items(), 2)))


def _compare(results: Results, trials: Trials, variants: dict[str, dict[str, Any]]) -> None:
    with _one_algorithm():
        for name, changes in variants.items():
            if results.left() < SECONDS:
                results.leave_out(name)
            else:
                _compare_one(results, trials, name, changes)


@contextlib.contextmanager
def _one_algorithm() -> Iterator[None]:
    """cuDNN measures none, so that both sides of a comparison take the same."""
    before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def _compare_one(results: Results, trials: Trials, name: str, changes: dict[str, Any]) -> None:
    spec = trials.tiny(**changes)
    graph, eager = (finish(trials.run(spec, how)) for how in ("graph", "eager"))
    far, where = distance(tensors(graph), tensors(eager))
    same_drops = [d.dropped for d in graph.history.drops] == [d.dropped for d in eager.history.drops]
    loss = graph.history.points[-1].train_loss
    ok = far <= ROUNDING.get(spec.training.precision, COARSE) and same_drops and 0 < loss < 10
    detail = (
        f"distance {far:.1e} ({where}), the same drops: {same_drops}, loss {loss:.3f}, {graph.networks.how}"
    )
    results.check(f"graph = eager: {name}", ok and graph.networks.how == "CUDA graph", detail)


def held(results: Results, trials: Trials) -> None:
    """Steps by a graph move no bit of what belongs to dropped filters, and they move the rest."""
    run = trials.run(trials.tiny(**RESNET, **{"training.weight_decay": 0.01}))
    for update in run:
        if update.kind == "event":
            break
    networks, network = run.networks, run.networks.network
    groups = {"": {**network.parameters, **network.buffers}, **network.state}
    masks = network.absent_regions()
    places = [(kind, name) for kind, group in groups.items() for name in masks if name in group]
    before = {place: groups[place[0]][place[1]].detach().clone() for place in places}
    networks.model.train()
    networks.members[0].step.lr.fill_(0.05)
    networks.batches.start_epoch(torch.Generator().manual_seed(1))
    for index in range(6):
        networks.members[0].stepper(index)
    trials.wait()
    still, moved = [], []
    for place, old in before.items():
        new = groups[place[0]][place[1]].detach()
        gone = (masks[place[1]] == 0).expand_as(old)
        still.append(torch.equal(new[gone], old[gone]))
        moved.append(not torch.equal(new[~gone], old[~gone]))
    results.check("dropped filters hold still", all(still) and any(moved), f"{len(places)} tensors")


def resume(results: Results, trials: Trials) -> None:
    """Stopped in a full phase, a sub-network phase and after a restore, and continued."""
    spec = trials.tiny()
    whole = tensors(finish(trials.run(spec)))
    for steps in (4, 12, 20):
        store = StateStore(trials.folder / f"states-{steps}", "probe")
        with contextlib.suppress(Interrupted):
            finish(trials.run(spec, store=store, should_stop=_after(steps)))
        run = finish(trials.run(spec, store=store))
        far, where = distance(tensors(run), whole)
        ok = far <= ROUNDING["fp32"] and run.steps_spent == TINY_STEPS - steps
        results.check(f"goes on after step {steps}", ok, f"distance {far:.1e} ({where})")


def _after(steps: int) -> Callable[[], bool]:
    asked = itertools.count()
    return lambda: next(asked) >= steps


def dropout(results: Results, trials: Trials) -> None:
    """Each replay draws anew, and what an eager step would draw."""
    if not trials.on_cuda:
        raise Skipped("a recording cannot play the generator")
    graph, eager, without = (
        _losses(trials, how, share) for how, share in (("graph", 0.5), ("eager", 0.5), ("graph", 0.0))
    )
    near = all(abs(a - b) < 2e-3 * abs(b) for a, b in zip(graph, eager, strict=True))
    detail = f"{graph[0]:.5f}, eager {eager[0]:.5f}, without dropout {without[0]:.5f}"
    results.check("dropout in a graph", near and graph != without, detail)


def _losses(trials: Trials, how: str, share: float) -> list[float]:
    run = trials.run(trials.tiny(), how)
    run.networks.model.register_forward_hook(lambda model, _, out: F.dropout(out, share, model.training))
    return [point.train_loss for point in finish(run).history.points]


def precisions(results: Results, trials: Trials) -> None:
    """fp32 is fp32, tf32 is what the tensor cores make of it, and one trial does not change the next."""
    errors = {}
    for precision in ("fp32", "tf32", "fp32 again"):
        run = trials.run(trials.large("resnet-20", precision.split()[0], 2))
        errors[precision] = _error_of_logits(trials, run)
    strict = max(errors["fp32"], errors["fp32 again"])
    results.check("fp32 is fp32", strict < TF32[0], f"relative error {strict:.1e}")
    on_tensor_cores = trials.on_cuda and torch.cuda.get_device_capability(trials.device) >= (8, 0)
    low = TF32[0] if on_tensor_cores else 0.0
    detail = f"relative error {errors['tf32']:.1e}" + ("" if on_tensor_cores else ", no TF32 here")
    results.check("tf32 uses the tensor cores", low <= errors["tf32"] < TF32[1], detail)


@torch.no_grad()
def _error_of_logits(trials: Trials, run: Chain) -> float:
    """Of a batch in the precision of the trial, to float64 on the CPU."""
    networks = run.networks
    x, _ = next(
        evaluation_batches(networks.task.val, networks.task.mean, networks.task.std, trials.batch_size)
    )
    networks.model.eval()
    with networks.members[0].step.autocast():
        found = networks.network.forward(x).double().cpu()
    exact = copy.deepcopy(networks.model).cpu().double()(x.cpu().double())
    return float((found - exact).norm() / exact.norm())


def memory(results: Results, trials: Trials) -> None:
    """What does not fit says so, and the next trial of the process works."""
    if not trials.on_cuda:
        raise Skipped("memory of a GPU only")
    large = {"model.name": "resnet-20", "model.width": 128, "training.batch_size": 128}
    with _little_memory(trials.device, 64 << 20):
        error = _failure(lambda: finish(trials.run(trials.tiny(**large))))
    release_cached_memory()
    ok = error is not None and is_out_of_memory(error) and finish(trials.run(trials.tiny())).finished
    results.check("too little memory, then a trial that fits", ok, type(error).__name__)


def _failure(call: Callable[[], object]) -> Exception | None:
    try:
        call()
    except Exception as error:  # noqa: BLE001 - whatever comes is what is asked for
        return error
    return None


@contextlib.contextmanager
def _little_memory(device: torch.device, n_bytes: int) -> Iterator[None]:
    gc.collect()
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(device) + n_bytes) / whole, device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


def leak(results: Results, trials: Trials) -> None:
    """The memory of a finished trial and of its graph comes back, before anybody collects garbage."""
    if not trials.on_cuda:
        raise Skipped("memory of a GPU only")
    sizes = []
    for _ in range(4):
        finish(trials.run(trials.large("resnet-20", "bf16", 2)))
        torch.cuda.empty_cache()
        sizes.append(torch.cuda.memory_reserved(trials.device) >> 20)
    results.note("reserved MiB after each trial", sizes)
    results.check(
        "finished trials give their memory back", sizes[-1] - sizes[0] < 64, f"MiB after each: {sizes}"
    )
