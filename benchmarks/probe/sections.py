"""The sections of the probe, in the order of what they tell, and how one is run."""

from __future__ import annotations

import contextlib
import gc
import time
import traceback
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from benchmarks.probe import correctness, processes, speed
from benchmarks.probe.results import Results, Skipped
from benchmarks.probe.trials import Trials
from reprtune.training.platform.device_faults import fault

ON_CPU_SECONDS = 5.0  # of any section


class Part(NamedTuple):
    """A section.

    Attributes:
        seconds: that it may need on a GPU; it does not begin where less is left.
    """

    call: Callable[[Results, Trials], None]
    seconds: float


SECTIONS = {
    "same": Part(correctness.same, 25),
    "held": Part(correctness.held, 5),
    "steps": Part(speed.steps, 60),
    "precisions": Part(correctness.precisions, 15),
    "resume": Part(correctness.resume, 15),
    "plain": Part(speed.plain, 45),
    "kernels": Part(speed.kernels, 15),
    "isolated": Part(processes.isolated, 60),
    "levers": Part(speed.levers, 40),
    "variants": Part(correctness.variants, 40),
    "leak": Part(correctness.leak, 15),
    "dropout": Part(correctness.dropout, 10),
    "memory": Part(correctness.memory, 12),
    "whole": Part(speed.whole, 20),
    "streams": Part(speed.streams, 25),
    "compile": Part(speed.compile_, 90),
}


def run_sections(results: Results, trials: Trials, names: Sequence[str]) -> None:
    """One after another, whatever becomes of each; the file is written after every one. On a device that
    nothing can be computed on any more none begins."""
    broken = None
    for name in names:
        _run_one(results, trials, name, broken)
        if results.sections[name].outcome == "failed":
            broken = fault(trials.device)
        gc.collect()
        if trials.on_cuda:
            with contextlib.suppress(RuntimeError):
                torch.cuda.empty_cache()
        results.write()


def _run_one(results: Results, trials: Trials, name: str, broken: str | None) -> None:
    section, part, begun = results.begin(name), SECTIONS[name], time.monotonic()
    needed = part.seconds if trials.on_cuda else ON_CPU_SECONDS
    try:
        if broken is not None:
            raise Skipped(f"the device is broken: {broken}")
        if results.left() < needed:
            raise Skipped(f"{results.left():.0f} s are left, and it may need {needed:.0f}")
        part.call(results, trials)
        section.outcome = "failed" if section.why else "passed"
    except Skipped as reason:
        section.outcome, section.why = "skipped", str(reason)
        results.say(f"SKIP  {name}: {reason}")
    except Exception as error:  # noqa: BLE001 - the other sections are to run
        traceback.print_exc()
        section.outcome = "failed"
        section.why = "; ".join(
            part for part in (section.why, f"{type(error).__name__}: {error}"[:300]) if part
        )
        results.say(f"FAIL  {name}: {type(error).__name__}: {str(error)[:200]}")
    section.seconds = round(time.monotonic() - begun, 1)
