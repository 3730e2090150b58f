"""What differs between two trials, field by field, each with what has to be changed for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from reprtune.errors import SpecError, did_you_mean
from reprtune.spec.codec import to_plain
from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.part import Own, Part
from reprtune.spec.parts.places import RECORDS, full_path
from reprtune.spec.trial import TrialSpec

Changes = Mapping[
    str, Mapping[str, Any]
]  # name of a change -> path of the trial specification -> plain value


def differences(before: TrialSpec, after: TrialSpec) -> dict[str, Any]:
    """Path -> plain value in `after`: changing `before` so makes it `after`, but for seed and branch.

    A place of the method whose part is another is one difference, with all options of that part; where the part is the
    same, each option is one, as each field of task, model and training.
    """
    found: dict[str, Any] = {}
    for head in ("task", "model", "training"):
        ours, theirs = (to_plain(getattr(trial, head), whole=True) for trial in (before, after))
        found |= {f"{head}.{name}": theirs[name] for name in theirs if ours[name] != theirs[name]}
    for field in fields(MethodSpec):
        ours, theirs = (getattr(trial.method, field.name) for trial in (before, after))
        if ours != theirs:
            found |= {f"method.{path}": value for path, value in _of_place(field.name, ours, theirs)}
    return found


def _of_place(place: str, ours: Any, theirs: Any) -> Iterator[tuple[str, Any]]:
    old, new = _options(place, ours), _options(place, theirs)
    if old is None or new is None or old.keys() != new.keys() or _kind(ours) != _kind(theirs):
        yield place, to_plain(theirs)
        return
    yield from ((f"{place}.{name}", new[name]) for name in new if old[name] != new[name])


def _alone(value: Any) -> Any:
    """A part or a record; of several losses the only one, else None."""
    if isinstance(value, tuple):
        return value[0] if len(value) == 1 else None
    return value


def _kind(value: Any) -> str:
    one = _alone(value)
    return one.name if isinstance(one, Part) else ""


def _options(place: str, value: Any) -> dict[str, Any] | None:
    """Option -> plain value, where each may be changed by itself: of one shipped part, or of a record."""
    one = _alone(value)
    if one is None or isinstance(one, Own):
        return None
    there = {f.name: getattr(one, f.name) for f in fields(one)} if place in RECORDS else one.options()
    return {name: to_plain(option) for name, option in there.items()}


def as_changes(found: Mapping[str, Any], together: Sequence[Sequence[str]]) -> Changes:
    """Differences as changes: those of a group of `together` are one, in the place of the first of them. What a group
    names and does not differ is passed over."""
    words = _words(found)
    group_of = {path: i for i, paths in enumerate(together) for path in paths if path in found}
    made: dict[str, dict[str, Any]] = {}
    for path in found:
        inside = [other for other in found if group_of.get(other, other) == group_of.get(path, path)]
        made.setdefault("-".join(words[other] for other in inside), {other: found[other] for other in inside})
    return made


def _words(paths: Mapping[str, Any]) -> dict[str, str]:
    """Path -> what it is called: its last word, or its last two where others end alike."""
    last = Counter(path.rpartition(".")[2] for path in paths)
    return {
        path: ".".join(path.split(".")[-1 if last[path.rpartition(".")[2]] == 1 else -2 :]) for path in paths
    }


def read_together(where: str, together: Any) -> tuple[tuple[str, ...], ...]:
    """Groups of paths, written out.

    Raises:
        SpecError: it is no list of groups, or a path is in two.
    """
    is_list = isinstance(together, (list, tuple))
    if not is_list or any(not isinstance(group, (list, tuple)) or len(group) < 2 for group in together):
        raise SpecError(
            f"{where} must hold groups of two paths or more, but got {together!r}.",
            'Write [["training.lr", "training.momentum"]]: these two change in one step.',
        )
    for group in together:
        if wrong := [path for path in group if not isinstance(path, str)]:
            raise SpecError(f"{where} must hold paths, but got {wrong[0]!r}.", "Write training.lr.")
    groups = tuple(tuple(full_path(path) for path in group) for group in together)
    times = Counter(path for group in groups for path in group)
    if twice := [path for path, n in times.items() if n > 1]:
        raise SpecError(f"{where} names {twice[0]} twice.", "Put all that moves with it into one group.")
    return groups


def check_together(where: str, together: Sequence[Sequence[str]], known: Sequence[str]) -> None:
    """Raise SpecError where a group names what does not differ."""
    for path in (path for group in together for path in group):
        if path not in known:
            raise SpecError(
                f"{where} must name what differs between start and end, but got {path}.",
                did_you_mean(path, known),
            )
