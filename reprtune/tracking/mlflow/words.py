"""What the journal says, in MLflow's words: statuses, names of metrics, parameters and tags.

`hp.*` repeats every numeric factor as a metric, because MLflow's parameters are texts that cannot be compared as
numbers. Every run carries every tag, because MLflow's filters leave children out that lack their parent's tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reprtune.tracking.events import text
from reprtune.tracking.updates import Measurement, RunUpdate

NOTE = "mlflow.note.content"
PLOTS = "Its curve and its dropped filters: `plots.html` under Artifacts."
PREFIXES = {"curve": "", "factor": "hp.", "result": "result."}
MAX_TEXT = 5000  # characters of a tag or parameter; older MLflow servers take no more


def metric_name(one: Measurement) -> str:
    return PREFIXES[one.kind] + one.key


def params(begin: Mapping[str, Any]) -> dict[str, str]:
    """Every setting of a trial, the searched ones by their short names."""
    return _texts({**begin["factors"], **begin["params"]})


def tags(update: RunUpdate) -> dict[str, str]:
    """Ours begin with `reprtune.`, those of searched settings with `param.`; the rest are what MLflow's page shows."""
    own = {name: value for name, value in update.tags.items() if name != "user"}
    if update.outcome is not None:
        own["outcome"] = update.outcome
    found = _prefixed("reprtune", own)
    if update.begin is not None:
        found |= _prefixed("param", update.begin["factors"])
        found[NOTE] = f"{update.begin['note']}\n\n{PLOTS}"
    if update.begin is not None or "git_sha" in own:
        found |= _source(update.tags)
    return _texts(found)


def _source(told: Mapping[str, Any]) -> dict[str, str]:
    """Who made the run, and from which commit."""
    found = {"mlflow.source.name": "reprtune", "mlflow.source.type": "LOCAL"}
    if "user" in told:
        found["mlflow.user"] = told["user"]
    if told.get("git_sha", "unknown") != "unknown":
        found["mlflow.source.git.commit"] = told["git_sha"]
    return found


def _prefixed(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": value for name, value in values.items()}


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: _short(text(value)) for name, value in values.items()}


def _short(said: str) -> str:
    return said if len(said) <= MAX_TEXT else said[: MAX_TEXT - 1] + "…"
