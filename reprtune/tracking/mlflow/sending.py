"""What is new about a run, sent to MLflow in few calls."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprtune.errors import TrackingError
from reprtune.record.outcomes import Outcome
from reprtune.tracking.events import STUDY_KEY
from reprtune.tracking.mlflow import words
from reprtune.tracking.mlflow.connection import NOT_HERE, ONE_FOLDER, TrackedStudy, find_run, make_run
from reprtune.tracking.mlflow.datasets import as_entities, parts_of_run
from reprtune.tracking.mlflow.model import model_files
from reprtune.tracking.updates import RunUpdate

if TYPE_CHECKING:
    from mlflow.entities import Run

BATCH = {"metrics": 1000, "params": 100, "tags": 100}  # MLflow's limits for one call
ATTEMPT = "reprtune.attempt"
SAID_AT_THE_END = {"reprtune.outcome", "reprtune.state", "reprtune.error"}  # tags
LARGEST = sys.float_info.max
PARENT = "mlflow.parentRunId"


def send(tracked: TrackedStudy, update: RunUpdate, run: Run | None) -> Run | None:
    """Bring all of one run but its artifacts up to date. Doing it again changes nothing.

    What another machine has written of a later attempt stays: a later attempt gives all points of
    the slot again, so this one has nothing to add. The beginning of an attempt whose end is there already, because
    somebody took that from the record, does not open the run again.

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
        known = _known_points(tracked, run, {words.metric_name(m) for m in update.metrics})
    client, run_id = tracked.client, run.info.run_id
    if update.begin is not None:
        _hang_up(tracked, run, update.begin)
    if _is_over(run, update):
        update = replace(update, outcome=None)
    status = None if update.outcome is None else Outcome(update.outcome).status
    if status == "RUNNING" and run.info.status != "RUNNING":
        client.update_run(run_id, "RUNNING")
    _send_values(tracked, run, update, known)
    if update.begin is not None:
        used = parts_of_run(tracked.datasets, update.begin, tracked.task)
        if used:
            client.log_inputs(run_id, datasets=as_entities(used))
    if status not in (None, "RUNNING"):
        client.set_terminated(run_id, status, end_time=update.end_ms)
    return run


def lacks(run: Run, update: RunUpdate) -> bool:
    """Whether a run is not yet what an update says: status, tags and parameters, and the last value of every curve
    and result. The points before the last are not looked at, for they are sent in their order."""
    if update.outcome is not None and run.info.status != Outcome(update.outcome).status:
        return True
    shown, wanted = run.data, words.tags(update)
    if any(shown.tags.get(tag) != wanted[tag] for tag in SAID_AT_THE_END & wanted.keys()):
        return True
    if update.begin is not None and words.params(update.begin).keys() - shown.params.keys():
        return True
    last = {words.metric_name(m): m.value for m in sorted(update.metrics, key=lambda m: m.step)}
    return any(not _same(shown.metrics.get(name), value) for name, value in last.items())


def artifacts(tracked: TrackedStudy, run_id: str) -> set[str]:
    """Names of the files and folders that a run has."""
    return {found.path for found in tracked.client.list_artifacts(run_id)}


def send_artifact(tracked: TrackedStudy, run_id: str, name: str, content: str | Path) -> None:
    """Write an artifact of a run: a text under its name, or a folder of files; again replaces it. A folder that
    holds an exported network becomes a model of MLflow.

    Raises:
        Exception: of MLflow or of the place where artifacts are.
    """
    if tracked.absent is not None:  # MLflow would make a folder of that name here
        raise TrackingError(NOT_HERE.format(folder=tracked.absent), ONE_FOLDER)
    if isinstance(content, Path):
        tracked.client.log_artifacts(run_id, str(content), name)
        for file, text in model_files(content).items():
            tracked.client.log_text(run_id, text, f"{name}/{file}")
    else:
        tracked.client.log_text(run_id, content, name)


def _create(tracked: TrackedStudy, update: RunUpdate) -> Run:
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
    name = name or run_identity.rpartition("/")[2]
    tags = {PARENT: parent_id}
    return make_run(tracked.client, tracked.experiment_id, run_identity, name, tags, start_ms)


def _hang_up(tracked: TrackedStudy, run: Run, begin: Mapping[str, Any]) -> None:
    """Give a run its name and its place where they are not right yet: it was made before its own beginning
    arrived, or the run above it has been deleted and made again."""
    client, run_id = tracked.client, run.info.run_id
    parent_id = _parent_id(tracked, begin)
    if run.data.tags.get(PARENT) != parent_id:
        client.set_tag(run_id, PARENT, parent_id)
    if run.info.run_name != begin["name"]:
        client.update_run(run_id, name=begin["name"])


def _is_over(run: Run, update: RunUpdate) -> bool:
    """Did the attempt whose beginning is told end already?"""
    if update.begin is None or update.outcome != Outcome.RUNNING or run.info.status == "RUNNING":
        return False
    return int(run.data.tags.get(ATTEMPT, -1)) == update.attempt


def _same(shown: float | None, value: float) -> bool:
    """Equal as databases keep numbers: none of them holds an infinite one."""
    if shown is None or math.isnan(shown) or math.isnan(value):
        return shown is not None and math.isnan(shown) and math.isnan(value)
    return max(-LARGEST, min(LARGEST, shown)) == max(-LARGEST, min(LARGEST, value))


def _known_points(tracked: TrackedStudy, run: Run, keys: set[str]) -> set[tuple[str, int]]:
    """(key, step) that the run has; asked only when this journal first meets a run that is there."""
    here = sorted(keys & run.data.metrics.keys())
    return {(key, m.step) for key in here for m in tracked.client.get_metric_history(run.info.run_id, key)}


def _send_values(tracked: TrackedStudy, run: Run, update: RunUpdate, known: set[tuple[str, int]]) -> None:
    from mlflow.entities import Metric, Param, RunTag

    params = [Param(k, v) for k, v in (words.params(update.begin) if update.begin else {}).items()]
    tags = [RunTag(k, v) for k, v in words.tags(update).items()]
    metrics = [
        Metric(name, m.value, m.time_ms, m.step)
        for name, m in ((words.metric_name(m), m) for m in update.metrics)
        if (name, m.step) not in known or (m.kind == "result" and not _same(run.data.metrics[name], m.value))
    ]
    for name, items in (("params", params), ("tags", tags), ("metrics", metrics)):
        for batch in _chunks(items, BATCH[name]):
            tracked.client.log_batch(run.info.run_id, **{name: batch}, synchronous=True)


def _chunks(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[i : i + size] for i in range(0, len(items), size)]
