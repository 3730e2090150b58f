"""Trials that diverged, in words, and what is likely to keep others from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboards.units import count, significant, value_text
from reprtune.analysis.diverged import BEFORE
from reprtune.spec.parts.places import short_path

Numbers = Mapping[str, Any]  # of a check of `analysis.diverged`


def of_search(n: Numbers, _: bool) -> str:
    text = f"{n['n_diverged']:,} of {count(n['n'], 'trained slot')} of the search diverged{_stage(n)}"
    if n.get("path") is None:
        return text
    typical = f"{value_text(n['diverged'])}, of the others {value_text(n['others'])}"
    return f"{text}, and their {short_path(n['path'])} is typically {typical}"


def of_arms(n: Numbers, _: bool) -> str:
    arms = count(n["arms"], "arm")
    if not n["diverging"]:
        return f"none of {arms} diverged in more than half of its runs"
    which = n["diverging"].replace(", ", " and ") if n["diverging"].count(",") < 2 else n["diverging"]
    return f"{n['n_diverged']:,} of {count(n['n'], 'run')} of {which} diverged{_stage(n)}"


def _stage(n: Numbers) -> str:
    """Where, if it is known; of some of them none is."""
    if not n["stage"] or not n["n_diverged"]:
        return ""
    return f" {n['stage']}" if n["n_diverged"] == 1 else f", most of them {n['stage']}"


def change(n: Numbers) -> str:
    """What is likely to keep trials from diverging, by the most telling of what is known of them."""
    if n.get("path") is not None:
        return _without(short_path(n["path"]), n["diverged"], n["others"])
    if n["precision"] == "fp16":
        return "with --set base.training.precision=bf16, which has the range of fp32"
    slower = (
        "with a lower range of training.lr (--set space.training.lr.high=...)"
        if n["lr"] is None
        else f"with a learning rate of {significant(n['lr'] / 3, 1)} instead of {n['lr']:g} "
        f"(--set base.training.lr={significant(n['lr'] / 3, 1)})"
    )
    if n["batch_norm"] is False:
        return f"{slower}, or with BatchNorm (--set base.model.batch_norm=true)"
    return slower if n["stage"] in (None, BEFORE) else f"{slower}, or with a lower method.prune_ratio"


def _without(path: str, diverged: Any, others: Any) -> str:
    """Without the values with which trials diverge."""
    if isinstance(diverged, str):
        return f"without {diverged} among the options of {path}"
    end = "high" if diverged > others else "low"
    return f"with a {'lower' if end == 'high' else 'higher'} end of {path} (--set space.{path}.{end}={value_text(others)})"
