"""Numbers of a study that must not be held against those of newer ones."""

from __future__ import annotations

from reprtune.record.schema import StudyRecord
from reprtune.spec.objectives import OBJECTIVES


def outdated(record: StudyRecord) -> tuple[str, ...]:
    """A sentence for each objective that meant something else when the study was created."""
    return tuple(
        f"{name} of this study is of version {then}; now, as version {OBJECTIVES[name].version}, it means something "
        "else. Do not compare the two."
        for name, then in record.other_versions.items()
    )
