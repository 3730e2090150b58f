"""The confirmation: leaders and controls on fresh seeds and test images, and their paired differences."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from dashboards.next_step import to_change
from dashboards.page import Table, Words
from dashboards.paired import (
    SEEN,
    Errors,
    add_differences,
    add_errors,
    difference_text,
    needed_text,
    p_cell,
    smallest_text,
)
from dashboards.panels import panels
from dashboards.units import count, percent, settings
from dashboards.verdict import mean_sd, sentences
from reprtune.analysis.confirmation import Confirmation, ConfirmedArm, confirmation
from reprtune.analysis.paired import MIN_BCA, MIN_WILCOXON, Comparison
from reprtune.analysis.power import needed, smallest
from reprtune.record.schema import StudyRecord

TITLE = "Confirmation on fresh seeds and test images"
ABOUT = "study"


@dataclass(frozen=True, kw_only=True)
class ConfirmationInfo:
    """`found` is None until the study is confirmed. `searched`: has it a search, whose leaders are confirmed? `diverged`:
    did so much diverge that there is nothing to confirm?"""

    name: str
    finished: bool
    searched: bool
    diverged: bool
    found: Confirmation | None


def info(record: StudyRecord) -> ConfirmationInfo:
    return ConfirmationInfo(
        name=record.spec.name,
        finished=record.unsettled() == 0,
        searched=record.spec.search is not None,
        diverged=bool(to_change(record)),
        found=confirmation(record),
    )


def figure(info: ConfirmationInfo) -> go.Figure:
    """Above, test errors per seed with their mean; below, differences with their intervals."""
    arms = [a for a in info.found.arms if a.test] if info.found else []
    found = info.found.comparisons if info.found else ()
    shown = [(f"{c.arm} \N{MINUS SIGN} {c.control}", c.difference) for c in found if c.difference]
    titles, heights = [["test error, %"]], [46 * max(2, len(arms))]
    if shown:
        titles.append(["difference, points"])
        heights.append(46 * max(2, len(shown)))
    fig = panels(titles, heights)
    if arms:
        add_errors(fig, [Errors(a.arm, a.test, a.test_mean) for a in arms])
    if shown:
        add_differences(fig, shown)
    fig.update_yaxes(autorange="reversed", type="category")
    return fig


def words(info: ConfirmationInfo) -> Words:
    found = info.found
    if found is None:
        return Words(missing=_not_yet(info))
    drawn = any(arm.test for arm in found.arms)
    return Words(
        lead=sentences(found),
        missing=None if drawn else "No run of the confirmation is complete yet.",
        facts=tuple((_title(arm), _arm(arm)) for arm in found.arms) if drawn else (),
        reading=(
            "Every arm was trained again with the same seeds "
            f"({', '.join(map(str, found.seeds))}), which nothing in the study had seen before, and measured after its "
            "last epoch. Differences are paired by seed, in percentage points; left of 0 the first is "
            "better. Intervals are paired t intervals over seeds, not corrected; p is corrected by Holm's rule "
            f"for {count(len(found.comparisons), 'comparison')}; what follows from them, the page of decisions says. "
            f"{SEEN} All of it is given this split and these {found.n_test:,} test images."
        ),
        table=_table(found.comparisons, info.searched) if found.comparisons else None,
        picture="Test error of everything that was trained on fresh seeds, and paired differences",
    )


def _not_yet(info: ConfirmationInfo) -> str:
    if info.diverged:
        return "Not confirmed: too much of the study diverged for anything to be confirmed; see the checks."
    when = "" if info.finished else "once the study is finished, "
    command = f"{when}`python cli.py study confirm {info.name}` trains"
    if not info.searched:
        return f"Not confirmed: {command} the arms on fresh seeds and tests each once on test images."
    return (
        "Not confirmed: the best of a search was selected by its validation error, which flatters it; "
        f"{command} leaders and controls on fresh seeds and tests each once on test images."
    )


def _title(arm: ConfirmedArm) -> str:
    return f"{arm.arm}: {settings(arm.params)}" if arm.params else arm.arm


def _arm(arm: ConfirmedArm) -> str:
    """Everything of one arm in a line."""
    parts = [f"{count(arm.n, 'run')} complete"]
    others = {"diverged": arm.n_diverged, "failed": arm.n_failed, "open": arm.n_open}
    parts += [f"{n} {what}" for what, n in others.items() if n]
    if arm.test_mean is not None:
        parts.append(f"test error {mean_sd(arm.test_mean, arm.test_sd)}")
    if arm.test_se is not None:
        parts.append(
            f"the size of the test part alone leaves a standard error of {100 * arm.test_se:.2f} points"
        )
    if arm.val_mean is not None:
        parts.append(f"validation error {mean_sd(arm.val_mean, arm.val_sd)}")
    if arm.search_val is not None:
        parts.append(f"in the search {percent(arm.search_val)}")
    if arm.cost_factor is not None:
        parts.append(f"cost factor {arm.cost_factor:.2f}")
    return "; ".join(parts)


def _table(comparisons: tuple[Comparison, ...], searched: bool) -> Table:
    return Table(
        caption="Differences of test errors in percentage points, paired by seed, with 95 % intervals",
        header=(
            *(("leader", "control") if searched else ("arm", "against")), "pairs", "difference", "p", "p, corrected", "effect (d_z)", "share of seeds better",
            "would have shown, points", "seeds to decide",
            f"bootstrap interval (from {MIN_BCA} pairs)", f"Wilcoxon p (from {MIN_WILCOXON} pairs)",
            "with chance error for diverged runs",
        ),
        rows=tuple(
            (
                c.arm, c.control, str(c.difference.n if c.difference else 0), difference_text(c.difference),
                p_cell(c.p), p_cell(c.p_holm), _number(c.effect), _number(c.better),
                smallest_text(smallest(c.judged)), needed_text(needed(c.judged)),
                _bootstrap(c), p_cell(c.wilcoxon), difference_text(c.with_chance),
            )
            for c in comparisons
        ),
    )  # fmt: skip


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _bootstrap(c: Comparison) -> str:
    if c.bca_low is None or c.bca_high is None:
        return ""
    return f"[{100 * c.bca_low:+.2f}, {100 * c.bca_high:+.2f}]"
