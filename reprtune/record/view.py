"""A stored study as those see it who work on it: read often, so that only what has changed is read and unpacked."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import replace

from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from reprtune.errors import StudyError
from reprtune.record.locks import study_lock
from reprtune.record.optuna_private.cached import TrialCache
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.record.storage import names, read_header, repaired, section_study
from reprtune.record.trials import checked_record
from reprtune.spec.study import AnySection, StudySpec


class StudyView:
    """The study as it is now, for one process and one thread.

    Args:
        name: of the study.

    Raises:
        StudyError: from every call: the study is gone, or damaged.
    """

    def __init__(self, storage: RDBStorage, name: str) -> None:
        self.storage, self.name = storage, name
        self.cached = TrialCache(storage)
        self._records: dict[tuple[str, int], tuple[FrozenTrial, bool, TrialRecord]] = {}

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the study's lock (see `study_lock`)."""
        try:
            with study_lock(self.storage, self.name):
                yield
        except BaseException:
            self.cached = TrialCache(self.storage)  # what it has read may never have come about
            raise

    def header(self) -> StudyRecord:
        """The study without its attempts, with the sections that it has now."""
        return read_header(self.storage, self.name)

    def repaired(self, section: str) -> Collection[int]:
        """Numbers of the attempts of a section that count no more."""
        return repaired(self.storage, self.name).get(section, ())

    def frozen(self, spec: StudySpec, section: AnySection) -> list[FrozenTrial]:
        """All attempts of a section, without histories; none of a confirmation of which nothing was queued yet."""
        try:
            study_id = self.cached.get_study_id_from_name(section_study(spec, section))
            trials = self.cached.get_all_trials(study_id, deepcopy=False)
        except KeyError:
            if section == spec.confirmation and self.name in names(self.storage):
                return []
            raise StudyError(f"The study {self.name!r} has been removed meanwhile.") from None
        return [trial for trial in trials if "slot" in trial.user_attrs]

    def record(self) -> StudyRecord:
        """The study with all its attempts, without histories and what was spent."""
        study = self.header()
        gone = repaired(self.storage, self.name)
        attempts = {
            section.name: tuple(
                self._record(study, section, trial, trial.number in gone.get(section.name, ()))
                for trial in self.frozen(study.spec, section)
            )
            for section in study.spec.sections
        }
        return replace(study, attempts=attempts)

    def _record(
        self, study: StudyRecord, section: AnySection, trial: FrozenTrial, is_repaired: bool
    ) -> TrialRecord:
        key = (section.name, trial.number)
        known = self._records.get(key)
        if known is not None and known[0] is trial and known[1] == is_repaired:
            return known[2]
        where = section_study(study.spec, section)
        found = checked_record(where, trial, study.spec, section, is_repaired, histories=False)
        self._records[key] = (trial, is_repaired, found)
        return found
