"""The short trials that visit every choice of a study."""

from __future__ import annotations

import itertools
from typing import Any

from reprtune.spec.codec import digest
from reprtune.spec.edit import changed
from reprtune.spec.parts.places import short_path
from reprtune.spec.parts.schedules import Cycles, Every, Schedule
from reprtune.spec.study import StudySpec
from reprtune.spec.trial import TrialSpec

DRY = {"training.total": "6it", "training.segment": "2it"}


def dry_trials(spec: StudySpec) -> dict[str, TrialSpec]:
    """What is tried before anything is written: one cycle, two steps a side, for every choice, both
    ends of every range, and every arm and its first try. Name -> trial, each different one once."""
    trials = {"the base": spec.base}
    for path, range_ in spec.space.items():
        for above, value in itertools.product(spec.draws.holders(path), range_.ends()):
            named = ", ".join(
                f"{short_path(where)} = {what}" for where, what in (above | {path: value}).items()
            )
            trials[named] = changed(spec.base, above | {path: value})
    for arm in spec.arms:
        trial = changed(spec.base, arm.changes)
        trials[f"arm {arm.name}"] = trial.trunk
        if trial.branch is not None:
            trials[f"arm {arm.name}, after its branch"] = trial.after
    for section in spec.comparisons:
        if (tune := section.tune) is not None:
            arms = section.arms(spec.base)
            tried = {f"arm {one.name}": one.changes for arm in arms for one in tune.tried(arm, spec.base)[:1]}
            tried |= tune.ends(arms, spec.base)
            trials |= {name: changed(spec.base, changes) for name, changes in tried.items()}
    seen: dict[str, tuple[str, TrialSpec]] = {}
    for name, trial in trials.items():
        short = changed(trial, DRY | _dry_schedule(trial.method.schedule))
        seen.setdefault(digest(short), (name, short))
    return dict(seen.values())


def _dry_schedule(schedule: Schedule | None) -> dict[str, Any]:
    """What makes a schedule happen within a dry trial."""
    if isinstance(schedule, Cycles):
        return {"method.cycles": 1, "method.s1": "2it", "method.s2": "2it" if schedule.s2.value else "0it"}
    return {"method.period": "2it", "method.until": 1.0} if isinstance(schedule, Every) else {}
