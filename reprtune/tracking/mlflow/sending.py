"""From the events of one slot to MLflow: first folded into what is new, then sent in few calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprtune.tracking.events import IDENTITY, STUDY_KEY
from reprtune.tracking.mlflow.connection import TrackedStudy, find_run
from reprtune.tracking.mlflow.datasets import as_entities, inputs_of_run

if TYPE_CHECKING:
    from mlflow.entities import Run

BATCH = {"metrics": 1000, "params": 100, "tags": 100}  # MLflow's limits for one call
ATTEMPT = "reprtune.attempt"
PARENT = "mlflow.parentRunId"
CONFIG = "config.json"  # the artifact that a beginning brings along


@dataclass
class Update:
    """What is new about one run.

    Attributes:
        whole: nothing of it has been sent from this journal before.
        attempt: number of the last attempt that began. begin: the last beginning among the new events.
        tags: later ones replace earlier ones. metrics: one per key and step, the first one written.
        artifacts: names, each once. status: MLflow's; None = as it is. end_ms: when it ended.
    """

    identity: str
    whole: bool
    attempt: int = 0
    begin: Mapping[str, Any] | None = None
    tags: dict[str, str] = field(default_factory=dict)
    metrics: list[Mapping[str, Any]] = field(default_factory=list)
    artifacts: dict[str, None] = field(default_factory=dict)
    status: str | None = None
    end_ms: int | None = None


def fold(events: Iterable[tuple[int, Mapping[str, Any]]], offset: int, run_identity: str) -> list[Update]:
    """The events after `offset` as one update for each run, usually one.

    A point that is written twice with different times (its segment was trained twice, because its
    state was lost) counts once, as first written.

    Args:
        events: all events of the slot, each with the offset just after it.
        run_identity: of the run that events before the first beginning belong to.
    """
    updates: dict[str, Update] = {}
    touched: set[str] = set()
    seen: set[tuple[str, str, int]] = set()
    for end, event in events:
        run_identity = event.get("identity", run_identity)
        update = updates.setdefault(run_identity, Update(run_identity, whole=end > offset))
        update.attempt = event.get("attempt", update.attempt)
        for metric in event.get("metrics", ()):
            name = (run_identity, metric["key"], metric["step"])
            if end > offset and name not in seen:
                update.metrics.append(metric)
            seen.add(name)
        if end > offset:
            touched.add(run_identity)
            _add(update, event)
    return [update for update in updates.values() if update.identity in touched]


def _add(update: Update, event: Mapping[str, Any]) -> None:
    update.tags |= event.get("tags", {})
    if event["event"] == "begin":
        update.begin, update.status, update.end_ms = event, "RUNNING", None
        update.artifacts[CONFIG] = None
    elif event["event"] == "end":
        update.status, update.end_ms = event["status"], event["time_ms"]
    elif event["event"] == "artifact":
        update.artifacts[event["name"]] = None


def send(tracked: TrackedStudy, update: Update, run: Run | None) -> Run | None:
    """Bring all of one run but its artifacts up to date. Doing it again changes nothing.

    What another machine has written of a later attempt stays: a later attempt gives all points of
    the slot again, so this one has nothing to add.

    Args:
        run: the run as it is there, or None to make it.

    Returns:
        The run; None where another machine is further.

    Raises:
        Exception: of MLflow or below it, when the store cannot be reached or refuses.
    """
    known: set[tuple[str, int]] = set()
    if run is None:
        run = _create(tracked, update)
    elif int(run.data.tags.get(ATTEMPT, 0)) > update.attempt:
        return None
    elif update.whole:
        known = _known_points(tracked, run, {m["key"] for m in update.metrics})
    client, run_id = tracked.client, run.info.run_id
    if update.begin is not None:
        _hang_up(tracked, run, update.begin)
    if update.status == "RUNNING" and run.info.status != "RUNNING":
        client.update_run(run_id, "RUNNING")
    _send_values(tracked, run_id, update, known)
    if update.begin is not None:
        inputs = inputs_of_run(tracked.inputs, update.begin, tracked.task)
        if inputs:
            client.log_inputs(run_id, datasets=as_entities(inputs))
    if update.status not in (None, "RUNNING"):
        client.set_terminated(run_id, update.status, end_time=update.end_ms)
    return run


def send_artifact(tracked: TrackedStudy, run_id: str, name: str, content: str | Path) -> None:
    """Write an artifact of a run: a text under its name, or a folder of files; again replaces it.

    Raises:
        Exception: of MLflow or of the place where artifacts are.
    """
    if isinstance(content, Path):
        tracked.client.log_artifacts(run_id, str(content), name)
    else:
        tracked.client.log_text(run_id, content, name)


def _create(tracked: TrackedStudy, update: Update) -> Run:
    begin = update.begin or {}
    return _new_run(
        tracked, update.identity, _parent_id(tracked, begin), begin.get("name"), begin.get("time_ms")
    )


def _parent_id(tracked: TrackedStudy, begin: Mapping[str, Any]) -> str:
    """Of the run that this one is shown below; one that has not arrived yet is made, and filled when it does."""
    of = begin.get("parent")
    if of is None or of.endswith(f"/{STUDY_KEY}"):
        return tracked.parent_id
    found = find_run(tracked.client, tracked.experiment_id, of)
    return (found or _new_run(tracked, of, tracked.parent_id)).info.run_id


def _new_run(
    tracked: TrackedStudy,
    run_identity: str,
    parent_id: str,
    name: str | None = None,
    start_ms: int | None = None,
) -> Run:
    return tracked.client.create_run(
        tracked.experiment_id,
        start_time=start_ms,
        tags={IDENTITY: run_identity, PARENT: parent_id},
        run_name=name or run_identity.rpartition("/")[2],
    )


def _hang_up(tracked: TrackedStudy, run: Run, begin: Mapping[str, Any]) -> None:
    """Give a run its name and its place where they are not right yet: it was made before its own beginning
    arrived, or the run above it has been deleted and made again."""
    client, run_id = tracked.client, run.info.run_id
    parent_id = _parent_id(tracked, begin)
    if run.data.tags.get(PARENT) != parent_id:
        client.set_tag(run_id, PARENT, parent_id)
    if run.info.run_name != begin["name"]:
        client.update_run(run_id, name=begin["name"])


def _known_points(tracked: TrackedStudy, run: Run, keys: set[str]) -> set[tuple[str, int]]:
    """(key, step) that the run has; asked only when this journal first meets a run that is there."""
    here = sorted(keys & run.data.metrics.keys())
    return {(key, m.step) for key in here for m in tracked.client.get_metric_history(run.info.run_id, key)}


def _send_values(tracked: TrackedStudy, run_id: str, update: Update, known: set[tuple[str, int]]) -> None:
    from mlflow.entities import Metric, Param, RunTag

    params = [Param(k, v) for k, v in (update.begin or {}).get("params", {}).items()]
    tags = [RunTag(k, v) for k, v in update.tags.items()]
    metrics = [
        Metric(m["key"], m["value"], m["time_ms"], m["step"])
        for m in update.metrics
        if (m["key"], m["step"]) not in known
    ]
    for name, items in (("params", params), ("tags", tags), ("metrics", metrics)):
        for batch in _chunks(items, BATCH[name]):
            tracked.client.log_batch(run_id, **{name: batch}, synchronous=True)


def _chunks(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[i : i + size] for i in range(0, len(items), size)]
