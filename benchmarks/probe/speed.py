"""Seconds per epoch: graphs and eager steps, whole segments, the plain loop, and what parts of a step cost.

`benchmarks.gpu` compares the same in processes of their own, in turn; here one process measures one after another,
which is soon done.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu import EPOCH, ESTIMATED_SECONDS, GOAL_RATIO, GOAL_SECONDS, TOLD
from benchmarks.machine import cores
from benchmarks.plain_loop import PlainLoop, set_precision
from benchmarks.probe.results import Results, Skipped
from benchmarks.probe.trials import Trials
from reprtune.spec.edit import changed
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.trial_networks import TrialNetworks
from reprtune.training.platform.device import set_numerics, threads

MODELS = ("convnet-3", "resnet-20")
KINDS = ("bf16", "tf32", "fp32")
SECONDS = 15.0  # that one measurement may need
COMPILE_SECONDS = 80.0
TOP = 14  # kernels that are named
EPOCH_STEPS = 351  # of nine tenths of 50,000 images: the rest is for validation


def count_outside(networks: TrialNetworks) -> None:
    """As a trial does it: BatchNorms count their batches outside of the step."""
    networks.members[0].counters.set_aside(0)


def count_inside(_networks: TrialNetworks) -> None:
    """As torch does it."""


def without_hold(networks: TrialNetworks) -> None:
    count_outside(networks)
    networks.network.hold = lambda: None  # type: ignore[method-assign]


def compiled(networks: TrialNetworks) -> None:
    count_outside(networks)
    networks.network.forward = torch.compile(networks.model)  # type: ignore[method-assign]


LEVERS = {"as it is": count_outside, "without hold": without_hold, "counting in the step": count_inside}


class Timer:
    """Seconds per step of a trial.

    Args:
        prepare: what is done to it before its first step.

    Attributes:
        host: those that Python and the driver took: a step cannot be shorter, whatever the GPU.
        first_seconds: the first steps took: choice of algorithms, warm-up, capture.
    """

    def __init__(
        self, trials: Trials, run: Chain, prepare: Callable[[TrialNetworks], None] = count_outside
    ) -> None:
        self.trials, self.networks, self.host = trials, run.networks, 0.0
        self.networks.model.train()
        prepare(self.networks)
        self.networks.batches.start_epoch(torch.Generator().manual_seed(0))
        begun = time.perf_counter()
        self.steps(3)
        trials.wait()
        self.first_seconds = time.perf_counter() - begun

    def steps(self, n: int) -> None:
        for i in range(n):
            self.networks.members[0].step.lr.fill_(0.01)
            self.networks.members[0].stepper(i % self.networks.batches.steps_per_epoch)

    def best(self, n: int, repeats: int = 3) -> float:
        """Of `repeats` rounds of `n` steps."""
        whole, host = [], []
        for _ in range(repeats):
            self.trials.wait()
            begun = time.perf_counter()
            self.steps(n)
            host.append((time.perf_counter() - begun) / n)
            self.trials.wait()
            whole.append((time.perf_counter() - begun) / n)
        self.host = min(host)
        return min(whole)


def _note(
    results: Results, trials: Trials, model: str, what: str, seconds: float, timer: Timer | None = None
) -> float:
    """Seconds of a step, as those of an epoch."""
    host = f", host {1e6 * timer.host:.0f} us" if timer else ""
    remark = f"({1e6 * seconds:.0f} us a step{host})"
    return results.epoch(model, what, seconds * EPOCH / trials.batch_size, remark)


def _some(trials: Trials, names: tuple[str, ...], on_cpu: str) -> tuple[str, ...]:
    """On a CPU one of them."""
    return names if trials.on_cuda else (on_cpu,)


def steps(results: Results, trials: Trials) -> None:
    """Steps alone, by graph and eager, in each precision."""
    for model in _some(trials, MODELS, "convnet-3"):
        for kind in _some(trials, KINDS, "fp32"):
            if results.left() < SECONDS:
                results.leave_out(f"{model} {kind}")
            else:
                _graph_and_eager(results, trials, model, kind)


def _graph_and_eager(results: Results, trials: Trials, model: str, kind: str) -> None:
    n = 200 if trials.on_cuda else 2
    spec = trials.large(model, kind, 10)
    timer = Timer(trials, trials.run(spec))
    graph = timer.best(n)
    seconds = _note(results, trials, model, f"graph {kind}", graph, timer)
    results.say(f"      {timer.networks.how}; its first steps took {timer.first_seconds:.2f} s")
    if trials.on_cuda and f"graph {kind}" == TOLD:
        wanted = f"estimated {ESTIMATED_SECONDS[model]:g}, goal with fused kernels {GOAL_SECONDS[model]:g}"
        results.say(f"      {seconds:.3f} s on this GPU; on an H200: {wanted}")
    timer = Timer(trials, trials.run(spec, "eager"))
    eager = timer.best(max(2, n // 4))
    _note(results, trials, model, f"eager {kind}", eager, timer)
    if trials.on_cuda:
        results.check(f"a graph is faster: {model} {kind}", graph < eager, f"{eager / graph:.1f} times")


def kernels(results: Results, trials: Trials) -> None:
    """How many kernels a captured step has, how long they keep the GPU busy, and which take longest."""
    if not trials.on_cuda:
        raise Skipped("kernels of a GPU only")
    for model in MODELS:
        _name_kernels(results, Timer(trials, trials.run(trials.large(model, "bf16", 10))), model)


def _name_kernels(results: Results, timer: Timer, model: str) -> None:
    n = 3
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        timer.steps(n)
        timer.trials.wait()
    found = [e for e in profiled.key_averages() if e.self_device_time_total > 0]
    top = sorted(found, key=lambda e: -e.self_device_time_total)[:TOP]
    rows = [(e.key[:90], e.count / n, e.self_device_time_total / n) for e in top]
    count, busy = sum(e.count for e in found) / n, sum(e.self_device_time_total for e in found) / n
    results.note(f"kernels of {model}", {"per step": count, "busy us": busy, "top": rows})
    results.say(f"KERN  {model}: {count:.0f} kernels and copies a step, {busy:.0f} us busy")
    for name, times, microseconds in rows:
        results.say(f"      {microseconds:7.1f} us  x{times:5.1f}  {name}")


def levers(results: Results, trials: Trials) -> None:
    """What parts of a captured step cost, each left out or changed alone."""
    for model in _some(trials, MODELS, "convnet-3"):
        for name, prepare in LEVERS.items():
            if results.left() < SECONDS:
                results.leave_out(f"{model}, {name}")
                continue
            kind = "bf16" if trials.on_cuda else "fp32"
            timer = Timer(trials, trials.run(trials.large(model, kind, 10)), prepare)
            seconds = timer.best(200 if trials.on_cuda else 2)
            _note(results, trials, model, f"lever: {name}", seconds, timer)


def compile_(results: Results, trials: Trials) -> None:
    """Inductor's forward and backward pass inside the captured step."""
    if not trials.on_cuda:
        raise Skipped("it takes minutes on a CPU and says nothing about a GPU")
    for model in MODELS:
        if results.left() < COMPILE_SECONDS:
            results.leave_out(model)
            continue
        try:
            timer = Timer(trials, trials.run(trials.large(model, "bf16", 10)), compiled)
        except Exception as error:  # noqa: BLE001 - a compiler may be missing; nothing here depends on it
            results.leave_out(model, f"{type(error).__name__}: {error}"[:200])
            continue
        results.say(
            f"      {model}: compiled and captured in {timer.first_seconds:.0f} s; {timer.networks.how}"
        )
        _note(results, trials, model, "lever: compiled", timer.best(200), timer)


def plain(results: Results, trials: Trials) -> None:
    """The loop that others write, with TF32 for convolutions as torch has it, and in bf16."""
    with np.load(trials.images(10_000 if trials.on_cuda else 400, 32, 3)) as arrays:
        x, y = np.ascontiguousarray(arrays["x_train"].transpose(0, 2, 3, 1)), arrays["y_train"]
    for model in _some(trials, MODELS, "convnet-3"):
        for kind in _some(trials, ("tf32", "bf16"), "fp32"):
            if results.left() < SECONDS:
                results.leave_out(f"{model} {kind}")
                continue
            with _numerics_of(kind, trials), threads(cores()):
                seconds = _plain_step(trials, model, kind, x, y)
            epoch = _note(results, trials, model, f"plain loop {kind}", seconds)
            told = results.epoch_seconds[model].get(TOLD)
            if told:
                results.say(
                    f"      {TOLD} is {epoch / told:.1f} times as fast; the goal is {GOAL_RATIO:g} against tf32"
                )


@contextlib.contextmanager
def _numerics_of(kind: str, trials: Trials):  # type: ignore[no-untyped-def]
    set_precision(kind)
    try:
        yield
    finally:
        set_numerics(trials.device)


def _plain_step(trials: Trials, model: str, kind: str, x: np.ndarray, y: np.ndarray) -> float:
    """Seconds of one."""
    warm, n = (20, 70) if trials.on_cuda else (1, 2)
    loop = PlainLoop(
        model, x, y, batch_size=trials.batch_size, precision=kind, device=trials.device,
        num_workers=min(8, cores()) if trials.on_cuda else 0,
    )  # fmt: skip
    loop.train(warm)
    trials.wait()
    begun = time.perf_counter()
    loop.train(n)
    trials.wait()
    return (time.perf_counter() - begun) / n


def whole(results: Results, trials: Trials) -> None:
    """Epochs as `train` has them: draws, steps, the evaluation of a tenth of the images; full, sub, full."""
    for model in _some(trials, MODELS, "convnet-3"):
        if results.left() < SECONDS:
            results.leave_out(model)
            continue
        n_steps, kind, n = (EPOCH_STEPS, "bf16", 50_000) if trials.on_cuda else (2, "fp32", None)
        run = trials.run(trials.large(model, kind, n_steps, n))
        seconds, last = [], time.perf_counter()
        for update in run:
            trials.wait()
            now = time.perf_counter()
            if update.kind == "segment":
                seconds.append(now - last)
            last = now
        results.note(f"whole epochs of {model}", seconds)
        results.say(f"TIME  {model:10} {n_steps} steps, full/sub/full: {[round(s, 3) for s in seconds]} s")


def streams(results: Results, trials: Trials) -> None:
    """Several trials of one process, a graph and a stream each: would it pay? Only times are meant: graphs
    that run at once share what cuBLAS works in."""
    if not trials.on_cuda:
        raise Skipped("streams of a GPU only")
    n = 100
    for model in MODELS:
        runs = [trials.run(changed(trials.large(model, "bf16", 10), {"seed": seed})) for seed in range(8)]
        timers = [Timer(trials, run) for run in runs]
        for count in (1, 2, 4, 8):
            if results.left() < SECONDS:
                results.leave_out(f"{model} on {count} streams")
                continue
            seconds = _on_streams(trials, timers[:count], n)
            _note(results, trials, model, f"on {count} streams, each", seconds / count)


def _on_streams(trials: Trials, timers: list[Timer], n: int) -> float:
    """Seconds that a step of all of them takes."""
    own = [torch.cuda.Stream(trials.device) for _ in timers]  # type: ignore[no-untyped-call]
    trials.wait()
    begun = time.perf_counter()
    for i in range(n):
        for timer, stream in zip(timers, own, strict=True):
            with torch.cuda.stream(stream):
                timer.networks.members[0].stepper(i % timer.networks.batches.steps_per_epoch)
    trials.wait()
    return (time.perf_counter() - begun) / n
