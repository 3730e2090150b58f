"""What trials are called wherever a person reads of them, and what their two numbers are called.

A slot is one logical trial, and has a number of ours; every attempt at it has one of Optuna's, which is another
as soon as a slot was tried twice. Names that a person types are those of `record.slots`.
"""

from __future__ import annotations

from reprtune.record.schema import TrialRecord

SLOT, NUMBER = "slot", "Optuna trial"  # heads of columns


def slot_label(slot: int) -> str:
    """A slot of the search: `slot 17`."""
    return f"slot {slot}"


def label(slot: int, arm: str | None, seed: int) -> str:
    """`slot 17` in the search; arm and seed of a control, `standard, seed 0`, and of a run of the confirmation, whose
    arm is a control or the `slot-17` of a leader and whose seeds no control has."""
    return slot_label(slot) if arm is None else f"{arm}, seed {seed}"


def trial_label(trial: TrialRecord) -> str:
    return label(trial.slot, trial.arm, trial.seed)
