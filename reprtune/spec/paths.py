"""The paths of a specification that `--set` may name, and the words that may stand there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reprtune.spec import catalog, method, study, task, training
from reprtune.spec.codec import to_plain
from reprtune.spec.edit import LISTS
from reprtune.spec.objectives import OBJECTIVES
from reprtune.spec.study import StudySpec
from reprtune.spec.trial import TrialSpec

OF_TRIAL = ("task", "model", "training", "method", "seed")


def of_trial() -> list[str]:
    """Every path of a trial; `method` itself takes the name of one."""
    return ["method", *leaves(to_plain(TrialSpec()))]


def of_study(spec: StudySpec) -> list[str]:
    """Every path of a study that is one value; those of its base without `base.`, as `--set` allows."""
    paths = (path.removeprefix("base.") for path in leaves(to_plain(spec)))
    return ["method", *(path for path in paths if not path.startswith("controls"))]


def leaves(plain: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Paths of all that is no table."""
    for key, value in plain.items():
        path = f"{above}.{key}" if above else str(key)
        if isinstance(value, Mapping) and value:
            yield from leaves(value, path)
        else:
            yield path


def words(path: str) -> list[str]:
    """The words a field may hold, as `--set` takes them; none where it is a number, a length or a text."""
    path = path.removeprefix("base.")
    names = _names()
    if path in names:
        return names[path]
    part, _, field = path.rpartition(".")
    plain = to_plain(TrialSpec()).get(part, {})
    return ["true", "false"] if isinstance(plain, dict) and isinstance(plain.get(field), bool) else []


def completed(path: str, typed: str) -> list[str]:
    """The values that go on from what was typed: words, or after a comma further words of a list."""
    before, comma, _ = typed.rpartition(",") if path in LISTS else ("", "", typed)
    used = before.split(",")
    values = [f"{before}{comma}{word}" for word in words(path) if word not in used]
    return [value for value in values if value.startswith(typed)]


def _names() -> dict[str, list[str]]:
    choices = {f"method.{field}": known for field, known in method.WORDS.items()}
    choices |= {
        "task.augment": task.AUGMENTATIONS,
        "training.optimizer": tuple(training.OPTIMIZERS),
        "training.lr_schedule": training.LR_SCHEDULES,
        "training.precision": training.PRECISIONS,
        "training.bias_correction": training.BIAS_CORRECTIONS,
        "stop.rule": study.STOP_RULES,
        "sampler": tuple(study.SAMPLERS),
        "objectives": tuple(OBJECTIVES),
    }
    kinds = {
        "task.dataset": "datasets",
        "model.name": "models",
        "method": "methods",
        "method.criterion": "criteria",
        "method.restore": "restores",
    }
    listed = {path: catalog.names(kind) for path, kind in kinds.items()}
    return {path: list(known) for path, known in choices.items()} | listed
