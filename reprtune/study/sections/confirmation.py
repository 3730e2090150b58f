"""What a confirmation has to do: leaders and arms on fresh seeds, once the sections before it are finished.

Until then a leader may change. What was queued stays: a leader is confirmed to the end although a slot that was
repaired has overtaken it since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reprtune.record.leaders import leader_arm, leaders
from reprtune.record.schema import StudyRecord
from reprtune.spec.sections.confirmation import Confirmation
from reprtune.study.sections.cell import Cell


def next_work(section: Confirmation, study: StudyRecord) -> Iterable[Cell]:
    """Seed by seed, so that what is finished early is paired; nothing yet while others have slots left."""
    if any(study.pending(one.name) for one in study.spec.sections if one is not section):
        return []
    arms = confirmed_arms(section, study)
    return [Cell(arm=arm, seed=seed, settings=arms[arm]) for seed in section.seeds for arm in arms]


def confirmed_arms(section: Confirmation, study: StudyRecord) -> dict[str, Mapping[str, Any]]:
    """Arm -> what differs from the base: the arms of the study first, then leaders by their slots."""
    arms: dict[str, Mapping[str, Any]] = {arm.name: study.trained(arm) for arm in study.spec.arms}
    arms |= {str(t.arm): t.settings or {} for t in study.of(section.name) if t.arm not in arms}
    slots = {trial.slot: trial for trial in study.complete()}
    chosen = [*leaders(study, section.top), *(slots[slot] for slot in section.slots if slot in slots)]
    drawn = {leader_arm(trial.slot): study.spec.settings(trial.params) for trial in chosen}
    return arms | {arm: settings for arm, settings in drawn.items() if arm not in arms}
