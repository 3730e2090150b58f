"""MLflow as a tracker; see `tracking.tracker` for what each verb promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from reprtune.errors import TrackingError
from reprtune.passwords import hide
from reprtune.record.links import IDENTITY_TAG
from reprtune.record.schema import StudyRecord
from reprtune.settings import Settings
from reprtune.spec.study import StudySpec
from reprtune.tracking.elsewhere import FACT, named_here, store_run, warning
from reprtune.tracking.mlflow import connection, places, sending
from reprtune.tracking.mlflow.removal import InMlflow, find_in_mlflow
from reprtune.tracking.updates import RunUpdate

if TYPE_CHECKING:
    from mlflow.entities import Run

REFUSALS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS")


@dataclass(frozen=True)
class MlflowRun:
    """A run as MLflow gave it."""

    run: Run

    @property
    def id(self) -> str:
        return str(self.run.info.run_id)

    @property
    def identity(self) -> str:
        return str(self.run.data.tags.get(IDENTITY_TAG, ""))


@dataclass(frozen=True)
class MlflowStudy:
    """A study's experiment and runs."""

    tracked: connection.TrackedStudy
    digest: str

    def is_there(self) -> bool:
        return self.tracked.is_there()

    @property
    def facts(self) -> dict[str, Any]:
        return {FACT: dict(self.tracked.fact)}

    @property
    def notes(self) -> tuple[str, ...]:
        return self.tracked.notes

    def runs(self) -> list[MlflowRun]:
        found = connection.runs_of(self.tracked.client, self.tracked.experiment_id, self.digest)
        return [MlflowRun(run) for run in found]

    def find(self, run_identity: str) -> MlflowRun | None:
        run = connection.find_run(self.tracked.client, self.tracked.experiment_id, run_identity)
        return None if run is None else MlflowRun(run)

    def send(self, update: RunUpdate, run: MlflowRun | None) -> MlflowRun | None:
        sent = sending.send(self.tracked, update, None if run is None else run.run)
        return None if sent is None else MlflowRun(sent)

    def lacks(self, update: RunUpdate, run: Any) -> bool:
        return sending.lacks(run.run, update)

    def artifacts(self, run: Any) -> set[str]:
        return sending.artifacts(self.tracked, run.id)

    def send_artifact(self, run: Any, name: str, content: str | Path) -> None:
        sending.send_artifact(self.tracked, run.id, name, content)


@dataclass(frozen=True)
class MLflow:
    """The tracking store that the settings name."""

    settings: Settings
    name = "MLflow"

    @property
    def address(self) -> str:
        return hide(self.settings.mlflow_uri)

    @property
    def web_address(self) -> str | None:
        parts = urlsplit(self.settings.mlflow_uri)
        if parts.scheme not in ("http", "https"):
            return None
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))

    def reach(self) -> None:
        connection.reach(self.settings.mlflow_uri)

    def prepare(self, study: StudySpec, digest: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {FACT: connection.prepare(self.settings, study, digest, facts)}

    def open(self, study: StudySpec, digest: str, facts: Mapping[str, Any]) -> MlflowStudy:
        return MlflowStudy(connection.open_study(self.settings, study, digest, facts), digest)

    def warns(self, facts: Mapping[str, Any], *, quickly: bool = False) -> str:
        run = store_run(facts)
        if not self.settings.tracks or not run or named_here(facts, self.address):
            return ""
        there = places.has_run(self.settings, run)
        if there is None and not quickly:
            there = connection.has_run(self.settings.mlflow_uri, run)
        return warning(facts, self.address) if there is False else ""

    def find(self, study: StudyRecord) -> InMlflow:
        return find_in_mlflow(self.settings, study)

    def in_words(self, error: Exception) -> TrackingError:
        return connection.in_words(error, self.settings.mlflow_uri)

    def is_refusal(self, error: Exception) -> bool:
        return getattr(error, "error_code", None) in REFUSALS
