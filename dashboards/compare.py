"""Two studies side by side, in words for a terminal and as rows. No plotly."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from dashboards.terminal import UNKNOWN, percent, table
from dashboards.units import count, listed, p_text, points
from reprtune.analysis.compare import Effect, Field, Refusal, Row, Side, SideBySide
from reprtune.analysis.paired import Comparison

COLUMNS = (
    "arm", "n_a", "n_b", "diverged_a", "diverged_b", "missing_a", "missing_b", "mean_a", "mean_b", "steps_a", "steps_b",
    "measured_on", "how", "pairs", "difference", "low", "high", "p", "p_holm", "refused",
)  # fmt: skip


NAMED = 4  # modules that differ


def text(found: SideBySide) -> str:
    """All that is to be said of two studies."""
    parts = [f"A = {found.a}, B = {found.b}", *_notes(found)]
    if found.rows:
        header = ("arm", "n in A", "n in B", "A", "B", "B minus A (points)", "how")
        parts.append(table([_cells(row) for row in found.rows], header))
    if any(row.refused is None for row in found.rows):
        parts.append(
            "A and B are mean errors, of the pairs where they are paired; below 0, B has the lower error. Intervals are 95 % and "
            "not corrected; p is corrected for all that is compared (Holm)."
        )
    parts += [*_kinds(found), *_refused(found)]
    if found.effects:
        of_effects = ("arm minus control (points)", "in A", "in B")
        parts.append(table([_effect(one) for one in found.effects], of_effects))
        parts.append(
            "Each effect is of its own study. That one is shown and the other not does not say that they differ."
        )
    if found.searched:
        a, b = map(percent, found.searched)
        parts.append(
            f"Lowest validation error of the searches: {a} in A, {b} in B. Each is the best of many and so looks too good: "
            "compare what a confirmation says."
        )
    return "\n\n".join(parts)


def _kinds(found: SideBySide) -> list[str]:
    """Of what has no p, why."""
    said = []
    if any(row.how == "identical" for row in found.rows):
        said.append(
            "Identical: the same settings, seeds and errors in both, so these are the same runs twice and nothing is tested."
        )
    if explored := [row.arm for row in found.rows if row.explored]:
        said.append(
            f"Explored: {listed(explored)}, added as a branch when there were results to see; there is no p of that."
        )
    return said


def _refused(found: SideBySide) -> list[str]:
    """Each reason once, with all that it keeps from being compared; of other images the beginning tells."""
    reasons: dict[str, list[str]] = {}
    for row in found.rows:
        if row.refused and row.refused.kind != "data":
            reasons.setdefault(reason(row.refused), []).append(row.arm)
    return [
        f"{listed(arms)} {'is' if len(arms) == 1 else 'are'} not compared: {why}"
        for why, arms in reasons.items()
    ]


def _notes(found: SideBySide) -> list[str]:
    """What has to be known before numbers are read."""
    notes = [f"Their base trials differ in {fields(found.differing)}." if found.differing else
             "Their base trials are the same."]  # fmt: skip
    if found.data:
        notes.append(
            f"They measured on other images ({fields(found.data)}): no errors are compared, only effects within each."
        )
    if found.code is None:
        notes.append(
            "Warning: not both say which code they were created with: a difference may come from that."
        )
    elif found.code:
        more = [f"{len(found.code) - NAMED} more"] if len(found.code) > NAMED else []
        notes.append(
            "Warning: they were created with other code or other versions of packages "
            f"({listed([*found.code[:NAMED], *more])}): a difference may come from that."
        )
    if found.by_results:
        notes.append(
            f"In {listed(list(found.by_results))} seeds were added by results: of those, only the ones that it was declared with "
            "are compared."
        )
    for name, pending in zip("AB", found.pending, strict=True):
        if pending:
            notes.append(
                f"{name} is not finished: {count(pending, 'run')} missing. What is complete is compared."
            )
    for name, only in (("A", found.only_a), ("B", found.only_b)):
        if only:
            notes.append(f"Only in {name}: {listed(only)}.")
    return notes


def fields(differing: Sequence[Field]) -> str:
    """`training.lr (0.1 in A, 0.2 in B) and ...`."""
    return listed([f"{path} ({_value(a)} in A, {_value(b)} in B)" for path, a, b in differing])


def _value(value: Any) -> str:
    if value is None:
        return "nothing"
    return value[:12] if isinstance(value, str) and len(value) == 64 else str(value)


def reason(refused: Refusal) -> str:
    """Why something is not compared."""
    said = fields(refused.fields)
    return {
        "trial": f"what has this name is not the same in both, beyond what the bases differ in: {said}.",
        "budget": f"another budget, {said}: like is compared with like.",
        "open": "no run is complete on one of the sides.",
        "unconfirmed": "the best of a search is the best of many; confirm both studies first (study confirm).",
    }[refused.kind]


def _cells(row: Row) -> tuple[str, ...]:
    if row.refused is not None:
        a = b = UNKNOWN
        difference, how = "not compared", row.refused.kind
    else:
        a, b = percent(row.a.mean), percent(row.b.mean)
        difference = _difference(row.difference, row.low, row.high, row.p_holm)
        how = (
            f"{row.how}, {row.measured_on}"
            + (f", {row.n} pairs" if row.n else "")
            + ", explored" * row.explored
        )
    return row.arm, _runs(row.a), _runs(row.b), a, b, difference, how


def _runs(side: Side) -> str:
    more = [f"{side.n_diverged} diverged"] * bool(side.n_diverged) + [f"{side.n_missing} missing"] * bool(
        side.n_missing
    )
    return f"{side.n}" + (f" ({', '.join(more)})" if more else "")


def _difference(mean: float | None, low: float | None, high: float | None, p: float | None) -> str:
    if mean is None:
        return UNKNOWN
    interval = "" if low is None or high is None else f" [{points(low)}, {points(high)}]"
    return points(mean) + interval + ("" if p is None else f", {p_text(p)}")


def _effect(effect: Effect) -> tuple[str, str, str]:
    return f"{effect.arm} minus {effect.control}", _of_study(effect.a), _of_study(effect.b)


def _of_study(found: Comparison) -> str:
    if (judged := found.judged) is None:
        return UNKNOWN
    return f"{_difference(judged.mean, judged.low, judged.high, found.p_holm)} (n = {judged.n}, {found.measured_on})"


def csv_rows(found: SideBySide) -> str:
    """A row for each arm; what is not compared has the kind of the reason."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in found.rows:
        a, b = row.a, row.b
        writer.writerow({
            "arm": row.arm, "n_a": a.n, "n_b": b.n, "diverged_a": a.n_diverged, "diverged_b": b.n_diverged,
            "missing_a": a.n_missing, "missing_b": b.n_missing, "mean_a": a.mean, "mean_b": b.mean,
            "steps_a": a.steps, "steps_b": b.steps, "measured_on": row.measured_on, "how": row.how, "pairs": row.n,
            "difference": row.difference, "low": row.low, "high": row.high, "p": row.p, "p_holm": row.p_holm,
            "refused": row.refused.kind if row.refused else "",
        })  # fmt: skip
    return out.getvalue()
