"""The slots of a study by the names a person gives them: `17` in the search, `repr-s1` among the controls,
`slot-17-s5` and `repr-s5` in the confirmation, whose seeds no control has."""

from __future__ import annotations

from reprtune.errors import StudyError, did_you_mean
from reprtune.record.schema import SeedRun, StudyRecord, TrialRecord
from reprtune.spec.edit import changed
from reprtune.spec.names import role_of
from reprtune.spec.trial import TrialSpec


def role(trial: TrialRecord) -> str:
    """`search`, `control`, `arm`, `branch` or `confirmation`: its section, of which it is one."""
    return role_of(trial.section)


def slot_name(trial: TrialRecord) -> str:
    """The number of a slot of the search; arm and seed of a control, or in the confirmation."""
    return str(trial.slot) if trial.is_drawn else f"{trial.arm}-s{trial.seed}"


def slot_key(trial: TrialRecord) -> str:
    """The same as MLflow's runs and the journal have it."""
    return f"search-{trial.slot:04d}" if trial.is_drawn else f"{role(trial)}-{slot_name(trial)}"


def trial_spec(study: StudyRecord, trial: TrialRecord) -> TrialSpec:
    """What is trained in a slot; of several seeds, with the first."""
    if trial.settings is None:
        return study.spec.trial(trial.params)
    return changed(study.spec.base, {**trial.settings, "seed": trial.seed})


def by_name(study: StudyRecord) -> dict[str, TrialRecord]:
    """The attempt that used each slot up, or else its last one."""
    found: dict[str, TrialRecord] = {}
    for trial in sorted(study.everything, key=lambda t: (t.is_final, t.number)):
        found[slot_name(trial)] = trial
    return found


def seed_name(study: StudyRecord, trial: TrialRecord, seed: int) -> str:
    """The name of one seed of a slot of the search, `17-s1`; where there is one seed only, the slot's."""
    return slot_name(trial) if not trial.is_drawn or study.spec.n_seeds == 1 else f"{trial.slot}-s{seed}"


def find_seed(study: StudyRecord, name: str) -> tuple[TrialRecord, SeedRun]:
    """The trial, and its training with one seed, that `17-s1` stands for; `17` is its last seed.

    Raises:
        StudyError: there is no such slot, or it has not begun that seed.
    """
    head, _, seed = name.rpartition("-s")
    number = head.removeprefix("search-")
    if study.spec.n_seeds == 1 or not (seed.isdecimal() and number.isdecimal()):
        trial = find_slot(study, name)
        return trial, trial.runs[-1]
    trial = find_slot(study, number)
    runs = {run.seed: run for run in trial.runs}
    if int(seed) not in runs:
        known = ", ".join(seed_name(study, trial, run) for run in runs)
        raise StudyError(
            f"Slot {trial.slot} of {study.spec.name!r} has no seed {seed}.", f"It has begun: {known}."
        )
    return trial, runs[int(seed)]


def find_slot(study: StudyRecord, name: str) -> TrialRecord:
    """The attempt that a slot's name stands for; `search-0017`, as MLflow has it, is understood too.

    Raises:
        StudyError: there is no such slot.
    """
    slots = by_name(study)
    for prefix in ("", *(f"{section.role}-" for section in study.spec.sections)):  # as MLflow has it
        short = name.removeprefix(prefix)
        plain = str(int(short)) if short.isdecimal() else short
        if plain in slots:
            return slots[plain]
    search = f"In the search: 0 to {study.spec.slots - 1}. " if study.spec.slots else ""
    controls = sorted(name for name, trial in slots.items() if not trial.is_drawn)
    raise StudyError(
        f"The study {study.spec.name!r} has no slot {name!r}.",
        f"{search}{did_you_mean(name, controls)}",
    )
