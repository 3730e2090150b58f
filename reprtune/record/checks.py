"""What is read from a storage is held to its form, for anybody may write there.

An attribute that is not as `record.schema` says, because it was damaged, written by another program or by a
version to come, is an error that names study, trial and attribute. Trials without a slot are not ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from reprtune.errors import StudyError
from reprtune.spec.objectives import ERROR, OBJECTIVES

LARGEST = 1e15  # of a count, a second or a GFLOP; numbers beyond have been damaged
Rule = Callable[[Any], bool]


def number(value: Any) -> bool:
    """Finite and of a size that can be."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < LARGEST


def measured(value: Any) -> bool:
    """A number, none, or what a diverged loss gives: nan and infinity."""
    return value is None or number(value) or (isinstance(value, float) and not math.isfinite(value))


def whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def text(value: Any) -> bool:
    return isinstance(value, str)


def table(value: Any) -> bool:
    return isinstance(value, Mapping)


def texts(value: Any) -> bool:
    """A table of texts."""
    return table(value) and all(map(text, value.values()))


def count_above_0(value: Any) -> bool:
    return whole(value) and 0 < value < LARGEST


def curve(value: Any) -> bool:
    """(step, error) pairs."""
    pairs = isinstance(value, (list, tuple)) and all(
        isinstance(p, (list, tuple)) and len(p) == 2 for p in value
    )
    return pairs and all(whole(step) and error is not None and measured(error) for step, error in value)


def stretches(value: Any) -> bool:
    """(first step, course) pairs."""
    return isinstance(value, (list, tuple)) and all(
        isinstance(p, (list, tuple)) and len(p) == 2 and whole(p[0]) and text(p[1]) for p in value
    )


def numbers(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(number(one) for one in value)


def of(rules: Mapping[str, Rule], *needed: str) -> Rule:
    """A table whose fields, where they are there, follow their rules; `needed` ones are there."""

    def follows(value: Any) -> bool:
        return (
            isinstance(value, Mapping)
            and all(name in value for name in needed)
            and all(rule(value[name]) for name, rule in rules.items() if name in value)
        )

    return follows


RUNGS: dict[str, Rule] = {"points": curve, "planned_gflops": measured, "seed": whole, "stretches": stretches}
_SPENT = ("seconds_spent", "seconds_alone", "steps_spent", "steps_alone", "gflops_spent")
RESULT: dict[str, Rule] = {
    **dict.fromkeys(_SPENT, number),
    **dict.fromkeys(("outcome", "host", "device", "history", "error", "code"), text),
    "state": lambda value: value is None or text(value),
    "step": whole,
    "ended": number,
    "versions": table,
    "rungs": of(RUNGS),
    "test_error": measured,
    "test_loss": measured,
    **dict.fromkeys(OBJECTIVES, measured),
}
PROGRESS: dict[str, Rule] = {
    **dict.fromkeys(("step", "total", "seed", "steps", "stored"), whole),
    **dict.fromkeys(("seconds", "time", "moved"), number),
    ERROR: measured,
}
SEED: dict[str, Rule] = {
    "seed": whole,
    "history": text,
    **dict.fromkeys(OBJECTIVES, measured),
    "rungs": of(RUNGS, "planned_gflops"),
    "state": text,
    "step": whole,
    "ended": number,
    "costs": of(dict.fromkeys(_SPENT, number)),
    "code": text,
}
TRIAL: dict[str, Rule] = {
    "slot": lambda value: whole(value) and value < LARGEST,
    "arm": lambda value: value is None or text(value),
    "repeats": whole,
    "first_seed": whole,
    "seed": whole,
    "attempt": whole,
    "settings": table,
    "rungs": of(RUNGS),
    "result": of(RESULT),
    "lease": of(dict.fromkeys(("worker", "host", "device", "code"), text)),
    "progress": of(PROGRESS),
}
FACTS: dict[str, Rule] = {
    **dict.fromkeys(("steps_per_epoch", "total_steps"), count_above_0),
    **dict.fromkeys(("n_train", "n_score", "n_val", "n_test", "n_classes"), whole),
    "data_digest": text,
    "lease": of(
        dict.fromkeys(("beat_seconds", "grace_seconds"), count_above_0), "beat_seconds", "grace_seconds"
    ),
    "fitting_share": number,
    "user_code": texts,
    "code": of({"modules": texts, "versions": texts, "commit": text}, "modules", "versions"),
    **dict.fromkeys(("input_shape", "mean", "std"), numbers),
    "objective_versions": lambda value: table(value) and all(map(count_above_0, value.values())),
}
STUDY: dict[str, Rule] = {
    "spec": text,
    "digest": text,
    "facts": of(FACTS, "steps_per_epoch", "total_steps"),
    "created": number,
    "version": text,
}


def damaged(study: str, attribute: str, why: str, trial: int | None = None) -> StudyError:
    """The error of something stored that cannot be read."""
    where = f"trial {trial} of the study {study!r}" if trial is not None else f"the study {study!r}"
    return StudyError(
        f"In {where} the attribute {attribute!r} {why.rstrip('.')}.",
        "It was damaged, or written by something else or a newer reprtune: restore the storage from a copy, "
        "or look at it with optuna-dashboard.",
    )


def shown(value: Any) -> str:
    """A value in an error message, not longer than a line."""
    said = repr(value)
    return said if len(said) <= 80 else f"{said[:79]}…"


def check_study(name: str, attribute: Any) -> None:
    """Raises:
    StudyError: the attribute `reprtune` of a study of ours is not as it should be.
    """
    for field, rule in STUDY.items():
        if field not in attribute:
            raise damaged(name, f"reprtune.{field}", "is absent")
        if not rule(attribute[field]):
            raise damaged(name, f"reprtune.{field}", f"is not of its form: {shown(attribute[field])}")


def check_trial(name: str, trial: FrozenTrial, objectives: Sequence[str], seed_prefix: str) -> None:
    """Raises:
    StudyError: an attribute of a trial with a slot is not as it should be.
    """
    for key, value in trial.user_attrs.items():
        # Whoever reads without histories gets the seeds without theirs too; older versions wrote no code.
        rule = (
            of(SEED, "seed", "rungs", "state", *objectives) if key.startswith(seed_prefix) else TRIAL.get(key)
        )
        if rule is not None and not rule(value):
            raise damaged(name, key, f"is not of its form: {shown(value)}", trial.number)
    n = len(objectives)
    if trial.values is not None and len(trial.values) != n:
        raise damaged(name, "values", f"has {len(trial.values)} numbers instead of {n}", trial.number)
