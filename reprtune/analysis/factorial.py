"""A factorial design: what each factor does over all cells, and which factors act together.

*Notations*

    cell       one combination of levels, trained once with each seed; a diverged run comes with chance error
    term       a factor, or two factors together (`A:B`)
    SS, df     of a term: what it explains beyond all others that do not hold it (type II), and its degrees of freedom,
               in error ~ C(seed) + factors + pairs: each seed is a block. Of pairs only those are fitted that
               the runs can tell from all terms before them, so that an alias is fitted once
    F, p       mean square of the term over that of the residual; p_holm: corrected by Holm's rule over the terms
    share      SS over the sum of squares within seeds
    omega2     partial omega squared, df (F - 1) / (df (F - 1) + N), N runs: about 0, of either sign, without an effect
    effect     of a level: per seed, the mean over all cells with it minus that over all cells with the reference
               level; then paired over seeds (`reprtune.analysis.paired`), without correction
    shown      p_holm of the term below 5 %, and, of what has paired differences, that of one of these too, corrected by
               Holm's rule over all effects and together
    together   of two factors with two levels each: per seed, the effect of the first at the second's other level minus
               that at its reference level; paired over seeds

The residual holds what a seed does to single cells. Where seeds also change a whole factor's effect, F is too large,
and the paired interval, which needs no such assumption, is what holds.

References: Montgomery 2017, Design and Analysis of Experiments, chapters 4 to 6 (blocks, factorials); Olejnik and Algina
2003, Psychological Methods 8:434-447 (partial omega squared); Holm 1979.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from reprtune.analysis.cells import Cell, CellTable, Factors, Levels, Run, WhyNot
from reprtune.analysis.level import ALPHA
from reprtune.analysis.paired import Comparison, compared, corrected
from reprtune.analysis.variance import Term, Why, anova, estimable


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A level against the reference level of its factor, averaged over all other factors.

    Attributes:
        mean, reference_mean: errors over all complete seeds and cells of either level.
        aliases: terms that this design cannot tell from it.
        comparison: paired by seed; `p_holm` over all effects, and all that act together.
    """

    factor: str
    level: str
    reference: str
    mean: float
    reference_mean: float
    comparison: Comparison
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Together:
    """How much the effect of `first` is another one at the second level of `second`."""

    first: str
    second: str
    comparison: Comparison
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Factorial:
    """What a factorial design says.

    Attributes:
        terms: of the analysis of variance, over all runs; empty where `why` says why there is none.
        effects, together: over seeds complete in all cells; empty where `why_not` says why.
        cell_means: cell, levels in the order of the factors -> mean error over complete seeds.
        seeds: complete in all cells. left_out: seeds that are not.
    """

    factors: Factors
    n_runs: int
    terms: tuple[Term, ...] = ()
    why: Why | None = None
    residual_df: int | None = None
    effects: tuple[Effect, ...] = ()
    together: tuple[Together, ...] = ()
    why_not: WhyNot | None = None
    cell_means: Mapping[Cell, float]
    seeds: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()

    @property
    def shown(self) -> tuple[Term, ...]:
        """Terms with an effect, after correction, the largest share first."""
        found = (t for t in self.terms if t.p_holm is not None and t.p_holm < ALPHA and self._holds(t))
        return tuple(sorted(found, key=lambda t: -t.share))

    def _holds(self, term: Term) -> bool:
        """Is it there too when seeds may change what a factor does? A pair of more levels has only its F."""
        paired = [one.comparison for one in self.effects if (one.factor,) == term.factors]
        paired += [one.comparison for one in self.together if {one.first, one.second} == {*term.factors}]
        return not paired or any(one.is_shown for one in paired)


def factorial(
    runs: Sequence[Run],
    factors: Factors,
    *,
    measured_on: str = "test",
    aliased: Mapping[str, tuple[str, ...]] | None = None,
    cells: Collection[Levels] | None = None,
) -> Factorial:
    """The analysis of a design.

    Args:
        runs: finished ones; diverged ones with chance error.
        factors: factor -> its levels, the reference first.
        aliased: term -> terms that the design cannot tell from it, where it is a fraction.
        cells: of the design; by default those that have a run.

    Raises:
        StudyError: a run or cell has a level that its factor does not have.
    """
    table = CellTable(runs, factors, cells)
    known = {_key(term): others for term, others in (aliased or {}).items()}
    of_runs = [tuple(run.levels[f] for f in factors) for run in runs]
    terms, why, df = anova([r.error for r in runs], [r.seed for r in runs], of_runs, factors, known)
    why_not = table.why_not()
    effects = [] if why_not else _effects(table, known, measured_on)
    together = [] if why_not else _together(table, known, measured_on)
    family = iter(corrected([e.comparison for e in effects] + [t.comparison for t in together]))
    return Factorial(
        factors={f: tuple(levels) for f, levels in factors.items()},
        n_runs=len(runs),
        terms=terms,
        why=why,
        residual_df=df,
        effects=tuple(replace(one, comparison=next(family)) for one in effects),
        together=tuple(replace(one, comparison=next(family)) for one in together),
        why_not=why_not,
        cell_means=table.cell_means(),
        seeds=tuple(table.seeds),
        left_out=tuple(sorted({r.seed for r in runs} - {*table.seeds})),
    )


def _key(term: str) -> frozenset[str]:
    """A term without an order of its factors."""
    return frozenset(term.split(":"))


def _effects(
    table: CellTable, aliased: Mapping[frozenset[str], tuple[str, ...]], measured_on: str
) -> list[Effect]:
    found = []
    for i, factor in enumerate(table.factors):
        reference, *others = table.levels(i)
        base = table.means({factor: reference})
        for level in others:
            ours = table.means({factor: level})
            found.append(
                Effect(
                    factor=factor,
                    level=level,
                    reference=reference,
                    mean=float(ours.mean()),
                    reference_mean=float(base.mean()),
                    comparison=compared(
                        level, reference, table.by_seed(ours), table.by_seed(base), measured_on=measured_on
                    ),
                    aliases=aliased.get(frozenset({factor}), ()),
                )
            )
    return found


def _together(
    table: CellTable, aliased: Mapping[frozenset[str], tuple[str, ...]], measured_on: str
) -> list[Together]:
    """Of pairs that the cells can tell from all terms before them, with two levels each."""
    names, found = list(table.factors), []
    for term in estimable(table.cells, [0] * len(table.cells)):
        if len(term) != 2 or any(len(table.levels(i)) != 2 for i in term):
            continue
        i, j = term
        at = [
            table.means({names[i]: table.levels(i)[1], names[j]: level})
            - table.means({names[i]: table.levels(i)[0], names[j]: level})
            for level in table.levels(j)
        ]
        found.append(
            Together(
                first=names[i],
                second=names[j],
                comparison=compared(
                    f"{names[i]} at {table.levels(j)[1]}", f"{names[i]} at {table.levels(j)[0]}",
                    table.by_seed(at[1]), table.by_seed(at[0]), measured_on=measured_on,
                ),
                aliases=aliased.get(frozenset({names[i], names[j]}), ()),
            )
        )  # fmt: skip
    return found
