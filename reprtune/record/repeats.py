"""Settings that a search has drawn more than once, each joined to one trial over all its seeds.

A slot whose settings another slot has already trains them with further seeds (`TrialRecord.repeats`): more is known
of that setting then, but it is one setting. Whatever ranks, counts or draws settings looks at them joined.

*Notations*

    m_i, n_i   a measure of the i-th slot of a setting, a mean over its n_i seeds
    joined     sum(n_i m_i) / sum(n_i): the mean over all seeds
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from reprtune.record.schema import TrialRecord


def joined(trials: Iterable[TrialRecord]) -> tuple[TrialRecord, ...]:
    """The attempts of a search, the complete ones of one setting as one, in the place of the first of them.

    That one keeps its slot, its number and its last seed; before it stand all other seeds of the setting, and its
    values are means over all. Attempts that are not complete stay as they are.
    """
    trials = tuple(trials)
    first = _first_slots(trials)
    if not first:
        return trials
    groups: dict[int, list[TrialRecord]] = {}
    for trial in trials:
        if _counts(trial):
            groups.setdefault(first.get(trial.slot, trial.slot), []).append(trial)
    heads = {id(group[0]): _as_one(group) for group in groups.values()}
    return tuple(heads.get(id(t), t) for t in trials if id(t) in heads or not _counts(t))


def _counts(trial: TrialRecord) -> bool:
    return trial.is_final and trial.outcome == "complete"


def _first_slots(trials: Iterable[TrialRecord]) -> Mapping[int, int]:
    """Slot that repeats another -> the slot that has drawn its settings first; a repeat may name another repeat."""
    repeats = {t.slot: t.repeats for t in trials if t.repeats is not None}

    def first(slot: int) -> int:
        seen: set[int] = set()
        while slot in repeats and slot not in seen:
            seen.add(slot)
            slot = repeats[slot]
        return slot

    return {slot: first(slot) for slot in repeats}


def _as_one(group: Sequence[TrialRecord]) -> TrialRecord:
    head, *others = group
    if not others:
        return head
    further = tuple(run for trial in others for run in trial.runs)
    return replace(head, earlier=(*head.earlier, *further), values=_means(group))


def _means(group: Sequence[TrialRecord]) -> dict[str, float]:
    """Every objective that all of them have, as a mean over all seeds."""
    known = [(trial.values or {}, len(trial.runs)) for trial in group]
    names = [name for name in known[0][0] if all(name in values for values, _ in known)]
    n_seeds = sum(n for _, n in known)
    return {name: sum(values[name] * n for values, n in known) / n_seeds for name in names}
