"""What a study says so far, in sentences that claim no more than its numbers do."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dashboards import factorial, regimes, rules, verdict
from dashboards.codes import mixed
from dashboards.plain_curve import beside
from dashboards.shares import shares
from dashboards.units import count, listed, p_text, percent, settings, value
from dashboards.versions import outdated
from reprtune.analysis.attempts import deciding
from reprtune.analysis.confirmation import confirmation
from reprtune.analysis.controls import ArmSummary, arm_summaries
from reprtune.analysis.decisions import decisions
from reprtune.analysis.front import front, point
from reprtune.analysis.level import ALPHA
from reprtune.analysis.luck import FEW, BestOfSearch, best_of_search
from reprtune.analysis.plain_curve import front_beside_curve
from reprtune.record.labels import slot_label
from reprtune.record.leaders import is_confirmed
from reprtune.record.repeats import joined
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.designs.arm import BASELINE
from reprtune.spec.objectives import ERROR, OBJECTIVES


def answer(record: StudyRecord) -> tuple[str, ...]:
    """Sentences, most important first."""
    return tuple(text for text, _ in sourced(record))


def sourced(record: StudyRecord) -> tuple[tuple[str, str], ...]:
    """(sentence, key of the page whose figure and table have its numbers), most important first."""
    best, arms, confirmed = best_of_search(record), arm_summaries(record), confirmation(record)
    work = "history" if record.spec.search else "controls"
    sentences = [(_unfinished(record), work), (_cut_short(record), work), (mixed(record), work)]
    sentences += [(text, "") for text in outdated(record)]
    sentences += [(text, "decisions") for text in rules.sentences(decisions(record))]
    sentences += _factors(record)
    sentences += [(text, "confirmation") for text in (verdict.sentences(confirmed) if confirmed else ())]
    if best is None and record.spec.search:
        sentences.append(("No trial of the search is complete, so the search has no answer yet.", "history"))
    elif best is not None:
        sentences += [
            (_best(best, len(record.complete()), confirmed=is_confirmed(record, best.slot)), "history"),
            (_against_standard(record, best, arms), "controls"),
            (_front(record), "pareto"),
            (beside(front_beside_curve(record)), "pareto"),
        ]
    sentences += [(text, "controls") for text in _arms(record, arms)]
    sentences.append((_caveat(record, best, confirmed=confirmed is not None), "confirmation"))
    return tuple((text, page) for text, page in sentences if text)


def _factors(record: StudyRecord) -> list[tuple[str, str]]:
    """The finding of a factorial design: of the factor that it asks about, else of all."""
    if found := regimes.sentences(regimes.info(record)):
        return [(text, "regimes") for text in found]
    return [(text, "factors") for text in factorial.words(factorial.info(record)).lead]


def _is_yardstick(record: StudyRecord, arm: ArmSummary) -> bool:
    """Is it plain training that claims nothing, but that others are held against?"""
    return arm.arm == BASELINE or (arm.arm in record.spec.lengths and not arm.against)


def _unfinished(record: StudyRecord) -> str:
    parts = shares(record)
    if all(part.done >= part.planned for part in parts):
        return ""
    said = listed([f"{part.done} of {count(part.planned, part.what)}" for part in parts])
    return f"The study is unfinished: {said} are done. What follows may change."


def _cut_short(record: StudyRecord) -> str:
    n = sum(t.outcome == "over-budget" for t in deciding(record.trials))
    if not n:
        return ""
    return (
        f"The search has used up what it may spend: {n} of {count(record.spec.slots, 'slot')} were not begun or not "
        "trained to the end."
    )


def _best(best: BestOfSearch, n: int, *, confirmed: bool) -> str:
    seeds = "one seed" if best.n_seeds == 1 else f"mean of {best.n_seeds} seeds"
    how = "Selected" if confirmed else f"Not confirmed: {seeds}, selected"
    aside, where = "", ""
    if best.measure == ERROR:
        aside, where = f" (accuracy {percent(1 - best.value)})", " on the same validation part"
    elif best.val_error is not None:
        aside = f" ({percent(best.val_error)} validation error)"
    among = count(n, "complete trial") + (
        f" of {count(best.n_settings, 'different setting')}" if best.n_settings < n else ""
    )
    return (
        f"Best of the search: {value(best.measure, best.value)} {OBJECTIVES[best.measure].title}{aside}, "
        f"{slot_label(best.slot)} with {settings(best.params)}. "
        f"{how} among {among}{where}."
    )


def _against_standard(record: StudyRecord, best: BestOfSearch, arms: list[ArmSummary]) -> str:
    if not record.spec.arms:
        return "The study has no controls, so there is nothing to hold the search against."
    standard = next((a for a in arms if a.arm == BASELINE and a.mean is not None), None)
    if best.val_error is None:
        return ""
    if standard is None or best.to_standard is None or standard.mean is None:
        return "No run of the standard arm is complete, so there is nothing to hold the search against."
    error = "% validation error"
    spread = (
        f" ± {100 * standard.sd:.2f} {error} (mean ± sd over"
        if standard.sd is not None
        else f" {error} (over"
    )
    where = (
        f"lies {100 * abs(best.to_standard):.2f} percentage points {'below' if best.to_standard < 0 else 'above'}"
        if best.to_standard
        else "is as high as"
    )
    text = (
        f"Standard training: {100 * standard.mean:.2f}{spread} {count(standard.n, 'seed')}); the best of the search "
        f"{where} that mean."
    )
    if best.to_standard >= 0 or best.measure != ERROR:
        return text
    return f"{text} {_luck(best)}"


def _luck(best: BestOfSearch) -> str:
    """Whether chance alone explains the gain, and how much it would explain."""
    if best.n_standard < 2:
        return "One seed gives no spread, so chance cannot be told from gain."
    if best.p_luck is None or best.chance_gain is None:
        return "All its seeds ended at the same error: there is no spread to tell chance from gain by."
    cut_short = " (those cut short count)" if best.k > best.n_settings else ""
    text = (
        f"Where nothing helps and errors are about normal, the best of {count(best.k, 'trial')}{cut_short} lies less "
        f"than {100 * best.chance_gain:.2f} points below it in 95 of 100 studies, by chance alone: "
    )
    if best.p_luck < ALPHA:
        return (
            f"{text}the gain seen in validation errors is more than chance explains ({p_text(best.p_luck)})."
        )
    text += f"chance may explain the gain seen ({p_text(best.p_luck)})."
    if best.with_more_seeds is None:
        return text
    few, then = count(best.n_standard, "seed"), f"with {FEW} seeds of the same spread"
    if best.val_error is not None and best.val_error - (best.to_standard or 0) <= best.chance_gain:
        return (
            f"{text} {few} of standard leave so much open that even an error of 0 would not show a gain; {then} it "
            f"would have to exceed {100 * best.with_more_seeds:.2f} points."
        )
    return (
        f"{text} {few} of standard leave so much open that a gain would have to exceed "
        f"{100 * best.chance_gain:.2f} points; {then}, {100 * best.with_more_seeds:.2f}."
    )


def _front(record: StudyRecord) -> str:
    names = record.spec.compared
    trials = front(joined(record.trials), names)
    if not trials or len(record.complete()) == 1:
        return ""
    if len(trials) == 1:
        best = listed([OBJECTIVES[name].best for name in names])
        return f"One trial is at once {best} ({_place(trials[0], names)[1]})."
    titles = listed([OBJECTIVES[ERROR].short, *(OBJECTIVES[name].title for name in names[1:])])
    ends = [" at ".join(_place(t, names)) for t in (trials[0], trials[-1])]
    return f"The front of {titles} holds {count(len(trials), 'trial')}{_settings(trials)}, from {' to '.join(ends)}."


def _place(trial: TrialRecord, names: Sequence[str]) -> tuple[str, str]:
    """The error of a trial of the front, and all else that it is compared by."""
    error, *others = (value(name, n) for name, n in zip(names, point(trial, names) or (), strict=True))
    return error, listed(others)


def _settings(trials: list[TrialRecord]) -> str:
    """How many different settings these are, where the sampler has drawn one more than once."""
    n = len({tuple(sorted(t.params.items())) for t in trials})
    return "" if n == len(trials) else f" of {count(n, 'different setting')}"


def _arms(record: StudyRecord, arms: list[ArmSummary]) -> list[str]:
    """What no rule says of them: which is held against no other, and what diverged. Cells of factors are told by these."""
    designs = [section for section in record.spec.comparisons if section.design.is_factorial]
    cells = {arm.name for section in designs for arm in section.arms(record.spec.base)}
    said = []
    for arm in (one for one in arms if one.arm not in cells):
        above = arm.budget_factor is not None and arm.budget_factor > 1
        claims = not _is_yardstick(record, arm) and arm.arm not in _in_rules(record)
        if claims and not arm.against:
            why = (
                f"it had {arm.budget_factor:.2f} times the budget of standard"
                if above
                else "there is no arm for it"
            )
            said.append(f"Arm {arm.arm} is held against no other: {why}.")
        if arm.n_diverged:
            said.append(f"{count(arm.n_diverged, 'run')} of arm {arm.arm} diverged.")
    return said


def _in_rules(record: StudyRecord) -> set[str]:
    return {name for rule in record.spec.applied_rules for name in (rule.arm, rule.control)}


def _caveat(record: StudyRecord, best: BestOfSearch | None, *, confirmed: bool) -> str:
    n = record.facts.get("n_val")
    own = ""
    if best is not None and best.val_error is not None and n:
        own = f" {_own_error(best.val_error, n)}"
    if confirmed:
        where = "the search" if record.spec.search else "the seeds before"
        return f"Only what is said of test images is confirmed; validation errors are those of {where}.{own}"
    arms = "" if any(arm.test for arm in arm_summaries(record)) else " or on test images"
    return f"Nothing here is confirmed on fresh seeds{arms}.{own}"


def _own_error(error: float, n: int) -> str:
    """What the number of images alone leaves open; of an error of 0, which has no standard error, the highest one that
    still shows as 0 in one of twenty."""
    if error <= 0:
        return f"With {n:,} validation images, an error of {percent(1 - 0.05 ** (1 / n))} would show as 0 in one of twenty."
    own = math.sqrt(error * (1 - error) / n)
    return (
        f"With {n:,} validation images, an error of that size has a standard error of {100 * own:.2f} points."
    )
