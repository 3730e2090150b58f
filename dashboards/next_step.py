"""How far a study is, in a few words, and what a person would do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboards.arms import arm_words
from dashboards.checks import ENOUGH_SEEDS, remedy
from dashboards.shares import Share, done, shares
from dashboards.units import count
from reprtune.analysis import diverged
from reprtune.analysis.attempts import deciding
from reprtune.record.labels import slot_label
from reprtune.record.leaders import leader_arm, ranked
from reprtune.record.outcomes import Outcome
from reprtune.record.ranking import best
from reprtune.record.schema import StudyRecord
from reprtune.settings import program


@dataclass(frozen=True, kw_only=True)
class Progress:
    """`state`: how far what is known may be trusted. `step`: a sentence; `command` does it."""

    state: str
    step: str
    command: str = ""


def progress(record: StudyRecord) -> Progress:
    """What a study of this kind waits for."""
    name, parts = record.spec.name, shares(record)
    unfinished = any(part.done < part.planned for part in parts)
    if not record.confirmation and (step := to_change(record)):
        return Progress(state=_unfinished(parts) if unfinished else _finished(record), step=step)
    if unfinished:
        left = count(sum(part.planned - part.done for part in parts), "slot")
        if not any(t.started for t in (*record.trials, *record.tries, *record.controls)):
            return Progress(
                state="Not begun",
                step=f"train the {left} of the {' and the '.join(part.where for part in parts)}.",
                command=f"{program()} study run {name} --workers 2",
            )
        return Progress(
            state=_unfinished(parts),
            step=f"train the {left} still to be finished; slots that a worker is at now are among them.",
            command=f"{program()} study resume {name} --workers 2",
        )
    if broken := sum(trial.is_final and trial.outcome.is_broken for trial in record.everything):
        return Progress(
            state=_finished(record),
            step=(
                f"mend what made {count(broken, 'slot')} fail (`{program()} study status {name}` says what), then queue "
                "what failed again. Where it cannot be mended, the rest can be confirmed without it."
            ),
            command=f"{program()} study repair {name}",
        )
    if not record.confirmation:
        return _to_confirm(record)
    if _is_confirming(record):
        return Progress(
            state=_finished(record),
            step="let the confirmation come to its end; what is there of it may change.",
            command=f"{program()} study confirm {name}",
        )
    lead = next(iter(ranked(record)), None)
    if lead is not None and leader_arm(lead.slot) not in {t.arm for t in record.confirmation}:
        return Progress(
            state=f"Finished, but {slot_label(lead.slot)} not confirmed",
            step="train it, which leads the search now, on the fresh seeds of the others, too:",
            command=f"{program()} study confirm {name} --top 1",
        )
    return _after(record)


def _to_confirm(record: StudyRecord) -> Progress:
    """Of a study whose sections are finished, and that has no confirmation."""
    name, state = record.spec.name, _finished(record)
    if why := _cannot_be_confirmed(record):
        return Progress(state=state, step=f"{why}, so there is nothing to confirm.")
    if _is_decided(record):
        return _more_seeds(record) or Progress(
            state=state,
            step="read the decisions. The same on fresh seeds:",
            command=f"{program()} study confirm {name} --seeds 5",
        )
    arms = [arm_words(record.spec).many] if record.spec.arms else []
    what = [*(["leaders"] if record.spec.search else []), *arms]
    top = " --top 3" if record.spec.search else ""
    return Progress(
        state=state,
        step=f"train the {' and the '.join(what)} on fresh seeds, and test each once on test images.",
        command=f"{program()} study confirm {name}{top} --seeds 5",
    )


def _unfinished(parts: Sequence[Share]) -> str:
    return "Unfinished: " + ", ".join(f"{part.done} of {count(part.planned, part.what)}" for part in parts)


def to_change(record: StudyRecord) -> str:
    """What to change where too much diverged to go on, or to confirm anything; empty elsewhere. While slots are
    left, only where nothing else has happened so far."""
    found_of = {diverged.check_search: diverged.divergence, diverged.check_arms: diverged.arms_divergence}
    for check_of, of in found_of.items():
        check, known = check_of(record), of(record)
        if check.fails and (not record.unsettled() or (known is not None and known.is_all)):
            return f"{remedy(check, record.spec.name)}. Too much of it diverged to conclude anything."
    return ""


def _finished(record: StudyRecord) -> str:
    """How far the numbers of a study may be trusted whose sections are finished."""
    if not record.confirmation:
        return "Finished, and tested on declared seeds" if _is_decided(record) else "Finished, not confirmed"
    return (
        "Finished, confirmation under way"
        if _is_confirming(record)
        else "Finished, and tested on fresh seeds"
    )


def _is_decided(record: StudyRecord) -> bool:
    """Has it arms alone, whose test errors were measured? Nothing was chosen that had to be confirmed."""
    complete = [t for t in record.controls if t.outcome == Outcome.COMPLETE]
    return not record.spec.search and bool(complete) and all("test_error" in t.result for t in complete)


def _is_confirming(record: StudyRecord) -> bool:
    return done(record.confirmation) < len(deciding(record.confirmation))


def _cannot_be_confirmed(record: StudyRecord) -> str:
    """Why `study confirm` would refuse; empty where it would not."""
    if record.facts.get("n_test") == 0:
        return "its data have no test images"
    if not record.spec.arms and not ranked(record):
        return "no trial of the search is complete and there are no controls"
    return ""


def _more_seeds(record: StudyRecord) -> Progress | None:
    """Where a rule waits for nothing but further pairs: the command for as many as make five. None elsewhere."""
    # with scipy, which a study in its middle has no need of
    from reprtune.analysis.decisions import Why, decisions

    found = [one.comparison.judged for one in decisions(record) if one.why is Why.FEW_PAIRS]
    pairs = [difference.n for difference in found if difference]
    if not pairs:
        return None
    few = min(pairs)
    what, option = (
        ("confirmation", "confirmation") if record.confirmation else (arm_words(record.spec).many, "arms")
    )
    return Progress(
        state=_finished(record),
        step=f"give the {what} more seeds: a rule is not decided by {count(few, 'pair')} of runs.",
        command=f"{program()} study extend {record.spec.name} --{option} --seeds {ENOUGH_SEEDS - few}",
    )


def _after(record: StudyRecord) -> Progress:
    if more := _more_seeds(record):
        return more
    state, lead = _finished(record), best(record)
    if lead is None:
        return Progress(state=state, step="read the decisions, and the page of the confirmation.")
    return Progress(
        state=state,
        step=(
            "read the decisions, and the page of the confirmation. A trial's network can be taken out, as here that "
            "of the best of the search:"
        ),
        command=f"{program()} trial export {record.spec.name} {lead.slot}",
    )
