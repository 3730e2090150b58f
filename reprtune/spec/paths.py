"""The paths of a specification that `--set` may name, and the words that may stand there, as they are offered to
a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reprtune.spec import catalog, task, training
from reprtune.spec.codec import to_plain
from reprtune.spec.edit import LISTS
from reprtune.spec.objectives import OBJECTIVES
from reprtune.spec.parts.places import NAMES, full_path, option_fields, short_path
from reprtune.spec.sections.arms import FOR_ALL
from reprtune.spec.sections.search import SAMPLERS
from reprtune.spec.stop_rules import StopRule
from reprtune.spec.study import StudySpec
from reprtune.spec.trial import TrialSpec

_TRUTHS = ["true", "false"]


def of_trial() -> list[str]:
    """Every path of a trial; `method` itself takes the name of one, a place that of a part."""
    others = [path for path in leaves(to_plain(TrialSpec(), whole=True)) if not path.startswith("method.")]
    return ["method", *(f"method.{word}" for word in (*NAMES, *option_fields())), *others]


def of_study(spec: StudySpec) -> list[str]:
    """Every path of a study that is one value; those of its base without `base.`, as `--set` allows, those of its
    search without `search.`, options of parts without their place, and what may be set for all arms at once."""
    paths = [path for path in leaves(to_plain(spec)) if not path.startswith(("sections", "base."))]
    for section in spec.sections:
        own = [path for path in leaves(to_plain(section)) if path not in ("kind", "name")]
        above = "" if section is spec.search else f"{section.name}."
        paths += [f"{above}{path}" for path in own if not path.startswith(("design", "stop."))]
    options = dict.fromkeys(name for rule in StopRule.kinds for name in rule.option_names())
    rules = ["stop", *(f"stop.{name}" for name in options)] if spec.search is not None else []
    for_all = FOR_ALL if spec.search is None else ()
    return [*of_trial(), *map(short_path, paths), *rules, *for_all]


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
    path = full_path(path.removeprefix("base."))
    names = _names()
    if path in names:
        return names[path]
    head, _, word = short_path(path).partition(".")
    if head == "method" and (option := option_fields().get(word)) is not None:
        return list(option.metadata["words"]) or (_TRUTHS if isinstance(option.default, bool) else [])
    part, _, field = path.rpartition(".")
    plain = to_plain(TrialSpec(), whole=True).get(part, {})
    return _TRUTHS if isinstance(plain, dict) and isinstance(plain.get(field), bool) else []


def completed(path: str, typed: str) -> list[str]:
    """The values that go on from what was typed: words, or after a comma further words of a list."""
    before, comma, _ = typed.rpartition(",") if path in LISTS else ("", "", typed)
    used = before.split(",")
    values = [f"{before}{comma}{word}" for word in words(path) if word not in used]
    return [value for value in values if value.startswith(typed)]


def _names() -> dict[str, list[str]]:
    choices: dict[str, Sequence[str]] = {
        "task.augment": task.AUGMENTATIONS,
        "model.head": task.HEADS,
        "training.optimizer": tuple(training.OPTIMIZERS),
        "training.lr_schedule": training.LR_SCHEDULES,
        "training.precision": training.PRECISIONS,
        "training.bias_correction": training.BIAS_CORRECTIONS,
        "stop": tuple(StopRule.names()),
        "sampler": tuple(SAMPLERS),
        "objectives": tuple(OBJECTIVES),
    }
    kinds = {
        "task.dataset": "datasets",
        "model.name": "models",
        "method": "methods",
        **{f"method.{place}": kind for kind, place in catalog.KINDS.items()},
    }
    listed = {path: catalog.names(kind) for path, kind in kinds.items()}
    return {path: list(known) for path, known in choices.items()} | listed
