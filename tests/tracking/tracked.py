"""A small study, its journal events, and what MLflow has of it as plain values to compare."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reprtune.history import Drop, Point
from reprtune.settings import Settings
from reprtune.spec.codec import digest
from reprtune.spec.study import IntRange
from reprtune.tracking.events import begin_event, end_event, metrics_event
from reprtune.tracking.journal import Journal
from reprtune.tracking.mlflow.connection import connect
from tests.flat import study_of

STUDY = study_of(
    name="s", question="Does it help?", decision="If not, stop.", cost="Minutes.",
    space={"method.cycles": IntRange(low=1, high=3)},
)  # fmt: skip
DIGEST = digest(STUDY)
CURVES = ("val_error", "val_loss", "train_loss", "lr", "gflops", "seconds", "phase")


def point(step: int, time: float | None = None, error: float | None = None) -> Point:
    """Every number follows from the step."""
    return Point(
        step=step, phase="full", cycle=0, lr=0.1, train_loss=2 / step, val_loss=3 / step,
        val_error=1 / step if error is None else error, gflops=5.0 * step, seconds=0.5 * step,
        time=1000.0 + step if time is None else time,
    )  # fmt: skip


def begin(
    key: str = "search-000", cycles: int = 2, attempt: int = 0, now: float = 1000.0, **tags: str
) -> dict[str, Any]:
    return begin_event(
        STUDY, STUDY.trial({"cycles": cycles}), digest=DIGEST, key=key, name=f"slot {key[-3:]}", role="search",
        slot=int(key[-3:]), attempt=attempt, tags=tags, now=now,
    )  # fmt: skip


def write(journal: Journal, key: str, steps: range, outcome: str | None = "complete") -> None:
    """A slot from its beginning, a point for each step, and its end where an outcome is given."""
    journal.append(key, begin(key))
    for step in steps:
        journal.append(key, metrics_event([point(step)]))
    if outcome is not None:
        journal.append(key, end_event(outcome, step=steps[-1], metrics={"seconds_spent": 4.0}, now=2000.0))


@dataclass(frozen=True)
class Seen:
    """One run: `points` holds every stored point as (key, step, value, timestamp), doubles included."""

    status: str
    params: dict[str, str]
    tags: dict[str, str]
    points: list[tuple[str, int, float, int]]
    artifacts: dict[str, str]
    start_ms: int
    end_ms: int | None

    def steps(self, key: str) -> list[int]:
        return [step for name, step, _, _ in self.points if name == key]


def look(settings: Settings) -> dict[str, list[Seen]]:
    """All active runs of the study by name, read through MLflow's own client."""
    client = connect(settings.mlflow_uri)
    experiment = client.get_experiment_by_name(STUDY.name)
    seen: dict[str, list[Seen]] = {}
    for run in client.search_runs([experiment.experiment_id], max_results=5000) if experiment else ():
        run_id = run.info.run_id
        points = [
            (m.key, m.step, m.value, m.timestamp)
            for key in sorted(run.data.metrics)
            for m in sorted(client.get_metric_history(run_id, key), key=lambda m: (m.step, m.timestamp))
        ]
        texts = {
            a.path: Path(client.download_artifacts(run_id, a.path)).read_text()
            for a in client.list_artifacts(run_id)
            if not a.is_dir
        }
        seen.setdefault(run.info.run_name, []).append(
            Seen(
                run.info.status, dict(run.data.params), dict(run.data.tags), points, texts,
                run.info.start_time, run.info.end_time,
            )
        )  # fmt: skip
    return seen


def drop(step: int) -> Drop:
    return Drop(step=step, cycle=0, dropped={"conv2": (1,)}, overlap={"conv2": 0.25})
