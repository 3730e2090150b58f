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
from reprtune.training.chain.chain import Chain, LoadedData
from reprtune.training.chain.foreseen import foreseen
from reprtune.training.chain.trial_networks import Interrupted
from reprtune.training.platform.device import (
    Device,
    describe,
    is_out_of_memory,
    open_device,
    refused,
    release_cached_memory,
)
from reprtune.training.platform.device_faults import check_computes, fault, faults_in_words

WAIT_SECONDS = 0.2


def train_one(
    spec: TrialSpec,
    settings: Settings,
    observe: Callable[[History, str], None],
    *,
    test: bool,
    finish: Callable[[Chain], None] = lambda _: None,
    warn: Callable[[str], None] = lambda _: None,
    ends: bool = False,
) -> dict[str, Any]:
    """Train to the end, until SIGINT or SIGTERM, or until the loss is no longer finite.

    Args:
        observe: called with the history so far and what just happened (`Advance.kind`).
        test: measure the test error of a complete trial.
        finish: called with a trial that is complete. warn: called, before it is trained, with each line of what it
            is likely to miss. ends: what asks it to stop ends the process, see `signals.remembered`.

    Returns:
        The result, all of it JSON: `outcome`, every objective, `steps` done, `steps_spent` by this call,
        `history`, `state` and more.

    Raises:
        SpecError, DataError, ModelError, StateError: as `Chain` does.
        DeviceError: nothing can be computed on the device any more; the last state stays.
        ReprtuneError: the device is not there, or cannot train this network deterministically.
    """
    device = open_device(settings)
    check_computes(device)
    store = StateStore(settings.states)
    trial = _Trial(spec, settings, device, store)
    with faults_in_words(device):
        with remembered(ends=ends) as stop:
            outcome = trial.attempt(stop, observe, warn, test=test)
        if trial.chain is not None and outcome == "complete":
            finish(trial.chain)
        return {"outcome": outcome, **trial.account()}


class _Trial:
    """A trial whose network may not even fit into memory."""

    def __init__(self, spec: TrialSpec, settings: Settings, device: Device, store: StateStore) -> None:
        self.spec, self.settings, self.device, self.store = spec, settings, device, store
        self.chain: Chain | None = None
        self.test_error: float | None = None

    def attempt(
        self,
        stop: StopRequest,
        observe: Callable[[History, str], None],
        warn: Callable[[str], None],
        *,
        test: bool,
    ) -> str:
        """Load, train and test; the outcome."""
        try:
            loaded_data = LoadedData(self.settings.data_dir, self.device)
            self.chain = Chain(self.spec, loaded_data, self.store, should_stop=lambda: stop.asked)
            for line in foreseen(self.spec, loaded_data.batches(self.spec).steps_per_epoch):
                warn(line)
            outcome = _train(self.chain, stop, observe)
            if test and outcome == "complete":
                outcome = self._test(self.chain)
        except (RuntimeError, MemoryError) as error:
            if words := refused(error):
                raise words from error
            if not is_out_of_memory(error) or fault(self.device):
                raise
            outcome = "out-of-memory"
        if outcome == "out-of-memory":
            release_cached_memory()  # not above, where the error still holds on to what was computed
        return outcome

    def _test(self, chain: Chain) -> str:
        try:
            self.test_error = chain.test().error
        except Interrupted:
            return "interrupted"
        return "complete"

    def account(self) -> dict[str, Any]:
        """What was trained, as far as it came to that."""
        chain, steps = self.chain, {"steps": 0, "steps_spent": 0}
        points = chain.history.points if chain else ()
        if chain is not None:
            steps = {"steps": chain.networks.step_done, "steps_spent": chain.steps_spent}
        result = {
            **dict.fromkeys(OBJECTIVES),
            COST: 0.0,
            **(objectives.read(chain.networks.measured()) if chain else {}),
            **steps,
            "steps_before": chain.networks.steps_before if chain else 0,
            "seconds": points[-1].seconds if points else 0.0,
            "device": describe(self.device, chain.networks.how if chain else ""),
            "state": str(self.store.path(chain.last_name))
            if chain and self.store.has(chain.last_name)
            else None,
            "spec": to_plain(self.spec),
            "history": to_plain(chain.history) if chain else None,
        }
        return result if self.test_error is None else {**result, "test_error": self.test_error}


def _train(chain: Chain, stop: StopRequest, observe: Callable[[History, str], None]) -> str:
    """Train to the end of the chain; the outcome."""
    try:
        for advance in chain:  # asks `stop` before each step, and saves a state when it is to stop there
            observe(chain.history, advance.kind)
            if advance.kind == "blocked":  # another process trains the same trial
                if stop.asked:
                    return "interrupted"
                time.sleep(WAIT_SECONDS)
    except Interrupted:
        return "interrupted"
    return "diverged" if chain.diverged else "complete"
