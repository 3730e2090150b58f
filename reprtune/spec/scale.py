"""The same trial or study on other data, with another network, or longer; and its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from fractions import Fraction
from pathlib import PurePath
from typing import Any

from reprtune.errors import SpecError, did_you_mean
from reprtune.spec import catalog
from reprtune.spec.branch import FIELD
from reprtune.spec.codec import from_plain, to_plain
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed, parse_assignment
from reprtune.spec.parts.part import OWN
from reprtune.spec.retime import Retime
from reprtune.spec.sections.arms import FOR_ALL
from reprtune.spec.sections.search import Search
from reprtune.spec.space import DurationRange, Range
from reprtune.spec.study import StudySpec
from reprtune.spec.task import ModelSpec
from reprtune.spec.trial import TrialSpec

TRIAL_PARTS = ("task", "model", "training", "method", "seed")
MOVED = {
    "control_seeds": "seeds",
    "controls": "design",
}  # fields of studies before there were sections: now of arms


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
    spec = changed(spec, full_assignments(spec, dict(parse_assignment(text) for text in assignments)))
    if spec != base and spec.cost == base.cost:
        spec = changed(spec, {"cost": f"Not estimated. Before {base.name} was changed: {base.cost}"})
    return changed(spec, {"name": name or _name(base.name, dataset, model, total)})


def _other_model(path: str, name: str | None) -> dict[str, Any]:
    """The changes that put another network at `path`; options it does not have go back to their defaults."""
    if name is None:
        return {}
    kept = catalog.find("models", name).fields
    defaults = {
        field: value for field, value in to_plain(ModelSpec(), whole=True).items() if field not in kept
    }
    return {f"{path}.{field}": value for field, value in (defaults | {"name": name}).items()}


def rescaled(spec: StudySpec, total: Duration) -> StudySpec:
    """The same study for another total: every S1 and S2, and their ranges, keep their share of it."""
    scale = _Scale(spec.base.training.total, total)
    plain = to_plain(spec)
    plain["base"]["training"]["total"] = str(total)
    for section, table in zip(spec.sections, plain["sections"], strict=True):
        section.retimed(table, scale)
    for table in (plain["base"]["method"], plain["base"]["training"]):
        scale.changes(table)
    return from_plain(StudySpec, plain)


def _retimed_trial(spec: TrialSpec, total: Duration) -> TrialSpec:
    plain = to_plain(spec)
    scale = _Scale(spec.training.total, total)
    scale.changes(plain["method"])
    scale.changes(plain["training"])
    plain["training"]["total"] = str(total)
    return from_plain(TrialSpec, plain)


class _Scale(Retime):
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

    def changes(self, fields: dict[str, Any]) -> None:
        for key, value in fields.items():
            if key == FIELD and isinstance(value, dict):
                self._branch(value)
            elif isinstance(value, (dict, list)):
                for table in value if isinstance(value, list) else [value]:
                    if isinstance(table, dict) and not str(table.get("kind")).startswith(OWN):
                        self.changes(table)
            elif _is_cycle_length(key):
                fields[key] = self(key, value)

    def _branch(self, branch: dict[str, Any]) -> None:
        """Its point, where it is a length, and what changes there."""
        if "=" not in branch["at"]:
            branch["at"] = self("branch.at", branch["at"])
        self.changes(branch["changes"])
        if (total := branch["changes"].get("training.total")) is not None:
            branch["changes"]["training.total"] = self("training.total", total)

    def space(self, plain: dict[str, Any], space: Mapping[str, Range]) -> None:
        for path, range_ in space.items():
            if isinstance(range_, DurationRange):
                plain[path] = to_plain(range_.scaled(*self.of(path, range_.low)))
            elif _is_cycle_length(path):
                plain[path]["options"] = [self(path, option) for option in range_.values() or ()]


def _is_cycle_length(path: str) -> bool:
    """Whether a field, by its name or its path, is a length that keeps its share; an option of a person's own part
    may have the same name."""
    above, _, word = path.rpartition(".")
    own = ("", "method.schedule", "method.losses", "training")
    return word in ("s1", "s2", "period", "lr_period", "srip_until") and above in own


def full_assignments(spec: StudySpec, assignments: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a study's fields by the full paths of these. Without a search `seeds` are those of all arms; a section
    of its own keeps what it is given by its name.

    Raises:
        SpecError: as `full_study_path`.
    """
    for_all = [path for path in assignments if spec.search is None and path.partition(".")[0] in FOR_ALL]
    found = {
        f"sections.{section.name}.{path}": assignments[path]
        for path in for_all
        for section in spec.comparisons
    }
    own = {path: value for path, value in assignments.items() if path not in for_all}
    return found | {full_study_path(spec, path): value for path, value in own.items()}


def full_study_path(spec: StudySpec, path: str) -> str:
    """A path of a study as a person types it, in full: `method.s1` is of the base, `slots` of the search,
    `controls.seeds` of the section of that name.

    Raises:
        SpecError: there is no such field, an older version had it elsewhere, or it is one of a search, and there is
            none.
    """
    head = path.partition(".")[0]
    if path in MOVED:
        now = [f"{section.name}.{MOVED[path]}" for section in spec.comparisons]
        raise SpecError(
            f"There is no field {path} any more.",
            f"It is {' or '.join(now)} now." if now else f"The study {spec.name!r} has no arms.",
        )
    if head in TRIAL_PARTS[:-1]:
        return f"base.{path}"
    if head in {section.name for section in spec.sections}:
        return f"sections.{path}"
    own, of_search = [f.name for f in fields(spec)], [f.name for f in fields(Search)]
    if head in own:
        return path
    if head not in of_search:
        sections = [section.name for section in spec.sections]
        if head in ("controls", "arms", "confirmation", "search"):  # what sections are called elsewhere
            raise SpecError(
                f"There is no field {path}: the study {spec.name!r} has no section {head}.",
                f"Its sections are: {', '.join(sections)}.",
            )
        known = (*own, *TRIAL_PARTS[:-1], *sections, *(of_search if spec.search else ()))
        raise SpecError(f"There is no field {path}.", did_you_mean(head, dict.fromkeys(known)))
    if spec.search is None:
        raise SpecError(
            f"There is no field {path}: it is one of a search, and the study {spec.name!r} has none.",
            f"Its sections are: {', '.join(section.name for section in spec.sections)}.",
        )
    return f"sections.{spec.search.name}.{path}"


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
