"""Brings a tracker to what the record says, whoever died when.

Journals tell a tracker what happens, each from the machine where it happened. What one of them could not tell any more,
because its worker was killed, its disk was full or its machine is gone, is told here from the record, and the networks
from the states.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from reprtune.errors import ReprtuneError
from reprtune.files import write_atomically
from reprtune.record.pack import plots_data
from reprtune.record.schema import StudyRecord
from reprtune.settings import Settings, program
from reprtune.tracking.choose import tracker_for
from reprtune.tracking.events import PLOTS, STUDY_KEY, identity
from reprtune.tracking.tracker import TrackedRun, TrackedStudy, Tracker
from reprtune.tracking.updates import CONFIG, RunUpdate
from reprtune.work.recorded_runs import RecordedRun, recorded_runs

NETWORK = "network"


@dataclass
class Mended:
    """What was done.

    Attributes:
        n_runs: that were not as the record says, or lacked files. gone: slots whose network is neither in the tracker
            nor, any more, in the states. facts: what the study remembers of its place there. error: why it ended early, or what was refused; None when all is well.
    """

    n_runs: int = 0
    gone: list[str] = field(default_factory=list)
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None

    def words(self, tracker: str, states: Path) -> Iterator[str]:
        """For a person, each a line."""
        if self.n_runs:
            runs = "1 run was" if self.n_runs == 1 else f"{self.n_runs} runs were"
            yield f"{runs} not in {tracker} as the record says, and mended from it"
        if self.gone:
            what = "network of slot {} is" if len(self.gone) == 1 else "networks of the slots {} are"
            yield (
                f"the {what.format(', '.join(self.gone))} not in {tracker}, and not in {states} any more: train one "
                f"again with {program()} trial run NAME SLOT --keep, or say where the states are with --states"
            )


def mend_runs(
    settings: Settings,
    study: StudyRecord,
    draw: Callable[[str], str],
    *,
    every_file: bool = False,
    seconds: float = float("inf"),
    leave: Callable[[], bool] = lambda: False,
) -> Mended:
    """Send what a study's runs lack. Raises nothing; doing it again changes nothing.

    Args:
        study: with histories. draw: makes a trial's page from its data.
        every_file: look for the files of every run, not only of those that lack something else.
        seconds: begin no further run after so many. leave: nor when it is True.
    """
    tracker, mended, until = tracker_for(settings), Mended(), time.monotonic() + seconds
    if not settings.tracks:
        return mended
    try:
        tracked = tracker.open(study.spec, study.instance, study.facts)
        mended.facts = tracked.facts
        _Mending(settings, study, draw, tracker, tracked, mended).all(
            lambda: time.monotonic() >= until or leave(), every_file
        )
    except Exception as error:  # noqa: BLE001 - tracking may break in any way
        mended.error = tracker.in_words(error).message
    return mended


@dataclass(frozen=True)
class _Mending:
    settings: Settings
    study: StudyRecord
    draw: Callable[[str], str]
    tracker: Tracker
    tracked: TrackedStudy
    mended: Mended

    def all(self, is_enough: Callable[[], bool], every_file: bool) -> None:
        there = {run.identity: run for run in self.tracked.runs()}
        for run in recorded_runs(self.study):
            if is_enough():
                break
            self._unless_refused(partial(self._run, run, there.get(run.identity), every_file))
        self._unless_refused(partial(self._study, there))

    def _unless_refused(self, mend: Callable[[], bool]) -> None:
        """One that is refused does not hold up the others."""
        try:
            self.mended.n_runs += mend()
        except Exception as error:
            if not self.tracker.is_refusal(error):
                raise
            self.mended.error = self.tracker.in_words(error).message

    def _study(self, there: Mapping[str, TrackedRun]) -> bool:
        """The study's own run ends with its last slot."""
        study, own = self.study, identity(self.study.instance, STUDY_KEY)
        if study.pending() or own not in there:
            return False
        ended = max((t.ended or 0.0 for t in study.everything), default=study.created)
        update = RunUpdate(own, whole=True, outcome="complete", end_ms=round(1000 * ended))
        if not self.tracked.lacks(update, there[own]):
            return False
        return self.tracked.send(update, there[own]) is not None

    def _run(self, run: RecordedRun, there: Any, every_file: bool) -> bool:
        """Whether it lacked anything that could be given to it."""
        if there is None and not run.is_needed:
            return False
        lacking = there is None or self.tracked.lacks(run.update(brief=True), there)
        if lacking:
            there = self.tracked.send(run.update(), there or self.tracked.find(run.identity))
        if there is None or not (lacking or every_file):
            return False  # a later attempt has begun meanwhile, or all is well
        return self._files(run, there) or lacking

    def _files(self, run: RecordedRun, there: TrackedRun) -> bool:
        has, sent = self.tracked.artifacts(there), False
        if CONFIG not in has:
            self.tracked.send_artifact(there, CONFIG, run.begin["config"])
            sent = True
        if PLOTS not in has and run.history is not None:
            data = plots_data(run.history, f"{self.study.spec.name}: {run.title}")
            self.tracked.send_artifact(there, PLOTS, self.draw(data))
            sent = True
        if NETWORK not in has and run.network:
            sent = self._network(run, there) or sent
        return sent

    def _network(self, run: RecordedRun, there: TrackedRun) -> bool:
        from reprtune.study.export import slot_network  # loads torch, which all else here does without
        from reprtune.training.export.network import files

        try:
            trained = slot_network(self.settings, self.study, run.network)
        except ReprtuneError:  # the state is gone, or damaged, or the code of its network is not here
            self.mended.gone.append(run.network)
            return False
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files(trained).items():
                write_atomically(Path(folder) / name, content)
            self.tracked.send_artifact(there, NETWORK, Path(folder))
        return True
