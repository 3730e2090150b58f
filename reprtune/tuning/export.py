"""The trained network of a study's slot, out of the states the study left."""

from __future__ import annotations

from reprtune.errors import StudyError
from reprtune.record.schema import OUTCOMES, StudyRecord
from reprtune.record.slots import find_slot, slot_key, slot_name, trial_spec
from reprtune.settings import Settings
from reprtune.states.store import StateStore
from reprtune.training.export import Trained, from_state

EXPORTED = ("complete", "stopped")


def slot_network(settings: Settings, study: StudyRecord, name: str) -> Trained:
    """The network of a slot as it was at its end; of a trial that was stopped early, at that point.

    Raises:
        StudyError: there is no such slot, it has no trained network, or its state is gone.
        StateError: the states cannot be read.
    """
    trial = find_slot(study, name)
    slot = slot_name(trial)
    if trial.outcome not in EXPORTED:
        raise StudyError(
            f"Slot {slot} of {study.spec.name!r} has no network to export: it is {trial.outcome} "
            f"({OUTCOMES[trial.outcome][2]}).",
            f"See how far the study is with: python cli.py study status {study.spec.name}",
        )
    state = str(trial.result.get("state"))
    payload = StateStore(settings.states).get(state)
    if payload is None:
        raise StudyError(
            f"The state of slot {slot} of {study.spec.name!r} is not in {settings.states}: it was trained on "
            f"{trial.result.get('host', 'another machine')}, or has been removed since.",
            "Say where it is with --states; or take the folder `network` of its run from MLflow.",
        )
    origin = {"study": study.spec.name, "slot": slot_key(trial), "outcome": trial.outcome}
    return from_state(payload, trial_spec(study, trial), study.facts, state, **origin)
