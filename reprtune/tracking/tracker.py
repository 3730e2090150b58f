"""What the program needs of a tracker, a place where people look at single runs; and the one that is none.

Another tracker is a module beside `mlflow` that has these verbs, and one line in `choose.tracker_for`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from reprtune.errors import TrackingError
from reprtune.record.schema import StudyRecord
from reprtune.spec.study import StudySpec
from reprtune.tracking.updates import RunUpdate

OFF = "Tracking is off (--tracking-uri none): no run is shown anywhere but in the record and the report."


class TrackedRun(Protocol):
    """A run as the tracker has it."""

    @property
    def id(self) -> str:
        """The tracker's own number of it."""

    @property
    def identity(self) -> str:
        """What it is found by, see `events.identity`."""


class TrackedStudy(Protocol):
    """A study's place there. Every verb raises whatever Exception the tracker has, when it cannot be reached."""

    def is_there(self) -> bool:
        """Not so on a server that was emptied since it was opened."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a study remembers of it, as `Tracker.prepare` says it."""

    @property
    def notes(self) -> Sequence[str]:
        """What a person is to know of it, in sentences."""

    def runs(self) -> Sequence[TrackedRun]:
        """All runs of the study that are there."""

    def find(self, run_identity: str) -> Any:
        """The run of this identity, a TrackedRun; None where there is none."""

    def send(self, update: RunUpdate, run: Any) -> Any:
        """Bring all of a run but its artifacts up to date. Doing it again changes nothing.

        Args:
            run: as found; None to make it.

        Returns:
            The TrackedRun; None where another machine is further with it, and this one has nothing to add.
        """

    def lacks(self, update: RunUpdate, run: Any) -> bool:
        """Whether `send` with this whole update would change more of a run than what happened on its way."""

    def artifacts(self, run: Any) -> set[str]:
        """Names of a run's artifacts."""

    def send_artifact(self, run: TrackedRun, name: str, content: str | Path) -> None:
        """Write an artifact of a run: a text under its name, or a folder of files; again replaces it."""


class Found(Protocol):
    """What a tracker has of a study, to be removed."""

    @property
    def words(self) -> str:
        """For "Remove NAME and its trials, with ..."; empty where there is nothing to say."""

    def delete(self) -> None:
        """Delete it; interrupted, it can be repeated. Raises TrackingError."""


class Tracker(Protocol):
    """The few verbs that the rest of the program needs of a tracking server.

    Attributes:
        name: for people. address: where it is, without passwords; what was sent is remembered by it.
        web_address: of its pages, where a server shows them; else None.
    """

    @property
    def name(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def web_address(self) -> str | None: ...

    def reach(self) -> None:
        """Can it be used? Nothing is made of a study. Raises TrackingError."""

    def prepare(self, study: StudySpec, digest: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Make what a study needs there, at its creation: facts to store with it. Raises TrackingError."""

    def open(self, study: StudySpec, digest: str, facts: Mapping[str, Any]) -> TrackedStudy:
        """Find or make it; `facts` as stored. Safe to repeat. Raises TrackingError."""

    def warns(self, facts: Mapping[str, Any], *, quickly: bool = False) -> str:
        """What is to be said where this is not the store that a study's runs are in, by its facts; empty where it is,
        or that cannot be told. `quickly`: no server is asked."""

    def find(self, study: StudyRecord) -> Found:
        """What is there of a study; changes nothing. Raises TrackingError."""

    def in_words(self, error: Exception) -> TrackingError:
        """What one of its errors means, and the way out."""

    def is_refusal(self, error: Exception) -> bool:
        """Whether it answered, and did not like this one run: others may be sent."""


class Nothing:
    """What the tracker that is none has of a study."""

    words = ""

    def delete(self) -> None:
        pass


class NoStudy:
    """A study's place nowhere: all is well there, and nothing is."""

    def is_there(self) -> bool:
        return True

    facts: Mapping[str, Any] = {}
    notes: Sequence[str] = ()

    def runs(self) -> Sequence[TrackedRun]:
        return ()

    def find(self, _run_identity: str) -> Any:
        return None

    def send(self, _update: RunUpdate, _run: Any) -> Any:
        return None

    def lacks(self, _update: RunUpdate, _run: Any) -> bool:
        return False

    def artifacts(self, _run: Any) -> set[str]:
        return set()

    def send_artifact(self, run: TrackedRun, name: str, content: str | Path) -> None:
        pass


class Null:
    """Tracking is off: nobody is told, asked or needed. Nothing is sent, for its journal has nothing to send."""

    name = "none"
    address = ""
    web_address = None

    def reach(self) -> None:
        pass

    def prepare(self, _study: StudySpec, _digest: str, _facts: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    def open(self, _study: StudySpec, _digest: str, _facts: Mapping[str, Any]) -> TrackedStudy:
        return NoStudy()

    def warns(self, _facts: Mapping[str, Any], *, quickly: bool = False) -> str:  # noqa: ARG002 - as all trackers
        return ""

    def find(self, _study: StudyRecord) -> Found:
        return Nothing()

    def in_words(self, error: Exception) -> TrackingError:
        return TrackingError(str(error))

    def is_refusal(self, _error: Exception) -> bool:
        return False
