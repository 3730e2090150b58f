"""What tests of the queue do with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from reprtune.record.trials import outcome
from reprtune.record.view import StudyView
from reprtune.work.queue import Queue, queues
from tests.stored import LEASE, new_study

VALUES = [0.5, 2.0]


def search_queue(where: str | Path, **changes: Any) -> Queue:
    storage, spec = new_study(where, **changes)
    return queues(StudyView(storage, spec.name))[1]


def take(queue: Queue, worker: str = "w") -> optuna.Trial:
    trial = queue.take(worker, LEASE)
    assert trial is not None
    return trial


def end(queue: Queue, trial: optuna.Trial, outcome: str = "complete", values: Any = VALUES) -> None:
    """Write the outcome as a worker does."""
    state = {"complete": "COMPLETE", "stopped": "PRUNED", "infeasible": "PRUNED", "diverged": "PRUNED"}
    trial.set_user_attr("result", {"outcome": outcome})
    done = TrialState[state.get(outcome, "FAIL")]
    queue.study().tell(trial, values if done == TrialState.COMPLETE else None, state=done)


def fall_silent(storage: RDBStorage, trial: optuna.Trial, seconds: int = 3600) -> None:
    """The last beat of a trial's worker was that long ago."""
    with storage.engine.begin() as connection:
        connection.execute(
            sqlalchemy.text(
                f"UPDATE trial_heartbeats SET heartbeat = datetime('now', '-{seconds} seconds') "
                f"WHERE trial_id = {trial._trial_id}"
            )
        )


def outcomes(queue: Queue) -> list[tuple[int, str]]:
    """(slot, outcome) of every attempt, in order."""
    return [(t.user_attrs["slot"], outcome(t)) for t in queue.trials()]


def pending(queue: Queue) -> int:
    """Slots of the section that no attempt has used up yet."""
    return queue.view.record().pending(queue.section.name)
