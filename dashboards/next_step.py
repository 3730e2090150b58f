"""How far a study is, in a few words, and what a person would do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboards.units import count
from reprtune.analysis.attempts import deciding
from reprtune.record.leaders import ranked
from reprtune.record.ranking import best
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.settings import program


@dataclass(frozen=True, kw_only=True)
class Progress:
    """`state`: how far what is known may be trusted. `step`: a sentence; `command` does it."""

    state: str
    step: str
    command: str = ""


def progress(record: StudyRecord) -> Progress:
    """What a study of this kind waits for."""
    name, slots, cells = record.spec.name, record.spec.slots, len(record.spec.arm_cells())
    done, held = _done(record.trials), _done(record.controls)
    if done < slots or held < cells:
        left = count(slots - done + cells - held, "slot")
        if not any(t.started for t in (*record.trials, *record.controls)):
            return Progress(
                state="Not begun",
                step=f"train the {left} of the search and the controls.",
                command=f"{program()} study run {name} --workers 2",
            )
        search = f"{done} of {slots} search slots, " if slots else ""
        return Progress(
            state=f"Unfinished: {search}{held} of {cells} controls",
            step=f"train the {left} still to be finished; slots that a worker is at now are among them.",
            command=f"{program()} study resume {name} --workers 2",
        )
    if not record.confirmation and (why := _cannot_be_confirmed(record)):
        return Progress(state="Finished, not confirmed", step=f"{why}, so there is nothing to confirm.")
    if not record.confirmation:
        return Progress(
            state="Finished, not confirmed",
            step="train the leaders and the controls on fresh seeds, and test each once on test images.",
            command=f"{program()} study confirm {name} --top 3 --seeds 5",
        )
    if _done(record.confirmation) < len(deciding(record.confirmation)):
        return Progress(
            state="Finished, confirmation under way",
            step="let the confirmation come to its end; what is there of it may change.",
            command=f"{program()} study confirm {name}",
        )
    return _after(record)


def _cannot_be_confirmed(record: StudyRecord) -> str:
    """Why `study confirm` would refuse; empty where it would not."""
    if record.facts.get("n_test") == 0:
        return "its data have no test images"
    if not record.spec.arms and not ranked(record):
        return "no trial of the search is complete and there are no controls"
    return ""


def _after(record: StudyRecord) -> Progress:
    state, lead = "Finished, and tested on fresh seeds", best(record)
    if lead is None:
        return Progress(state=state, step="read the page of the confirmation.")
    return Progress(
        state=state,
        step=(
            "read the page of the confirmation. A trial's network can be taken out, as here that of the best of "
            "the search:"
        ),
        command=f"{program()} trial export {record.spec.name} {lead.slot}",
    )


def _done(trials: Sequence[TrialRecord]) -> int:
    return sum(t.is_final for t in deciding(trials).values())
