"""The trained network of a study's slot, out of the states the study left."""

from __future__ import annotations

from dataclasses import replace

from reprtune.errors import StudyError
from reprtune.record.schema import StudyRecord
from reprtune.record.slots import find_seed, seed_name, slot_key, slot_name, trial_spec
from reprtune.settings import Settings
from reprtune.states.store import StateStore
from reprtune.training.export.network import Trained, from_state


def slot_network(settings: Settings, study: StudyRecord, name: str) -> Trained:
    """The networks of a slot as they were at its end; of a trial that was stopped early, at that point.

    Args:
        name: of the slot; with several seeds per trial `17-s1` is one of them, and `17` the last.

    Raises:
        StudyError: there is no such slot, it has no trained network, or its state is gone.
        StateError: the states cannot be read.
    """
    trial, run = find_seed(study, name)
    slot = seed_name(study, trial, run.seed)
    is_last = run.seed == trial.seed
    if is_last and not trial.outcome.is_exported:
        raise StudyError(
            f"Slot {slot} of {study.spec.name!r} has no network to export: it is {trial.outcome} "
            f"({trial.outcome.words}).",
            f"See how far the study is with: python cli.py study status {study.spec.name}",
        )
    payload = StateStore(settings.states).get(run.state)
    if payload is None:
        raise StudyError(
            f"The state of slot {slot} of {study.spec.name!r} is not in {settings.states}: it was trained on "
            f"{trial.result.get('host', 'another machine')}, or has been removed since, and then its weights are gone "
            "with it.",
            "Say where it is with --states; take the folder `network` of its run from MLflow, if it is there; or train "
            f"it again with: python cli.py trial run {study.spec.name} {slot} --keep",
        )
    key = slot_key(trial) if slot == slot_name(trial) else f"{slot_key(trial)}-s{run.seed}"
    origin = {"study": study.spec.name, "slot": key, "outcome": trial.outcome if is_last else "complete"}
    spec = replace(trial_spec(study, trial), seed=run.seed)
    return from_state(payload, spec, study.facts, run.state, **origin)
