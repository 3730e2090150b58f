"""The events of a journal, folded into what is new about each run: what a tracker is handed to send."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

CONFIG = "config.json"  # the artifact that a beginning brings along


@dataclass(frozen=True)
class Measurement:
    """One number at one step.

    Attributes:
        kind: `curve`: measured on the way; `factor`: a searched setting, at step 0; `result`: at the end.
        time_ms: milliseconds since 1970.
    """

    kind: Literal["curve", "factor", "result"]
    key: str
    value: float
    step: int
    time_ms: int


@dataclass
class RunUpdate:
    """What is new about one run.

    Attributes:
        whole: nothing of it has been sent from this journal before.
        attempt: number of the last attempt that began. begin: the last beginning among the new events.
        tags: later ones replace earlier ones. metrics: one per kind, key and step, the first one written.
        artifacts: names, each once. outcome: a key of OUTCOMES; None = as it is. end_ms: when it ended.
    """

    identity: str
    whole: bool
    attempt: int = 0
    begin: Mapping[str, Any] | None = None
    tags: dict[str, Any] = field(default_factory=dict)
    metrics: list[Measurement] = field(default_factory=list)
    artifacts: dict[str, None] = field(default_factory=dict)
    outcome: str | None = None
    end_ms: int | None = None


def fold(events: Iterable[tuple[int, Mapping[str, Any]]], offset: int, run_identity: str) -> list[RunUpdate]:
    """The events after `offset` as one update for each run, usually one.

    A point that is written twice with different times (its segment was trained twice, because its
    state was lost) counts once, as first written; a result again where it is another number. What is told of an
    attempt after a later one has begun comes too late and is passed over: a worker that stood still, and whose slot
    was given to another, changes nothing.

    Args:
        events: all events of the slot, each with the offset just after it.
        run_identity: of the run that events before the first beginning belong to.
    """
    updates: dict[str, RunUpdate] = {}
    touched: set[str] = set()
    over: frozenset[str] = frozenset()  # runs whose last attempt has ended
    seen: set[tuple[str, str, str, int, float | None]] = set()
    for end, event in events:
        run_identity = event.get("identity", run_identity)
        update = updates.setdefault(run_identity, RunUpdate(run_identity, whole=end > offset))
        if _is_late(event, update.attempt, over=run_identity in over):
            continue
        if event["event"] in ("begin", "end"):
            over = over - {run_identity} if event["event"] == "begin" else over | {run_identity}
        update.attempt = event.get("attempt", update.attempt)
        for one in _measurements(event):
            name = (run_identity, one.kind, one.key, one.step, one.value if one.kind == "result" else None)
            if end > offset and name not in seen:
                update.metrics.append(one)
            seen.add(name)
        if end > offset:
            touched.add(run_identity)
            _add(update, event)
    return [update for update in updates.values() if update.identity in touched]


def _is_late(event: Mapping[str, Any], attempt: int, *, over: bool) -> bool:
    """Told by a worker that does not hold the slot any more: of an attempt before the last one, or measured on its
    machine after the end."""
    unnumbered = "attempt" not in event
    return event.get("attempt", attempt) < attempt or (over and unnumbered and event["event"] == "metrics")


def _add(update: RunUpdate, event: Mapping[str, Any]) -> None:
    update.tags |= event.get("tags", {})
    if event["event"] == "begin":
        update.begin, update.outcome, update.end_ms = event, "running", None
        update.artifacts[CONFIG] = None
    elif event["event"] == "end":
        update.outcome, update.end_ms = event["outcome"], event["time_ms"]
    elif event["event"] == "artifact":
        update.artifacts[event["name"]] = None


def _measurements(event: Mapping[str, Any]) -> Iterator[Measurement]:
    for row in event.get("metrics", ()):
        yield Measurement("curve", row["key"], row["value"], row["step"], row["time_ms"])
    for key, value in event.get("factors", {}).items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield Measurement("factor", key, float(value), 0, event["time_ms"])
    for key, value in event.get("results", {}).items():
        yield Measurement("result", key, value, event["step"], event["time_ms"])
