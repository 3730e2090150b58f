"""Optuna's cache over a database, for studies of thousands of slots.

Optuna's own reads every trial that is not finished anew at every call, one object per cell: with some
thousand waiting slots that takes seconds, several times for each slot that is taken. Here of a trial that
waits it is asked only whether it still does; what is read is read in bulk; and histories, nine tenths of
what a study stores, are left where they are.
"""

from __future__ import annotations

from typing import Any

from optuna.storages import RDBStorage
from optuna.storages._cached_storage import _CachedStorage, _StudyInfo
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import Connection, or_, select

from reprtune.record.optuna_private.reading import TRIALS, read_whole
from reprtune.record.optuna_private.session import reading
from reprtune.record.optuna_private.trials import trial_id

STUDIES = models.StudyModel.__table__.c
UNFINISHED = (TrialState.WAITING, TrialState.RUNNING)


class TrialCache(_CachedStorage):
    """The trials of a study as Optuna and its samplers see them, without histories."""

    def __init__(self, backend: RDBStorage) -> None:
        super().__init__(backend)
        # study -> unfinished trial -> its state and start when it was read last. What a waiting trial has
        # can only change while it runs, and each time it is taken it gets another start.
        self._open: dict[int, dict[int, tuple[Any, ...]]] = {}
        self._newest: dict[int, int] = {}
        self._ids: dict[str, int] = {}

    def get_study_id_from_name(self, study_name: str) -> int:
        """It stays the same while there is the study."""
        if study_name not in self._ids:
            self._ids[study_name] = super().get_study_id_from_name(study_name)
        return self._ids[study_name]

    def _read_trials_from_remote_storage(self, study_id: int) -> None:
        with self._lock, reading(self._backend) as connection:
            info = self._studies.setdefault(study_id, _StudyInfo())
            before = self._open.setdefault(study_id, {})
            now = self._stamps(connection, study_id)
            if not info.trials:
                trials = read_whole(connection, study_id)
            elif changed := [i for i, stamp in now.items() if _may_differ(stamp, before.get(i))] + [
                i for i in before if i not in now
            ]:
                trials = read_whole(connection, study_id, changed)
            else:
                return
            self._add_trials_to_cache(study_id, trials)
            for trial in trials:
                one = trial_id(trial)
                self._newest[study_id] = max(self._newest.get(study_id, -1), one)
                if trial.state.is_finished():
                    before.pop(one, None)
                    info.unfinished_trial_ids.discard(one)
                else:
                    before[one] = now.get(one, ())
                    info.unfinished_trial_ids.add(one)

    def _stamps(self, connection: Connection, study_id: int) -> dict[int, tuple[Any, ...]]:
        """Of the trials that are unfinished, or new: their state and start.

        Raises:
            KeyError: the study is gone.
        """
        new = TRIALS.c.trial_id > self._newest.get(study_id, -1)
        columns = (TRIALS.c.trial_id, TRIALS.c.state, TRIALS.c.datetime_start)
        wanted = or_(TRIALS.c.state.in_(UNFINISHED), new)
        rows = connection.execute(select(*columns).where(TRIALS.c.study_id == study_id, wanted))
        found = {one: (state, start) for one, state, start in rows}
        if (
            not found
            and not connection.execute(select(STUDIES.study_id).where(STUDIES.study_id == study_id)).first()
        ):
            raise KeyError(f"There is no study {study_id}.")
        return found


def _may_differ(now: tuple[Any, ...], before: tuple[Any, ...] | None) -> bool:
    return now != before or now[0] == TrialState.RUNNING
