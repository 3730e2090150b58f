"""The curve of plain training as a worker reads it: of the runs of the arm `standard` that are complete by now."""

from __future__ import annotations

from reprtune.analysis.standard_curve import curve_of, is_standard, is_usable
from reprtune.record.optuna_private.trials import trial_id
from reprtune.record.schema import SeedRun
from reprtune.record.storage import section_study
from reprtune.record.trials import checked_record
from reprtune.record.view import StudyView
from reprtune.spec.designs.arm import BASELINE
from reprtune.spec.study import StudySpec
from reprtune.stopping.standard import StandardCurve


class StandardRuns:
    """Reads the history of every such run once.

    Args:
        view, spec: of the study. steps_per_epoch: of its base.
    """

    def __init__(self, view: StudyView, spec: StudySpec, steps_per_epoch: int) -> None:
        self._view, self._spec, self._steps_per_epoch = view, spec, steps_per_epoch
        self._is_usable = is_usable(spec)
        self._runs: dict[tuple[str, int], tuple[SeedRun, ...]] = {}
        self._known: set[tuple[str, int]] = set()
        self._curve: StandardCurve | None = None

    def curve(self) -> StandardCurve | None:
        """None where the study has none to compare with, or none yet.

        Raises:
            StudyError: the study is gone, or such a run is damaged.
        """
        if not self._is_usable:
            return None
        runs = self._read()
        if set(runs) != self._known:
            self._known = set(runs)
            self._curve = curve_of(
                self._spec, self._steps_per_epoch, [run for of in runs.values() for run in of]
            )
        return self._curve

    def _read(self) -> dict[tuple[str, int], tuple[SeedRun, ...]]:
        """(section, number) -> its seeds, of every run that counts."""
        found = {}
        for section in self._spec.comparisons:
            gone = self._view.repaired(section.name)
            for trial in self._view.frozen(self._spec, section):
                if trial.user_attrs.get("arm") != BASELINE or not trial.state.is_finished():
                    continue
                if trial.number in gone:
                    continue
                key = (section.name, trial.number)
                if key not in self._runs:
                    whole = self._view.storage.get_trial(trial_id(trial))
                    where = section_study(self._spec, section)
                    record = checked_record(where, whole, self._spec, section, False, histories=True)
                    self._runs[key] = record.runs if is_standard(record) else ()
                if self._runs[key]:
                    found[key] = self._runs[key]
        return found
