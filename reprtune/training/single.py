"""One trial on its own: what `train` does."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from reprtune.settings import Settings
from reprtune.spec.codec import to_plain
from reprtune.spec.history import History
from reprtune.spec.trial import TrialSpec
from reprtune.states.store import StateStore
from reprtune.training.device import choose_device, describe
from reprtune.training.live import Interrupted
from reprtune.training.run import Materials, Run

MEANINGS = {
    "complete": "trained to the end",
    "interrupted": "stopped; the same command goes on from here",
    "diverged": "the loss became infinite or not a number; a lower training.lr may help",
    "out-of-memory": "the device had too little memory; lower training.batch_size",
}
WAIT_SECONDS = 0.2


def train_one(
    spec: TrialSpec, settings: Settings, observe: Callable[[History, str], None], *, test: bool
) -> dict[str, Any]:
    """Train to the end, until SIGINT or SIGTERM, or until the loss is no longer finite.

    Args:
        observe: called with the history so far and what just happened (`Update.kind`).
        test: measure the test error of a complete trial.

    Returns:
        The result, all of it JSON: `outcome`, `val_error`, `steps` done, `steps_spent` by this call,
        `history`, `state` and more.
    """
    device = choose_device(settings.device)
    store = StateStore(settings.states)
    with _stop_on_signal() as stop:
        run = Run(spec, Materials(settings.data_dir, device), store, should_stop=lambda: stop.asked)
        outcome = _train(run, stop, observe)
    last = run.history.points[-1] if run.history.points else None
    result = {
        "outcome": outcome,
        "meaning": MEANINGS[outcome],
        "val_error": last.val_error if last else None,
        "steps": run.live.step_done,
        "steps_spent": run.steps_spent,
        "train_gflops": last.gflops if last else 0.0,
        "seconds": last.seconds if last else 0.0,
        "device": describe(device),
        "state": str(store.path(run.last_name)) if store.has(run.last_name) else None,
        "spec": to_plain(spec),
        "history": to_plain(run.history),
    }
    if test and outcome == "complete":
        result["test_error"] = run.test().error
    return result


def _train(run: Run, stop: _Stop, observe: Callable[[History, str], None]) -> str:
    """The outcome."""
    try:
        for update in run:  # asks `stop` before each step, and saves a state when it is to stop there
            observe(run.history, update.kind)
            if update.kind == "blocked":  # another process trains the same trial
                if stop.asked:
                    return "interrupted"
                time.sleep(WAIT_SECONDS)
    except Interrupted:
        return "interrupted"
    except torch.OutOfMemoryError:
        return "out-of-memory"
    return "diverged" if run.diverged else "complete"


@dataclass
class _Stop:
    asked: bool = False


@contextlib.contextmanager
def _stop_on_signal() -> Iterator[_Stop]:
    """Remembers SIGINT and SIGTERM; puts the handlers back that were there."""
    stop = _Stop()

    def ask(*_: Any) -> None:
        stop.asked = True

    before = [(number, signal.signal(number, ask)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield stop
    finally:
        for number, handler in before:
            signal.signal(number, handler)
