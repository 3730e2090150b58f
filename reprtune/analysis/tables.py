"""Flat rows: one per attempt, one per arm. Plain values, None where there is none."""

from __future__ import annotations

from typing import Any

from reprtune.analysis.attempts import deciding
from reprtune.analysis.confirmation import confirmation
from reprtune.analysis.controls import arm_summaries
from reprtune.analysis.decisions import decisions
from reprtune.analysis.front import front_ranks
from reprtune.analysis.paired import Comparison, Difference
from reprtune.analysis.power import needed, smallest
from reprtune.record.leaders import leader_slot
from reprtune.record.measures import last_measure
from reprtune.record.repeats import joined
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.objectives import ERROR, OBJECTIVES, SIZES

Row = dict[str, Any]
BEFORE = ("slot", "optuna_trial", "section", "arm", "seed", "outcome", "decides_slot", "repeats", "repaired")
TESTED = ("test_error", "test_loss")
AFTER = (
    *OBJECTIVES,
    *TESTED,
    *("front_rank", "steps", "epochs"),
    *("seconds_spent", "seconds_alone", "steps_spent", "steps_alone"),
    *("device", "host", "code", "started", "ended", "error"),
)
CONTROL_COLUMNS = (
    *("arm", "n_complete", "n_diverged", "n_failed", "n_open", f"{ERROR}_mean", f"{ERROR}_sd"),
    *("test_error_mean", "test_error_sd"),
    *(
        "cost_factor",
        "budget_factor",
        *SIZES,
        "control",
        "measured_on",
        "n_pairs",
        "difference_mean",
        "difference_low",
        "difference_high",
        "smallest",
        "needed",
    ),
    *("difference_with_chance", "difference_with_chance_low", "difference_with_chance_high"),
)
CONFIRMATION_COLUMNS = (
    *BEFORE,
    *TESTED,
    *(column for column in AFTER if column not in ("front_rank", *TESTED)),
)
COMPARISON_COLUMNS = (
    *("arm", "control", "n_pairs", "difference_mean", "difference_low", "difference_high", "p", "p_holm"),
    *("effect", "better", "smallest", "needed", "bca_low", "bca_high", "wilcoxon"),
    *("difference_with_chance", "difference_with_chance_low", "difference_with_chance_high"),
)

DECISION_COLUMNS = (
    *(
        "arm",
        "control",
        "slot",
        "verdict",
        "why_open",
        "measured_on",
        "seeds",
        "n_pairs",
        "n_missing",
        "n_left",
    ),
    *("difference_mean", "difference_low", "difference_high", "p", "p_holm", "smallest", "needed", "follows"),
)


def trial_columns(record: StudyRecord) -> tuple[str, ...]:
    """The columns of `trial_rows`, the searched parameters in the middle."""
    return (*BEFORE, *record.spec.params, *AFTER)


def trial_rows(record: StudyRecord) -> list[Row]:
    """Every attempt, search first, then arms with their tries; `section` says which, and only those of the search have no `arm`, nor
    test errors.

    `slot` is the logical trial, counted within its section; `optuna_trial` is Optuna's number of the attempt.

    Objectives are those of the last evaluation: compare them among complete trials only. `front_rank` is 0 on
    the front of what the study compares settings by; of a setting that was drawn twice it stands at its first slot,
    and the row of the other one `repeats` that slot.
    """
    ranked = front_ranks(joined(record.trials), record.spec.compared)
    of_arms = (*record.tries, *record.controls)
    deciders = {id(t) for t in deciding((*record.trials, *of_arms))}
    rows = [_row(record, t, ranked.get(t.number), id(t) in deciders) for t in record.trials]
    return rows + [_row(record, t, None, id(t) in deciders) for t in of_arms]


def _row(record: StudyRecord, trial: TrialRecord, rank: int | None, decides: bool) -> Row:
    per_epoch = record.facts.get("steps_per_epoch")
    return {
        "slot": trial.slot,
        "optuna_trial": trial.number,
        "section": trial.section,
        "arm": trial.arm,
        "seed": trial.seed,
        "outcome": trial.outcome,
        "decides_slot": decides,
        "repeats": trial.repeats,
        "repaired": trial.repaired,
        **{name: trial.params.get(name) for name in record.spec.params},
        **{name: last_measure(trial, name) for name in OBJECTIVES},
        **{name: trial.result.get(name) for name in TESTED},
        "front_rank": rank,
        "steps": trial.last_step,
        "epochs": trial.last_step / per_epoch if per_epoch else None,
        **{f: trial.result.get(f) for f in ("seconds_spent", "seconds_alone", "steps_spent", "steps_alone")},
        "device": trial.result.get("device") or trial.lease.get("device"),
        "host": trial.result.get("host") or trial.lease.get("host"),
        "code": " ".join(trial.codes),
        "started": trial.started,
        "ended": trial.ended,
        "error": trial.result.get("error"),
    }


def control_rows(record: StudyRecord) -> list[Row]:
    """Every arm, its errors over seeds and its paired difference to an arm that it is compared with, in fractions;
    one row for each of these, and one with no difference where there are none."""
    rows = []
    for arm in arm_summaries(record):
        own = {
            "arm": arm.arm,
            "n_complete": arm.n,
            "n_diverged": arm.n_diverged,
            "n_failed": arm.n_failed,
            "n_open": arm.n_open,
            f"{ERROR}_mean": arm.mean,
            f"{ERROR}_sd": arm.sd,
            "test_error_mean": arm.test_mean,
            "test_error_sd": arm.test_sd,
            "cost_factor": arm.cost_factor,
            "budget_factor": arm.budget_factor,
            **arm.sizes,
        }
        for one in arm.against or (None,):
            d = one.difference if one else None
            rows.append(
                own
                | {
                    "control": one.control if one else None,
                    "measured_on": one.measured_on if one and d else None,
                }
                | {"n_pairs": d.n if d else None}
                | _interval("difference_mean", "difference", d)
                | _power(one)
                | _interval(
                    "difference_with_chance", "difference_with_chance", one.with_chance if one else None
                )
            )
    return rows


def _power(one: Comparison | None) -> Row:
    """What so many seeds could have seen, not corrected; see `analysis.power`."""
    judged = one.judged if one else None
    return {"smallest": smallest(judged), "needed": needed(judged)}


def _interval(mean: str, ends: str, found: Difference | None) -> Row:
    """A paired difference in three columns: `mean`, and `ends` with `_low` and `_high`."""
    values = (found.mean, found.low, found.high) if found else (None, None, None)
    return dict(zip((mean, f"{ends}_low", f"{ends}_high"), values, strict=True))


def confirmation_rows(record: StudyRecord) -> list[Row]:
    """Every attempt of the confirmation; only complete ones have a test error."""
    deciders = {t.number for t in deciding(record.confirmation)}
    rows = []
    for trial in record.confirmation:
        row = _row(record, trial, None, trial.number in deciders)
        rows.append({column: row[column] for column in CONFIRMATION_COLUMNS})
    return rows


def comparison_rows(record: StudyRecord) -> list[Row]:
    """Every leader against every control on the test part, in fractions."""
    rows = []
    found = confirmation(record)
    for c in found.comparisons if found else ():
        d, chance = c.difference, c.with_chance
        rows.append(
            {
                "arm": c.arm,
                "control": c.control,
                "n_pairs": d.n if d else None,
                **_interval("difference_mean", "difference", d),
                **{name: getattr(c, name) for name in ("p", "p_holm", "effect", "better")},
                **_power(c),
                **{name: getattr(c, name) for name in ("bca_low", "bca_high", "wilcoxon")},
                **_interval("difference_with_chance", "difference_with_chance", chance),
            }
        )
    return rows


def decision_rows(record: StudyRecord) -> list[Row]:
    """Every rule and what it says, in fractions; `smallest` and `needed` at the level that so many rules leave.
    `arm` is `leader` for the best of the search, which is `slot`."""
    rows = []
    for one in decisions(record):
        c = one.comparison
        rows.append(
            {
                "arm": one.rule.arm,
                "control": one.rule.control,
                "slot": leader_slot(one.arm),
                "verdict": one.verdict.value,
                "why_open": one.why.value if one.why else None,
                "measured_on": c.measured_on if c.judged else None,
                "seeds": "fresh" if one.fresh else "declared",
                "n_pairs": c.judged.n if c.judged else 0,
                "n_missing": one.missing,
                "n_left": one.left,
                **_interval("difference_mean", "difference", c.judged),
                "p": c.p,
                "p_holm": c.p_holm,
                "smallest": one.smallest,
                "needed": one.needed,
                "follows": one.follows,
            }
        )
    return rows
