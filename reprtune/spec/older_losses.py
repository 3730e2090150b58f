"""Losses as older versions stored them, read as today's: a penalty and a teacher were fields of the training.

Only plain values are turned here: types and rules are the business of whoever reads them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from reprtune.errors import SpecError
from reprtune.spec.codec import from_plain, to_plain
from reprtune.spec.edit import changed
from reprtune.spec.method import MethodSpec
from reprtune.spec.trial import TrialSpec

Table = Mapping[str, Any]

WERE: dict[str, Any] = {  # field -> what it was where nobody said
    "ortho_penalty": 0, "teacher": None, "teacher_weight": 0.5, "teacher_temperature": 4,
}  # fmt: skip
PATHS = {f"training.{field}": field for field in WERE}


def with_losses(plain: Table) -> Table:
    """A trial, with its fields or with paths of what is changed in another; without such fields as it is."""
    training = plain.get("training")
    if isinstance(training, Mapping) and not {*WERE}.isdisjoint(training):
        return _trial(plain, training)
    return _settings(plain) if not {*PATHS}.isdisjoint(plain) else plain


def study_with_losses(study: Table) -> Table:
    """A study, its base and its sections; without such fields as it is."""
    base = study["base"]
    training = base.get("training")
    if not isinstance(training, Mapping) or {*WERE}.isdisjoint(training):
        return study
    sections = study.get("sections")
    tables = [one for one in sections if isinstance(one, Mapping)] if isinstance(sections, list) else []
    varied = {path for one in tables for path in _space(one) if path in PATHS}
    _check_varied(varied, base, tables)
    moved = {**_trial(base, training)}
    if "training.ortho_penalty" in varied and not training.get("ortho_penalty"):
        moved["method"] = _with(moved.get("method"), [{"kind": "overlap", "ortho_penalty": 0}])
    if not isinstance(sections, list):
        return {**study, "base": moved}
    return {**study, "base": moved, "sections": [_section(one, base) for one in sections]}


def _trial(plain: Table, training: Table) -> Table:
    own = {field: value for field, value in training.items() if field not in WERE}
    terms = losses({**WERE, **training})
    method = _with(plain.get("method"), terms) if terms else plain.get("method")
    kept = {name: value for name, value in plain.items() if name != "method"}
    return {**kept, "training": own} | ({"method": method} if "method" in plain or terms else {})


def losses(fields: Table) -> list[dict[str, Any]]:
    """The parts that fields of the training stand for."""
    found: list[dict[str, Any]] = []
    if fields["ortho_penalty"] != 0:
        found.append({"kind": "overlap", "ortho_penalty": fields["ortho_penalty"]})
    if (folder := fields["teacher"]) is not None:
        options = {name: fields[name] for name in ("teacher_weight", "teacher_temperature")}
        found.append({"kind": "teacher", "teacher_folder": folder, **options})
    return found


def _with(method: Any, terms: list[dict[str, Any]]) -> Any:
    """A method's table with further losses; a method by its name is written out."""
    if isinstance(method, str):
        method = to_plain(changed(TrialSpec(), {"method": method}).method)
    if method is None:
        method = to_plain(TrialSpec().method)
    if not isinstance(method, Mapping):
        return method
    there = method.get("losses", [])
    return {**method, "losses": [*there, *terms]} if isinstance(there, list) else method


def _settings(plain: Table) -> Table:
    """Paths of what is changed, where nothing is known of the trial that is changed: a loss that they begin takes
    the place of others."""
    fields = {field: plain[path] for path, field in PATHS.items() if path in plain}
    kept = {path: value for path, value in plain.items() if path not in PATHS}
    if not {"ortho_penalty", "teacher"}.isdisjoint(fields):
        return {**kept, "method.losses": losses({**WERE, **fields})}
    return kept | {f"method.losses.{field}": value for field, value in fields.items()}


# -- sections --------------------------------------------------------------------------------------


def _section(section: Any, before: Table) -> Any:
    if not isinstance(section, Mapping):
        return section
    found = dict(section)
    if isinstance(space := section.get("space"), Mapping):
        found["space"] = {_path(path): value for path, value in space.items()}
    design = section.get("design")
    if isinstance(design, Mapping) and isinstance(arms := design.get("list"), list):
        found["design"] = {**design, "list": [_arm(arm, before) for arm in arms]}
    return found


def _path(path: str) -> str:
    return f"method.losses.{PATHS[path]}" if path in PATHS else path


def _arm(arm: Any, before: Table) -> Any:
    """An arm that changes a loss, or the method beside one, has all losses that it meant."""
    changes = arm.get("changes") if isinstance(arm, Mapping) else None
    if not isinstance(changes, Mapping):
        return arm
    own = {path: value for path, value in changes.items() if path == "method" or path.startswith("method.")}
    given = {PATHS[path]: value for path, value in changes.items() if path in PATHS}
    terms = losses({**WERE, **before["training"], **given})
    if not given and not (terms and "method" in own):
        return arm
    kept = {path: value for path, value in changes.items() if path not in PATHS}
    with contextlib.suppress(SpecError):
        method = from_plain(MethodSpec, before.get("method", to_plain(TrialSpec().method)), "method")
        others = to_plain(changed(TrialSpec(method=method), own).method.losses)
        kept["method.losses"] = [*others, *terms]
    return {**arm, "changes": kept}


def _space(section: Table) -> Table:
    space = section.get("space")
    return space if isinstance(space, Mapping) else {}


def _check_varied(varied: set[str], base: Table, sections: list[Table]) -> None:
    """What cannot be said any more: other folders, or other methods beside the same losses."""
    chooses = any("method" in _space(one) for one in sections)
    if "training.teacher" in varied or (chooses and (varied or losses({**WERE, **base["training"]}))):
        raise SpecError(
            "its space varies training.teacher, or whole methods beside a penalty or a teacher, which are parts of "
            "the method now.",
            "Read it with the version that stored it.",
        )
