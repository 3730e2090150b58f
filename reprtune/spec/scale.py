"""The same trial or study on other data, with another network, or longer; and its name."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import PurePath
from typing import Any

from reprtune.errors import SpecError
from reprtune.spec import catalog
from reprtune.spec.codec import from_plain, to_plain
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed, parse_assignment
from reprtune.spec.parts.part import OWN
from reprtune.spec.space import DurationRange
from reprtune.spec.study import StudySpec
from reprtune.spec.task import ModelSpec
from reprtune.spec.trial import TrialSpec

TRIAL_PARTS = ("task", "model", "training", "method", "seed")


def scaled_trial(
    base: TrialSpec,
    *,
    dataset: str | None = None,
    model: str | None = None,
    method: str | None = None,
    total: str | None = None,
    seed: int | None = None,
    precision: str | None = None,
    assignments: Sequence[str] = (),
) -> TrialSpec:
    """A trial from the short options of the command line; None leaves a field as it is.

    Raises:
        SpecError: as `edit.changed`.
    """
    options = {
        "task.dataset": dataset,
        "method": method,
        "seed": seed,
        "training.precision": precision,
    }
    named = {path: value for path, value in options.items() if value is not None}
    spec = changed(base, named | _other_model("model", model))
    if total is not None:
        spec = _retimed_trial(spec, Duration.parse(total, "training.total"))
    return changed(spec, dict(parse_assignment(text) for text in assignments))


def scaled_study(
    base: StudySpec,
    *,
    dataset: str | None = None,
    model: str | None = None,
    total: str | None = None,
    name: str | None = None,
    assignments: Sequence[str] = (),
) -> StudySpec:
    """A study from the short options of the command line. Paths of `assignments` may leave out `base.`.

    Without `name` the stored name says what was scaled: `repr-ablation.cifar10-resnet-20`. The cost
    that the question expects is no longer given as this study's.
    """
    named = {} if dataset is None else {"base.task.dataset": dataset}
    spec = changed(base, named | _other_model("base.model", model))
    if total is not None:
        spec = rescaled(spec, Duration.parse(total, "total"))
    pairs = dict(parse_assignment(text) for text in assignments)
    spec = changed(spec, {_in_study(path): value for path, value in pairs.items()})
    if spec != base and spec.cost == base.cost:
        spec = changed(spec, {"cost": f"Not estimated. Before {base.name} was changed: {base.cost}"})
    return changed(spec, {"name": name or _name(base.name, dataset, model, total)})


def _other_model(path: str, name: str | None) -> dict[str, Any]:
    """The changes that put another network at `path`; options it does not have go back to their defaults."""
    if name is None:
        return {}
    kept = catalog.find("models", name).fields
    defaults = {field: value for field, value in to_plain(ModelSpec()).items() if field not in kept}
    return {f"{path}.{field}": value for field, value in (defaults | {"name": name}).items()}


def rescaled(spec: StudySpec, total: Duration) -> StudySpec:
    """The same study for another total: every S1 and S2, and their ranges, keep their share of it."""
    scale = _Scale(spec.base.training.total, total)
    plain = to_plain(spec)
    plain["base"]["training"]["total"] = str(total)
    for path, range_ in spec.space.items():
        if isinstance(range_, DurationRange):
            plain["space"][path] = to_plain(range_.scaled(*scale.of(path, range_.low)))
        elif _is_cycle_length(path):
            plain["space"][path]["options"] = [scale(path, option) for option in range_.values() or ()]
    base = plain["base"]
    for fields in (base["method"], base["training"], *(arm["changes"] for arm in plain["controls"])):
        _retime(fields, scale)
    return from_plain(StudySpec, plain)


def _retimed_trial(spec: TrialSpec, total: Duration) -> TrialSpec:
    plain = to_plain(spec)
    _retime(plain["method"], _Scale(spec.training.total, total))
    _retime(plain["training"], _Scale(spec.training.total, total))
    plain["training"]["total"] = str(total)
    return from_plain(TrialSpec, plain)


class _Scale:
    """From an old total to a new one."""

    def __init__(self, old: Duration, new: Duration) -> None:
        if new.value <= 0:
            raise SpecError(f"total must be above 0, but got {new}.")
        self.old, self.new = old, new

    def of(self, field: str, length: Duration) -> tuple[Fraction, str]:
        """The factor and the new unit for a length; one in another unit than the total keeps its own."""
        if length.unit == self.old.unit:
            return self.new.value / self.old.value, self.new.unit
        if self.new.unit == self.old.unit:
            return self.new.value / self.old.value, length.unit
        raise SpecError(
            f"{field} = {length} cannot keep its share when the total goes from {self.old} to {self.new}.",
            f"Give a total in {self.old.unit}, or set {field} too.",
        )

    def __call__(self, field: str, length: Any) -> str:
        parsed = Duration.parse(length, field)
        return str(parsed.scaled(*self.of(field, parsed)))


def _is_cycle_length(path: str) -> bool:
    """Whether a field, by its name or its path, is a length that keeps its share; an option of a person's own part
    may have the same name."""
    above, _, word = path.rpartition(".")
    return word in ("s1", "s2", "period", "lr_period") and above in ("", "method.schedule", "training")


def _retime(fields: dict[str, Any], scale: _Scale) -> None:
    for key, value in fields.items():
        if isinstance(value, dict):
            if not str(value.get("kind")).startswith(OWN):
                _retime(value, scale)
        elif _is_cycle_length(key):
            fields[key] = scale(key, value)


def _in_study(path: str) -> str:
    return f"base.{path}" if path.split(".", maxsplit=1)[0] in TRIAL_PARTS[:-1] else path


def _name(base: str, dataset: str | None, model: str | None, total: str | None) -> str:
    parts = (_short(dataset or ""), _short(model or ""), total)
    suffix = "-".join(part for part in parts if part)
    return f"{base}.{suffix}" if suffix else base


def _short(name: str) -> str:
    """Of a file or folder its own name, of a factory the factory's; any other name as it is."""
    kind, _, rest = name.partition(":")
    if kind in ("npz", "imagefolder"):
        return PurePath(rest).stem
    return name.rpartition(":")[2]
