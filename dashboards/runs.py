"""Where MLflow shows the run of a trial, by the names the pages call it."""

from __future__ import annotations

from reprtune.record.labels import trial_label
from reprtune.record.links import run_url
from reprtune.record.schema import StudyRecord
from reprtune.record.slots import slot_key


def run_addresses(record: StudyRecord, mlflow: str) -> dict[str, str]:
    """Label of a trial, and its bare slot -> address of its run; empty where the experiment is unknown."""
    experiment = record.facts.get("experiment")
    if not experiment:
        return {}
    found: dict[str, str] = {}
    for trial in record.everything:
        if trial.started is None:
            continue
        address = run_url(mlflow, str(experiment["id"]), f"{record.instance}/{slot_key(trial)}")
        found[trial_label(trial)] = address
        if trial.is_drawn:
            found[str(trial.slot)] = address
    return found
