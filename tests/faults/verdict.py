"""What Optuna and MLflow hold of a study, read by their own clients, and what is wrong with it."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote, urlsplit

import optuna
from optuna.trial import FrozenTrial, TrialState

WEIGHTS = "network/weights.pt"
Slot = tuple[str, int, str]  # study in Optuna, slot, arm


@dataclass
class Found:
    """Attributes:
    finished: slot -> what its trials came to: parameters and values. open: trials that wait or run. attempts: how
        often a slot was begun. lost: workers whose slot was taken from them. runs: name -> status and digest of
        the weights of every run of MLflow with that name.
    """

    finished: dict[Slot, list[tuple[Any, ...]]] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)
    attempts: int = 0
    lost: list[str] = field(default_factory=list)
    runs: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


def found(storage: str, mlflow: str) -> Found:
    """Args: storage, mlflow: URLs."""
    result = Found()
    _ask_optuna(storage, result)
    _ask_mlflow(mlflow, result)
    return result


def _ask_optuna(url: str, result: Found) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(url)
    try:
        for name in optuna.study.get_all_study_names(storage):
            for trial in optuna.load_study(study_name=name, storage=storage).trials:
                _note(name, trial, result)
    finally:
        storage.engine.dispose()


def _note(name: str, trial: FrozenTrial, result: Found) -> None:
    attrs = trial.user_attrs
    slot = name, int(attrs["slot"]), str(attrs.get("arm") or "")
    result.attempts += "lease" in attrs
    if trial.state == TrialState.COMPLETE:
        came_to = tuple(sorted(trial.params.items())), tuple(trial.values)
        result.finished.setdefault(slot, []).append(came_to)
    elif not trial.state.is_finished():
        result.open.append(f"{name} slot {slot[1]} is {trial.state.name} in Optuna")
    elif "result" not in attrs and "lease" in attrs:
        result.lost.append(attrs["lease"]["worker"])


def _ask_mlflow(uri: str, result: Found) -> None:
    patience = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "120"}  # the program's own is short
    with warnings.catch_warnings(), patch.dict(os.environ, patience):
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        client = MlflowClient(uri)
        ids = [
            experiment.experiment_id
            for experiment in client.search_experiments()
            if experiment.name != "Default"
        ]
        runs = client.search_runs(ids, max_results=5000) if ids else []  # what was deleted, nobody sees
        for run in runs:
            weights = _digest(client, run)
            result.runs.setdefault(str(run.info.run_name), []).append((run.info.status, weights))


def _digest(client: Any, run: Any) -> str:
    """Of the weights that are kept with it; empty where there are none."""
    place = urlsplit(run.info.artifact_uri)
    if place.scheme in ("", "file"):
        path = Path(unquote(place.path)) / WEIGHTS
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
    if not any(file.path == WEIGHTS for file in client.list_artifacts(run.info.run_id, "network")):
        return ""
    path = Path(client.download_artifacts(run.info.run_id, WEIGHTS))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def defects(seen: Found, undisturbed: Found) -> Iterator[str]:
    """Each as a line; none where every slot was finished exactly once, as if nothing had happened."""
    yield from seen.open
    for slot, expected in undisturbed.finished.items():
        name, came_to = f"{slot[0]} slot {slot[1]} {slot[2]}".strip(), seen.finished.get(slot, [])
        if len(came_to) != 1:
            yield f"{name} was finished {len(came_to)} times"
        elif came_to != expected:
            yield f"{name} came to {came_to[0]}, and undisturbed to {expected[0]}"
    yield from (f"{slot} is a slot too many" for slot in seen.finished.keys() - undisturbed.finished.keys())
    for run, (expected_run,) in undisturbed.runs.items():
        runs = seen.runs.get(run, [])
        if len(runs) != 1:
            yield f"{len(runs)} runs in MLflow are called {run!r}"
        elif runs[0][0] != expected_run[0]:
            yield f"run {run!r} is {runs[0][0]} in MLflow"
        elif runs[0][1] != expected_run[1]:
            yield f"run {run!r} has {'other' if runs[0][1] else 'no'} weights"
    yield from (f"run {run!r} is too many" for run in seen.runs.keys() - undisturbed.runs.keys())
