"""Where MLflow shows the run of a trial, by the names the pages call it."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from reprtune.record.links import run_url
from reprtune.record.schema import StudyRecord
from reprtune.record.slots import slot_key


def web_address(tracking_uri: str) -> str | None:
    """The address of MLflow's page where the tracking store is a server, without its password; else None."""
    parts = urlsplit(tracking_uri)
    if parts.scheme not in ("http", "https"):
        return None
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


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
        if trial.is_drawn:
            found |= {str(trial.slot): address, f"slot {trial.slot}": address}
        else:
            found[f"{trial.arm}, seed {trial.seed}"] = address
    return found
