"""What older versions stored, read as today's: their methods were one flat table of 17 fields, all of them always
there, and with no cycles the others did nothing; their stop rules were one table, too; their studies were one
flat table of a search and its controls; and losses were fields of the training (see `older_losses`).

Only plain values are turned here: types and rules are the business of whoever reads them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from reprtune.errors import SpecError
from reprtune.spec.codec import from_plain, to_plain
from reprtune.spec.edit import changed, put_all
from reprtune.spec.method import MethodSpec
from reprtune.spec.older_losses import study_with_losses, with_losses
from reprtune.spec.parts.places import NAMES
from reprtune.spec.presets import REPR, STANDARD
from reprtune.spec.trial import TrialSpec

FLAT: dict[str, Any] = {  # field -> what it was where nobody said
    "cycles": 3, "s1": "20ep", "s2": "10ep", "criterion": "ortho", "prune_ratio": 0.3, "scope": "global",
    "layer_cap": 1, "exclude_first": True, "exclude_shortcuts": False, "exclude": [], "drop": "exact",
    "restore": "orthogonal", "restore_scale": "own", "restore_bn": "reset", "restore_optimizer": "reset",
    "restore_next": "keep", "restore_lr": "continue",
}  # fmt: skip
OF_SEARCH = (  # fields of a study that are now of its search
    "space", "objectives", "sampler", "stop", "slots", "seeds", "max_seconds", "max_gflops", "seed",
)  # fmt: skip
NAMED: dict[str, dict[str, Any]] = {"repr": {}, "standard": {"cycles": 0}}  # the methods there were


def as_today(plain: Any) -> Any:
    """The plain value of a trial or a study, of whatever version, as today's. Today's is given back as it is.

    Raises:
        SpecError: the method of an older version is damaged, or its space means what cannot be said any more.
    """
    if not isinstance(plain, Mapping):
        return plain
    if _is_flat_rule(plain.get("stop")):
        plain = {**plain, "stop": _stop_rule(plain["stop"])}
    if not isinstance(plain.get("base"), Mapping):
        flat = _is_flat(plain.get("method"))
        return with_losses({**plain, "method": _composition(plain["method"])} if flat else plain)
    return study_with_losses(_in_sections(_with_compositions(plain)))


def _with_compositions(study: Mapping[str, Any]) -> Mapping[str, Any]:
    """A study with the methods of its base and its controls as compositions."""
    base = study["base"]
    if not _is_flat(base.get("method")):
        return study
    _check_space(study.get("space"))
    today = {**study, "base": {**base, "method": _composition(base["method"])}}
    if isinstance(controls := study.get("controls"), list):
        today["controls"] = [_arm(arm, base["method"]) for arm in controls]
    return today


def _in_sections(study: Mapping[str, Any]) -> Mapping[str, Any]:
    """A study with its controls and its search as sections; without slots and a space it had no search."""
    if "sections" in study or not {"slots", "controls"} & {*study}:
        return study
    sections: list[dict[str, Any]] = []
    if (controls := study.get("controls", [])) != []:
        arms = {"kind": "arms", "name": "controls", "design": {"kind": "named", "list": controls}}
        sections.append(arms | ({"seeds": study["control_seeds"]} if "control_seeds" in study else {}))
    if study.get("slots", 0) != 0 or study.get("space", {}) != {}:
        own = {field: study[field] for field in OF_SEARCH if field in study}
        sections.append({"kind": "search", "name": "search", **own})
    kept = {k: v for k, v in study.items() if k not in (*OF_SEARCH, "controls", "control_seeds")}
    return {**kept, "sections": sections}


def _is_flat(method: Any) -> bool:
    """Does a table have fields that only the flat ones had?"""
    return isinstance(method, Mapping) and not {*method}.isdisjoint({*FLAT} - {*NAMES})


def _is_flat_rule(stop: Any) -> bool:
    """Is it a stop rule that has its name in a field `rule`, beside the options of all rules?"""
    return isinstance(stop, Mapping) and "rule" in stop and "kind" not in stop


def _stop_rule(flat: Mapping[str, Any]) -> dict[str, Any]:
    """With the options that the rule has; those of other rules were None, and with none the rest did nothing."""
    given = {name: value for name, value in flat.items() if name != "rule" and value is not None}
    if flat["rule"] == "none":
        given.pop("min_comparable", None)
    return {"kind": flat["rule"], **given}


def _composition(flat: Mapping[str, Any]) -> dict[str, Any]:
    """A flat table as a composition; `restore_scale` was there, as `own`, with every restore rule."""
    given = {**FLAT, **flat}
    if given["cycles"] == 0:
        return to_plain(STANDARD)
    scale = given.pop("restore_scale")
    plain = {"method": to_plain(REPR)}
    put_all(plain, {f"method.{field}": value for field, value in given.items()})
    rule = plain["method"]["restore"]
    if scale != "own" or (isinstance(rule, Mapping) and "restore_scale" in rule):
        put_all(plain, {"method.restore_scale": scale})
    return plain["method"]


def _arm(arm: Any, base: Mapping[str, Any]) -> Any:
    """An arm whose changes today's method does not take as they were meant has the whole method instead."""
    changes = arm.get("changes") if isinstance(arm, Mapping) else None
    if not isinstance(changes, Mapping):
        return arm
    own = {path: value for path, value in changes.items() if path == "method" or path.startswith("method.")}
    flat = dict(base)
    for path, value in own.items():
        if path == "method":
            flat = dict(value) if isinstance(value, Mapping) else NAMED.get(str(value), {str(value): None})
        else:
            flat = {**flat, path.removeprefix("method."): value}
    meant = _composition(flat)
    if _read_today(own, base) == from_plain(MethodSpec, meant, "method"):
        return arm
    others = {path: value for path, value in changes.items() if path not in own}
    return {**arm, "changes": {**others, "method": meant}}


def _read_today(changes: Mapping[str, Any], base: Mapping[str, Any]) -> MethodSpec | None:
    """What the changes make of the base in today's words; None where they cannot."""
    method = from_plain(MethodSpec, _composition(base), "method")
    with contextlib.suppress(SpecError):
        return changed(TrialSpec(method=method), changes).method
    return None


def _check_space(space: Any) -> None:
    if isinstance(space, Mapping) and {"method", "method.cycles"} <= {*space}:
        raise SpecError(
            "its space chooses whole methods and varies method.cycles, by which standard was no standard training "
            "in the version that stored it.",
            "Read it with that version.",
        )
