"""A flat row for every try by which an arm was tuned. Plain values in fractions, steps, GFLOPs and seconds."""

from __future__ import annotations

from typing import Any

from reprtune.analysis.tuned import all_tuned
from reprtune.record.schema import StudyRecord
from reprtune.spec.objectives import ERROR
from reprtune.spec.parts.places import short_path

TRY_COLUMNS = {  # name -> field of a try
    "try": "n",
    ERROR: "error",
    "n_left": "left",
    "n_diverged": "n_diverged",
    "n_failed": "n_failed",
    "steps_spent": "steps",
    "gflops_spent": "gflops",
    "seconds_spent": "seconds",
}


def try_rows(study: StudyRecord) -> list[dict[str, Any]]:
    """In the order of the arms; errors are of the validation part."""
    return [
        {
            "section": arm.section,
            "arm": arm.arm,
            "is_best": one.n == arm.best,
            **{short_path(path): value for path, value in one.drawn.items()},
            **{name: getattr(one, field) for name, field in TRY_COLUMNS.items()},
        }
        for arm in all_tuned(study)
        for one in arm.tries
    ]


def try_columns(study: StudyRecord) -> tuple[str, ...]:
    """What is drawn has a column of its own."""
    spaces = [section.tune.space for section in study.spec.comparisons if section.tune is not None]
    drawn = dict.fromkeys(short_path(path) for space in spaces for path in space)
    return ("section", "arm", "try", "is_best", *drawn, *(name for name in TRY_COLUMNS if name != "try"))
