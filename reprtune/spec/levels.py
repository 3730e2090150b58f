"""A trial field by field, as people read it: what is not there has no level.

The path of a place has the name of its part; an option that belongs to one place only is written without it.
"""

from __future__ import annotations

from typing import Any

from reprtune.spec.branch import Branch
from reprtune.spec.codec import to_plain
from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.places import full_path, short_path
from reprtune.spec.trial import TrialSpec


def levels(trial: TrialSpec) -> dict[str, Any]:
    """Path -> plain value of every field: `method.criterion: "l2"`, `method.prune_ratio: 0.3`. Places that are
    empty, and options of parts that are not there, do not appear."""
    return {short_path(path): value for path, value in _fields(trial).items()}


def level(trial: TrialSpec, path: str) -> Any:
    """The value at one path, short or full; None where it does not exist, or has no value of its own, as a whole
    method has none."""
    return _fields(trial).get(full_path(path))


def _fields(trial: TrialSpec) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("task", "model", "training"):
        found |= {
            f"{name}.{field}": value for field, value in to_plain(getattr(trial, name), whole=True).items()
        }
    return {**found, **_of_method(trial.method), "seed": trial.seed, **_of_branch(trial.branch)}


def _of_branch(branch: Branch | None) -> dict[str, Any]:
    """Its point and what changes there; nothing without one."""
    if branch is None:
        return {}
    changes = {f"branch.{short_path(path)}": value for path, value in branch.changes.items()}
    return {"branch.at": branch.at, **changes}


def _of_method(method: MethodSpec) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for place, part in method.parts():
        path = f"method.{place}"
        found[path] = f"{found[path]}+{part.name}" if path in found else part.name
    return found | {f"method.{place}.{name}": to_plain(value) for place, name, value in method.options()}
