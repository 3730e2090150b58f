"""A slot that others end before its worker has begun it: the worker was slow for longer than its lease."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from reprtune.record.optuna_private.drawing import DrawnAtOnce
from reprtune.record.trials import outcome
from reprtune.work import queue
from reprtune.work.queue import Queue
from tests.work.test_mend_runs import ONE
from tests.work.tiny_worker import create, search_of, work


@pytest.mark.usefixtures("short_lease")
@pytest.mark.parametrize(
    ("where", "name"), [(queue, "suggest"), (DrawnAtOnce, "write"), (Queue, "constrain"), (Queue, "admits")]
)
def test_a_worker_whose_slot_was_ended_before_it_began_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: Any, name: str
) -> None:
    """In its draw, or after it: the attempt is lost, which is no error of the worker, and the slot is taken again."""
    settings = create(tmp_path, **ONE)
    original, ended = getattr(where, name), list[int]()

    def late(*args: Any, **options: Any) -> Any:
        if not ended:
            found = search_of(settings)
            (running,) = [t for t in found.trials() if t.state == TrialState.RUNNING]
            found.storage.set_trial_state_values(running._trial_id, state=TrialState.FAIL)
            ended.append(running.number)
        return original(*args, **options)

    monkeypatch.setattr(where, name, late)
    work(settings)
    assert [outcome(t) for t in search_of(settings).trials()] == ["lost", "complete"]


def test_a_sampler_may_think_for_longer_than_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker lives, and says so: nobody takes the slot up meanwhile."""
    monkeypatch.setenv("REPRTUNE_HEARTBEAT_SECONDS", "1")
    monkeypatch.setenv("REPRTUNE_GRACE_SECONDS", "2")
    settings = create(tmp_path, **ONE)
    think = queue.suggest

    def slowly(*args: Any) -> Any:
        time.sleep(2.5)
        assert not search_of(settings).reap()
        return think(*args)

    monkeypatch.setattr(queue, "suggest", slowly)
    trial = search_of(settings).take("w", {"host": "h", "device": "cpu"})
    assert trial is not None and len(trial.params) == 2
