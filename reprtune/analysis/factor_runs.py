"""The runs of the factorial designs of a study, by their levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reprtune.analysis.attempts import deciding
from reprtune.analysis.cells import Factors, Levels, Run
from reprtune.analysis.runs import chance_error, errors_on_test, errors_on_validation
from reprtune.record.outcomes import Outcome
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.sections.arms import Arms


@dataclass(frozen=True, kw_only=True)
class FactorRuns:
    """Of one section.

    Attributes:
        section: its name. cells: of the design. asked: the factor that the question
            is about, if it is about one. aliased: term -> terms that its arms cannot tell from it.
        measured_on: `test` where every complete run has a test error, else `validation`.
        n_diverged: runs that stand with chance error. left: runs that are not finished yet.
    """

    section: str
    factors: Factors
    runs: tuple[Run, ...]
    cells: tuple[Levels, ...]
    asked: str | None
    aliased: Mapping[str, tuple[str, ...]]
    measured_on: str
    n_diverged: int
    left: int


def factor_runs(record: StudyRecord) -> tuple[FactorRuns, ...]:
    """Of every section whose design is factorial."""
    return tuple(
        _of_section(
            record, section, {f.name: tuple(f.levels) for f in getattr(section.design, "factors", ())}
        )
        for section in record.spec.comparisons
        if section.design.is_factorial
    )


def _of_section(record: StudyRecord, section: Arms, factors: Factors) -> FactorRuns:
    name = section.name
    levels = {arm.name: arm.levels for arm in section.arms(record.spec.base) if arm.levels}
    trials = [t for t in deciding(record.of(name)) if t.arm in levels]
    measured, complete = (_runs(trials, levels, None, on_test=one) for one in (True, False))
    on_test = len(measured) == len(complete)
    return FactorRuns(
        section=name,
        factors=factors,
        runs=tuple(_runs(trials, levels, chance_error(record), on_test=on_test)),
        cells=tuple(levels.values()),
        asked=getattr(section.design, "asked", None),
        aliased=section.design.aliases,
        measured_on="test" if on_test else "validation",
        n_diverged=sum(t.outcome == Outcome.DIVERGED for t in trials),
        left=record.pending(name),
    )


def _runs(
    trials: Sequence[TrialRecord], levels: Mapping[str, Levels], chance: float | None, *, on_test: bool
) -> list[Run]:
    """Errors by levels and seed, on one part of the data; with `chance`, diverged runs count with it."""
    read = errors_on_test if on_test else errors_on_validation
    return [
        Run(levels=of_arm, seed=v.seed, error=v.value)
        for arm, of_arm in levels.items()
        for v in read([t for t in trials if t.arm == arm], chance)
    ]
