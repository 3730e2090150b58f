"""What a factorial design says about the factor that is asked about: over all regimes, where one factor has one level, and in
each regime.

*Notations*

    asked      the factor of the question; its first level, `first`, is held against each other one, the controls
    regime     a combination of levels of all other factors
    difference per seed, the mean over all cells with `first` minus that over all cells with the control, in the regimes
               that have these levels; paired over seeds that are complete in all cells (`reprtune.analysis.paired`)
    family     differences over all regimes, those by one level, and those in each regime are corrected by Holm's rule
               each by themselves

Differences over several regimes are means of as many pairs in each seed, so they have less noise than one regime, and
the degrees of freedom of the seeds all the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from reprtune.analysis.cells import CellTable, Levels, WhyNot
from reprtune.analysis.factor_runs import FactorRuns
from reprtune.analysis.paired import Comparison, compared, corrected


@dataclass(frozen=True, kw_only=True)
class InRegimes:
    """`first` against a control in the regimes with these levels; no levels: in all."""

    levels: Mapping[str, str]
    control: str
    comparison: Comparison

    @property
    def name(self) -> str:
        """`noise 0.4, head flatten`."""
        return ", ".join(f"{factor} {level}" for factor, level in self.levels.items())


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Of one design; nothing is known where `why_not` says why.

    Attributes:
        overall: over all regimes, one for each control. by_level: for each level of each other factor. each: regime.
    """

    factor: str
    first: str
    n_regimes: int
    n_seeds: int
    overall: tuple[InRegimes, ...] = ()
    by_level: tuple[InRegimes, ...] = ()
    each: tuple[InRegimes, ...] = ()
    why_not: WhyNot | None = None


def asked(runs: FactorRuns) -> Asked | None:
    """What the runs of a design say about the factor that it asks about; None where it asks about none."""
    if runs.asked is None:
        return None
    table = CellTable(runs.runs, runs.factors, runs.cells)
    first, *controls = runs.factors[runs.asked]
    others = {factor: levels for factor, levels in runs.factors.items() if factor != runs.asked}
    regimes = [dict(zip(others, levels, strict=True)) for levels in itertools.product(*others.values())]
    known = Asked(factor=runs.asked, first=first, n_regimes=len(regimes), n_seeds=len(table.seeds))
    if why_not := table.why_not():
        return replace(known, why_not=why_not)
    single = [{factor: level} for factor, levels in others.items() for level in levels]

    def family(of: Sequence[Levels]) -> tuple[InRegimes, ...]:
        found = [
            (levels, control, _compared(table, runs, levels, control))
            for levels in of
            for control in controls
        ]
        ps = corrected([comparison for *_, comparison in found])
        return tuple(
            InRegimes(levels=levels, control=control, comparison=comparison)
            for (levels, control, _), comparison in zip(found, ps, strict=True)
        )

    return replace(known, overall=family([{}]), by_level=family(single), each=family(regimes))


def _compared(table: CellTable, runs: FactorRuns, levels: Levels, control: str) -> Comparison:
    assert runs.asked is not None
    first = runs.factors[runs.asked][0]
    ours, theirs = (table.by_seed(table.means({**levels, runs.asked: level})) for level in (first, control))
    return compared(first, control, ours, theirs, measured_on=runs.measured_on)
