"""One trial on its own: what `train` does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from reprtune.history import History
from reprtune.settings import Settings
from reprtune.signals import StopRequest, remembered
from reprtune.spec import objectives
from reprtune.spec.codec import to_plain
from reprtune.spec.objectives import COST, OBJECTIVES
from reprtune.spec.trial import TrialSpec
from reprtune.states.store import StateStore
from reprtune.training.device import (
    Device,
    describe,
    is_out_of_memory,
    open_device,
    refused,
    release_cached_memory,
)
from reprtune.training.device_faults import check_computes, fault, faults_in_words
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
    spec: TrialSpec,
    settings: Settings,
    observe: Callable[[History, str], None],
    *,
    test: bool,
    finish: Callable[[Run], None] = lambda _: None,
) -> dict[str, Any]:
    """Train to the end, until SIGINT or SIGTERM, or until the loss is no longer finite.

    Args:
        observe: called with the history so far and what just happened (`Update.kind`).
        test: measure the test error of a complete trial.
        finish: called with a trial that is complete.

    Returns:
        The result, all of it JSON: `outcome`, every objective, `steps` done, `steps_spent` by this call,
        `history`, `state` and more.

    Raises:
        SpecError, DataError, ModelError, StateError: as `Run` does.
        DeviceError: nothing can be computed on the device any more; the last state stays.
        ReprtuneError: the device is not there, or cannot train this network deterministically.
    """
    spec.method.check_built()  # before data are read
    device = open_device(settings)
    check_computes(device)
    store = StateStore(settings.states)
    trial = _Trial(spec, settings, device, store)
    with faults_in_words(device):
        with remembered() as stop:
            outcome = trial.attempt(stop, observe, test=test)
        if trial.run is not None and outcome == "complete":
            finish(trial.run)
        return {"outcome": outcome, "meaning": MEANINGS[outcome], **trial.account()}


class _Trial:
    """A trial whose network may not even fit into memory."""

    def __init__(self, spec: TrialSpec, settings: Settings, device: Device, store: StateStore) -> None:
        self.spec, self.settings, self.device, self.store = spec, settings, device, store
        self.run: Run | None = None
        self.test_error: float | None = None

    def attempt(self, stop: StopRequest, observe: Callable[[History, str], None], *, test: bool) -> str:
        """Load, train and test; the outcome."""
        try:
            materials = Materials(self.settings.data_dir, self.device)
            self.run = Run(self.spec, materials, self.store, should_stop=lambda: stop.asked)
            outcome = _train(self.run, stop, observe)
            if test and outcome == "complete":
                self.test_error = self.run.test().error
        except (RuntimeError, MemoryError) as error:
            if words := refused(error):
                raise words from error
            if not is_out_of_memory(error) or fault(self.device):
                raise
            outcome = "out-of-memory"
        if outcome == "out-of-memory":
            release_cached_memory()  # not above, where the error still holds on to what was computed
        return outcome

    def account(self) -> dict[str, Any]:
        """What was trained, so far as it came to that."""
        run, steps = self.run, {"steps": 0, "steps_spent": 0}
        points = run.history.points if run else ()
        if run is not None:
            steps = {"steps": run.live.step_done, "steps_spent": run.steps_spent}
        result = {
            **dict.fromkeys(OBJECTIVES),
            COST: 0.0,
            **(objectives.read(run.live.measured()) if run else {}),
            **steps,
            "seconds": points[-1].seconds if points else 0.0,
            "device": describe(self.device, run.live.how if run else ""),
            "state": str(self.store.path(run.last_name)) if run and self.store.has(run.last_name) else None,
            "spec": to_plain(self.spec),
            "history": to_plain(run.history) if run else None,
        }
        return result if self.test_error is None else {**result, "test_error": self.test_error}


def _train(run: Run, stop: StopRequest, observe: Callable[[History, str], None]) -> str:
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
    return "diverged" if run.diverged else "complete"
