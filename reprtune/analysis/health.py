"""Is a study sound? Checks of what its conclusions rest on, each a value; words and remedies stand in the dashboards.

*Notations*

    R^2        cross-validated share of the variance of the trials' ends that a forest of their settings predicts
    rule       the stop rule, asked of the best trial of the search as if it had come last of all
    share      of all draws, or of all begun slots

The first checks are those of Ax (1.3: no effect, cross-validated R^2 below 0.1, the rule replayed on the winner).
"""

from __future__ import annotations

from collections.abc import Callable

from reprtune.analysis import diverged, seeds, spending
from reprtune.analysis.attempts import deciding
from reprtune.analysis.check import Check, made, not_yet
from reprtune.analysis.importance import no_effect
from reprtune.analysis.predictability import LITTLE, predictability
from reprtune.analysis.stopping_account import winner_stopped
from reprtune.record.outcomes import Outcome
from reprtune.record.ranking import best
from reprtune.record.repeats import joined
from reprtune.record.schema import StudyRecord

MOST_INFEASIBLE = 2 / 3
MIN_DRAWS = 20
MOST_REPEATED = 0.1


def checks(record: StudyRecord) -> tuple[Check, ...]:
    """All that are about a kind of section that the study has, what hurts most first."""
    kinds = {section.kind for section in record.spec.sections}
    return tuple(check(record) for about, check in CHECKS.values() if about in kinds)


# -- what is drawn -------------------------------------------------------------------------------------------


def _draws(record: StudyRecord) -> Check:
    n_infeasible = sum(t.outcome == Outcome.INFEASIBLE for t in record.trials)
    n = n_infeasible + len({t.slot for t in record.trials if t.outcome.holds_slot and t.params})
    share = record.facts.get("fitting_share")
    if n < MIN_DRAWS:
        return not_yet("draws", f"Fewer than {MIN_DRAWS} settings have been drawn.", n=n, fitting_share=share)
    return made(
        "draws", n_infeasible > MOST_INFEASIBLE * n, n=n, n_infeasible=n_infeasible, fitting_share=share
    )


def _repeats(record: StudyRecord) -> Check:
    begun = [t for t in deciding(record.trials) if t.params]
    if not begun:
        return not_yet("repeats", "No slot has been drawn.")
    n_repeats = sum(t.repeats is not None for t in begun)
    most = record.spec.draws.most_settings
    return made(
        "repeats",
        n_repeats > 1 and n_repeats > MOST_REPEATED * len(begun),
        n=len(begun),
        n_repeats=n_repeats,
        n_redrawn=sum(t.outcome == Outcome.REPEATED for t in record.trials),
        most=None if most == float("inf") else int(most),
    )


# -- what the search can tell ------------------------------------------------------------------------------


def _effect(record: StudyRecord) -> Check:
    n, found = len(joined(record.complete())), no_effect(record)
    if found is None:
        return not_yet("effect", "Too few trials are complete.", n=n)
    return made("effect", found, n=n, no_effect=found)


def _prediction(record: StudyRecord) -> Check:
    n, r2 = len(joined(record.complete())), predictability(record)
    if r2 is None:
        return not_yet("prediction", "Too few trials are complete, or all ended alike.", n=n)
    return made("prediction", r2 < LITTLE, n=n, r2=r2, least=LITTLE)


def _winner(record: StudyRecord) -> Check:
    search, lead = record.spec.search, best(record)
    if search is None or not search.stops_early:
        return not_yet("stopping", "The search stops no trial early.")
    if lead is None:
        return not_yet("stopping", "No trial of the search is complete.")
    rung = winner_stopped(record)
    n_stopped = sum(t.outcome == Outcome.STOPPED for t in deciding(record.trials))
    return made(
        "stopping", rung is not None, rule=search.stop.kind, slot=lead.slot, rung=rung, n_stopped=n_stopped
    )


# Name -> (the kind of section that it is about, the check).
CHECKS: dict[str, tuple[str, Callable[[StudyRecord], Check]]] = {
    "divergence": ("search", diverged.check_search),
    "arms-divergence": ("arms", diverged.check_arms),
    "budget": ("search", spending.check_budget),
    "draws": ("search", _draws),
    "repeats": ("search", _repeats),
    "effect": ("search", _effect),
    "prediction": ("search", _prediction),
    "stopping": ("search", _winner),
    "luck": ("search", seeds.check_luck),
    "arms-seeds": ("arms", seeds.check_arms),
    "confirmation-seeds": ("confirmation", seeds.check_confirmation),
}
