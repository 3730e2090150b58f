"""What a slot's journal says, built from specifications and records, in no tracker's words.

    begin     a slot begins or goes on: whose run it is (identity, parent, name), its searched `factors` and the
              other settings (`params`) with their values, `tags`, a `note` for a person, its whole `config` (JSON)
    metrics   measured values, each with key, step and time
    artifact  a file or folder of that name was put beside the journal
    tags      further ones
    end       how it ended (`outcome`, a key of OUTCOMES), and its final `results` at a `step`

The step is the optimizer step, errors are fractions, times are milliseconds since 1970 (`time_ms`).
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reprtune.errors import SpecError
from reprtune.history import CURVES, PHASES, Drop, Happening, Point
from reprtune.spec.codec import to_plain
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed
from reprtune.spec.levels import levels
from reprtune.spec.parts.places import short_path
from reprtune.spec.space import DurationRange
from reprtune.spec.study import StudySpec
from reprtune.spec.trial import TrialSpec

PLOTS, PLOTS_DATA = "plots.html", "plots.json"  # a trial's page, and what it is drawn from where it is sent
STUDY_KEY = "study"  # the journal of the study's own run, the parent of all others
Event = dict[str, Any]


def identity(digest: str, key: str) -> str:
    """What a run is found by: the study's digest and the slot's key."""
    return f"{digest}/{key}"


def begin_event(
    study: StudySpec,
    trial: TrialSpec,
    *,
    digest: str,
    key: str,
    name: str,
    role: str,
    slot: int,
    attempt: int,
    arm: str | None = None,
    parent: str | None = None,
    tags: Mapping[str, Any] | None = None,
    now: float | None = None,
) -> Event:
    """The beginning, or the resumption, of a slot.

    Args:
        digest: of the study. key: of the slot's journal. name: shown for the run.
        role: `search`, `control`, `confirmation`, or `seed`: one of several of the search. attempt: 0 for the first.
        parent: key of the run it is shown below (a slot's seeds below their slot); None = the study's own.
        tags: further ones of this attempt: `git_sha`, `host`, `device`, `worker`.
        now: seconds since 1970; the clock when None.
    """
    factors, searched = factor_levels(study, trial), {*map(short_path, study.space)}
    fixed = {path: value for path, value in levels(trial).items() if path not in searched}
    own = {
        "study": study.name, "digest": digest, "role": role, "arm": arm or role, "slot": slot,
        "seed": trial.seed, "attempt": attempt, **(tags or {}),
    }  # fmt: skip
    return {
        "event": "begin",
        "identity": identity(digest, key),
        "parent": identity(digest, parent or STUDY_KEY),
        "name": name,
        "time_ms": _ms(now),
        "attempt": attempt,
        "factors": to_plain(factors),
        "params": to_plain(fixed),
        "tags": own,
        "note": _note(own, factors),
        "config": json.dumps(to_plain(trial), indent=2),
    }


def _note(own: Mapping[str, Any], factors: Mapping[str, Any]) -> str:
    """What a person reads first on the run's page."""
    role, slot = own["role"], f"Slot {own['slot']} of the search"
    what = {
        "search": slot, "seed": slot, "confirmation": f"Confirmation of {own['arm']}, on a fresh seed",
    }.get(role, f"Control {own['arm']}")  # fmt: skip
    values = ", ".join(f"{name} {text(value)}" for name, value in factors.items())
    return f"{what}, seed {own['seed']}{values and f': {values}'}."


def factor_levels(study: StudySpec, trial: TrialSpec) -> dict[str, Any]:
    """The trial's value of every searched field that it has, by its name in Optuna; controls have them too.

    A duration is a number where it is in its range's unit. Of whole methods, the one that makes the trial with
    its other levels; none where it has been changed in something that is not searched.
    """
    fields = levels(trial)
    found = {path: fields[short_path(path)] for path in study.space if short_path(path) in fields}
    if "method" in study.space and (method := _method(study, trial, found)) is not None:
        found["method"] = method
    return {study.names[path]: _level(study, path, found[path]) for path in study.space if path in found}


def _level(study: StudySpec, path: str, value: Any) -> Any:
    range_ = study.space[path]
    in_unit = isinstance(range_, DurationRange) and str(value).endswith(range_.unit)
    return float(Duration.parse(value).value) if in_unit else value


def _method(study: StudySpec, trial: TrialSpec, others: Mapping[str, Any]) -> Any:
    """The whole method that the space may choose and with which the other levels make the trial's."""
    for method in study.space["method"].values() or ():
        with contextlib.suppress(SpecError):
            if changed(study.base, {**others, "method": method}).method == trial.method:
                return method
    return None


def tags_event(tags: Mapping[str, Any]) -> Event:
    """Tags for the run that the journal is at."""
    return {"event": "tags", "tags": dict(tags)}


def metrics_event(
    points: Iterable[Point],
    drops: Iterable[Drop] = (),
    members: Mapping[int, tuple[Sequence[float], float]] | None = None,
    happenings: Iterable[Happening] = (),
) -> Event:
    """The evaluations of a trial, and each layer's overlap just before its drops.

    An attempt that takes up a slot gives all points of its history first: what is known already is
    merged, and what a vanished worker did not get to send is there. `phase` is 0 for full, 1 for sub.
    A drop takes its time from the point at its step; without one it is left out. Overlaps are the first network's.

    Args:
        members: of a trial of several networks, step -> the error of each, and of their ensemble.
        happenings: all else, as `measure.distance` or `end.params`; those of the first network.
    """
    points = list(points)
    times = {p.step: _ms(p.time) for p in points}
    metrics = [_metric(key, value, p.step, times[p.step]) for p in points for key, value in _values(p)]
    metrics += [
        _metric(f"overlap.{layer}", value, d.step, times[d.step])
        for d in drops
        if d.step in times and d.member == 0
        for layer, value in d.overlap.items()
    ]
    metrics += [
        _metric(f"{told.kind}.{name}", value, told.step, times[told.step])
        for told in happenings
        if told.step in times and told.member == 0
        for name, value in told.numbers.items()
    ]
    for step, (errors, ensemble) in (members or {}).items():
        rows = {f"member_error.{k}": error for k, error in enumerate(errors)} | {"ensemble_error": ensemble}
        metrics += [_metric(key, value, step, times[step]) for key, value in rows.items() if step in times]
    return {"event": "metrics", "metrics": metrics}


def end_event(
    outcome: str,
    *,
    step: int = 0,
    metrics: Mapping[str, float] | None = None,
    tags: Mapping[str, Any] | None = None,
    now: float | None = None,
) -> Event:
    """The end of an attempt. For the study's own run, `running` opens it again.

    Args:
        outcome: of `record.outcomes`. step: optimizer steps done, where the final metrics stand.
        metrics: final ones (`seconds_spent`, `steps_alone`).
        tags: further ones (`error`).
    """
    return {
        "event": "end",
        "time_ms": _ms(now),
        "outcome": outcome,
        "step": step,
        "results": {key: float(value) for key, value in (metrics or {}).items()},
        "tags": dict(tags or {}),
    }


def _values(point: Point) -> list[tuple[str, float]]:
    return [*((name, getattr(point, name)) for name in CURVES), ("phase", PHASES.index(point.phase))]


def _metric(key: str, value: float, step: int, time_ms: int) -> dict[str, Any]:
    return {"key": key, "value": float(value), "step": step, "time_ms": time_ms}


def text(value: Any) -> str:
    """A value as a person reads it: texts as they are, whole numbers without a point, all else as JSON."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else json.dumps(to_plain(value))


def _ms(seconds: float | None) -> int:
    return round(1000 * (time.time() if seconds is None else seconds))
