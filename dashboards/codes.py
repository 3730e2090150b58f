"""Which code a study was created with, and which of its attempts ran under other code, in words."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.units import count
from reprtune.record.codes import by_code, of_study, other_code
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.record.slots import slot_name

SHOWN = 6  # attempts that are named


def mixed(study: StudyRecord) -> str:
    """A sentence where attempts ran under other code than the study's, or under several; else empty."""
    others, own = other_code(study), of_study(study)
    if not others:
        return ""
    said = "; ".join(f"{code}: {_named(trials)}" for code, trials in others.items())
    if own is None:
        return f"Attempts ran under {count(len(others), 'different code')} ({said}). Their numbers may not compare."
    n = len({id(trial) for trials in others.values() for trial in trials})
    every = len({id(trial) for trials in by_code(study).values() for trial in trials})
    return (
        f"{n} of {count(every, 'attempt')} ran under other code than {own}, which the study was created with "
        f"({said}). Their numbers may not compare."
    )


def created_with(study: StudyRecord) -> str:
    """The code of the study in a line."""
    own = of_study(study)
    if own is None:
        return "unknown: the version that created the study did not write it down"
    code = study.facts["code"]
    packages = ", ".join(f"{name} {version}" for name, version in code["versions"].items())
    return f"{own}: {len(code['modules'])} modules, {packages}; commit {code.get('commit', 'unknown')}"


def _named(trials: Sequence[TrialRecord]) -> str:
    names = list(dict.fromkeys(slot_name(trial) for trial in trials))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
