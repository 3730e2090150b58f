"""The one order of a study's complete trials, and so its one best: every page and command names the same.

The first measure decides: what the study minimises; of several objectives the error where it is one, else the
first. Of equals the other measures that trials are compared by decide, then the earlier trial.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from reprtune.record.measures import at_the_end
from reprtune.record.repeats import joined
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.objectives import ERROR
from reprtune.spec.study import StudySpec


def order(spec: StudySpec) -> tuple[str, ...]:
    """What trials are ranked by, the measure that decides first."""
    first = ERROR if ERROR in spec.objectives else spec.objectives[0]
    return (first, *(measure for measure in spec.compared if measure != first))


def best_first(trials: Iterable[TrialRecord], measures: Sequence[str]) -> list[TrialRecord]:
    """The complete trials whose first measure is known; in all others one that is not known counts as the
    highest."""

    def rank(trial: TrialRecord) -> tuple[float, ...]:
        ends = (at_the_end(trial, measure) for measure in measures)
        return (*(math.inf if end is None else end for end in ends), trial.number)

    return sorted((t for t in trials if at_the_end(t, measures[0]) is not None), key=rank)


def best(study: StudyRecord) -> TrialRecord | None:
    """The best setting of the search with a complete trial; None without one."""
    return next(iter(best_first(joined(study.trials), order(study.spec))), None)
