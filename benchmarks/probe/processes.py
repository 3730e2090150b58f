"""What may break a process, each in one of its own, all of them at once; what they find is compared here."""

from __future__ import annotations

import gc
import hashlib
import json
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import ROOT
from benchmarks.probe.results import Results
from benchmarks.probe.trials import Trials, finish, tensors
from reprtune.training.chain.chain import Chain
from reprtune.training.platform.device import make_deterministic, set_numerics
from reprtune.training.platform.device_faults import fault

LIMIT_SECONDS = 100.0  # for all of them together
RESNET = {"model.name": "resnet-8", "model.width": 8}
ON_ANY = ("deterministic", "deterministic", "warned")
ON_CUDA = ("capture", "broken")
Said = dict[str, Any]


def isolated(results: Results, trials: Trials) -> None:
    """Deterministic trials, warnings, a capture that fails, a device that breaks, a second device."""
    here = str(trials.device)
    wanted = [(name, here) for name in ON_ANY + (ON_CUDA if trials.on_cuda else ())]
    if not trials.on_cuda:
        results.leave_out(", ".join(ON_CUDA), "on a GPU only")
    if torch.cuda.device_count() > 1 and trials.on_cuda:
        other = torch.device("cuda", 1 - (trials.device.index or 0))
        wanted.append(("second", str(other)))
    else:
        results.leave_out("second device", "there is none")
    for name, found in _ask(wanted, trials.folder).items():
        JUDGES[name](results, found)


def _ask(wanted: list[tuple[str, str]], folder: Path) -> dict[str, list[Said]]:
    """What the children (name, device) say."""
    running: list[tuple[str, subprocess.Popen[str]]] = []
    said: dict[str, list[Said]] = {}
    end = time.monotonic() + LIMIT_SECONDS
    try:
        for name, device in wanted:
            running.append((name, _start(name, device, folder)))
        for name, process in running:
            said.setdefault(name, []).append(_end(process, end))
    finally:
        for _, process in running:
            process.kill()  # none is left where all were heard
    return said


def _start(name: str, device: str, folder: Path) -> subprocess.Popen[str]:
    words = [
        sys.executable,
        "-m",
        "benchmarks.probe",
        "--child",
        name,
        "--device",
        device,
        "--out",
        str(folder),
    ]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _end(process: subprocess.Popen[str], end: float) -> Said:
    """What it says in its last line; or what went wrong, as `error`."""
    try:
        output, errors = process.communicate(timeout=max(1.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return {"error": f"no answer within {LIMIT_SECONDS:g} s"}
    if process.returncode or not output.strip():
        return {"error": f"exit code {process.returncode}: {errors.strip()[-300:]}"}
    said: Said = json.loads(output.splitlines()[-1])
    return said


# -- in a process of its own ---------------------------------------------------------------------------


def deterministic(trials: Trials) -> Said:
    """The bits of a trial's end."""
    make_deterministic()
    set_numerics(trials.device)
    run = finish(trials.run(trials.tiny(**RESNET, **{"task.augment": "crop+flip"})))
    whole = hashlib.sha256()
    for name, tensor in sorted(tensors(run).items()):
        whole.update(name.encode() + tensor.numpy().tobytes())
    return {"sha256": whole.hexdigest(), "how": run.networks.how}


def warned(trials: Trials) -> Said:
    """Warnings of trials, as the first of each that makes it an error."""
    warnings.simplefilter("error")
    raised = []
    for changes in ({}, {"training.optimizer": "adam"}, {"training.precision": "tf32"}):
        try:
            finish(trials.run(trials.tiny(**changes)))
        except Warning as warning:
            raised.append(f"{type(warning).__name__}: {warning}")
    return {"raised": raised}


def capture(trials: Trials) -> Said:
    """What is said of a step that cannot be captured, and whether the process could go on (it does not have to:
    a worker starts anew)."""
    first = _error_of(lambda: finish(_uncapturable(trials)))
    gc.collect()
    on_default = torch.cuda.current_stream() == torch.cuda.default_stream()
    second = _error_of(lambda: finish(trials.run(trials.tiny())))
    return {"first": first, "on the default stream": on_default, "second": second}


def _uncapturable(trials: Trials) -> Chain:
    """It waits for the device, but only while it is captured."""

    def wait_while_capturing(_module: Any, _inputs: Any, out: Any) -> Any:
        if torch.cuda.is_current_stream_capturing():
            torch.cuda.synchronize()
        return out

    run = trials.run(trials.tiny())
    run.networks.model.register_forward_hook(wait_while_capturing)
    return run


def broken(trials: Trials) -> Said:
    """Is a device that can be used no longer known from one that can?"""
    device = trials.device
    numbers = torch.zeros(4, device=device)
    before = fault(device)
    error = _error_of(lambda: numbers[torch.tensor([9], device=device)].sum().item())
    return {"before": before, "error": error, "after": fault(device)}


def second(trials: Trials) -> Said:
    """Losses of a trial on this device while it is the current one, and while it is not."""
    current = finish(trials.run(trials.tiny()))
    torch.cuda.set_device(1 - (trials.device.index or 0))
    other = finish(trials.run(trials.tiny()))
    losses = [[point.train_loss for point in run.history.points] for run in (current, other)]
    return {"how": [current.networks.how, other.networks.how], "losses": losses}


def _error_of(call: Any) -> str:
    try:
        call()
    except Exception as error:  # noqa: BLE001 - whatever comes is what is asked for
        text = (str(error).strip() or "no text").splitlines()[0]
        return f"{type(error).__name__}: {text[:160]}"
    return ""


CHILDREN = {call.__name__: call for call in (deterministic, warned, capture, broken, second)}


# -- what it means -------------------------------------------------------------------------------------


def _judge_deterministic(results: Results, found: list[Said]) -> None:
    one, two = found
    results.check(
        "deterministic: two processes end in the same bits", one == two and "sha256" in one, str(one)
    )


def _judge_warned(results: Results, found: list[Said]) -> None:
    results.check("no warning where warnings are errors", found[0].get("raised") == [], str(found[0]))


def _judge_capture(results: Results, found: list[Said]) -> None:
    ok = found[0].get("first", "").startswith("CaptureFailed")
    results.check("a capture that fails says so", ok, str(found[0]))


def _judge_broken(results: Results, found: list[Said]) -> None:
    said = found[0]
    ok = said.get("before", "") is None and bool(said.get("error")) and bool(said.get("after"))
    results.check("a broken device is known from one that works", ok, str(said))


def _judge_second(results: Results, found: list[Said]) -> None:
    one, other = found[0].get("losses", [[], []])
    near = bool(one) and all(abs(a - b) <= 1e-3 * abs(a) for a, b in zip(one, other, strict=True))
    captured = found[0].get("how") == ["CUDA graph"] * 2
    results.check("graphs on a second device, current or not", near and captured, str(found[0])[:300])


JUDGES = {
    "deterministic": _judge_deterministic,
    "warned": _judge_warned,
    "capture": _judge_capture,
    "broken": _judge_broken,
    "second": _judge_second,
}
