"""The branches of a study."""

from __future__ import annotations

from reprtune.spec.branch import FIELD, Branch
from reprtune.spec.edit import changed
from reprtune.spec.study import StudySpec
from reprtune.spec.trial import TrialSpec


def branches_of(spec: StudySpec, trial: TrialSpec) -> tuple[Branch, ...]:
    """The branches among its arms that leave this trial, or the trunk that it has in common with them."""
    arms = [arm for arm in spec.arms if FIELD in arm.changes]
    others = (changed(spec.base, {**arm.changes, "seed": trial.seed}) for arm in arms)
    return tuple(one.branch for one in others if one.branch is not None and one.trunk == trial.trunk)
