"""Does RePr make your network better, which of its parts does it, and with which settings?

What a notebook needs is offered here, and loaded when it is first named: see `reprtune.notebook`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reprtune.notebook import (
        LEADER,
        Arm,
        Arms,
        Choice,
        Confirmation,
        Duration,
        DurationRange,
        FloatRange,
        History,
        IntRange,
        Median,
        MethodSpec,
        ModelSpec,
        NoStop,
        Percentile,
        ReprtuneError,
        Rule,
        Search,
        StudySpec,
        SuccessiveHalving,
        TaskSpec,
        TrainingSpec,
        TrialSpec,
        compose,
        create_study,
        epochs,
        named,
        plain_lengths,
        read_study,
        run_study,
        run_trial,
        steps,
        trials_table,
    )

__version__ = "0.1.0"
__all__ = [
    "LEADER",
    "Arm",
    "Arms",
    "Choice",
    "Confirmation",
    "Duration",
    "DurationRange",
    "FloatRange",
    "History",
    "IntRange",
    "Median",
    "MethodSpec",
    "ModelSpec",
    "NoStop",
    "Percentile",
    "ReprtuneError",
    "Rule",
    "Search",
    "StudySpec",
    "SuccessiveHalving",
    "TaskSpec",
    "TrainingSpec",
    "TrialSpec",
    "compose",
    "create_study",
    "epochs",
    "named",
    "plain_lengths",
    "read_study",
    "run_study",
    "run_trial",
    "steps",
    "trials_table",
]

if not TYPE_CHECKING:  # a checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        """The name, loaded with the first that is asked for."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.notebook"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
