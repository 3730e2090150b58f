"""Events of journals that earlier versions wrote in MLflow's words, as they are written today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NOTE, USER = "mlflow.note.content", "mlflow.user"
PLOTS = "\n\nIts curve"  # where the old note goes on with what every run has
OWN, FACTOR, FACTOR_NUMBER, RESULT = "reprtune.", "param.", "hp.", "result."  # prefixes of old


def as_today(event: dict[str, Any]) -> dict[str, Any]:
    """The event itself, where it is of today."""
    kind = event.get("event")
    if kind == "begin" and "tags" in event and "factors" not in event:
        return _begin(event)
    if kind == "end" and "status" in event:
        return _end(event)
    if kind == "tags" and any(name.startswith((OWN, "mlflow.")) for name in event["tags"]):
        return {"event": "tags", "tags": _own(event["tags"])}
    return event


def _begin(event: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers of factors are where they were metrics; the other values are texts, as they were."""
    tags, params = event["tags"], event["params"]
    numbers = {row["key"].removeprefix(FACTOR_NUMBER): row["value"] for row in event["metrics"]}
    names = [name.removeprefix(FACTOR) for name in tags if name.startswith(FACTOR)]
    kept = {
        key: event[key]
        for key in ("event", "identity", "parent", "name", "time_ms", "attempt", "config")
        if key in event
    }
    return {
        **kept,
        "factors": {name: numbers.get(name, tags[FACTOR + name]) for name in names},
        "params": {name: value for name, value in params.items() if name not in names},
        "tags": _own(tags),
        "note": tags.get(NOTE, "").partition(PLOTS)[0],
    }


def _end(event: Mapping[str, Any]) -> dict[str, Any]:
    rows = event["metrics"]
    return {
        "event": "end",
        "time_ms": event["time_ms"],
        "outcome": event["tags"][OWN + "outcome"],
        "step": rows[0]["step"] if rows else 0,
        "results": {row["key"].removeprefix(RESULT): row["value"] for row in rows},
        "tags": _own(event["tags"]),
    }


def _own(tags: Mapping[str, str]) -> dict[str, str]:
    """Our own tags by their plain names, without the outcome, which is said at the end."""
    own = {name.removeprefix(OWN): text for name, text in tags.items() if name.startswith(OWN)}
    own.pop("outcome", None)
    return {**own, "user": tags[USER]} if USER in tags else own
