"""Tuning: by which tries each arm was tuned, what was chosen, and what that came to on fresh seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from dashboards import theme
from dashboards.labels import wrapped
from dashboards.page import Table, Words
from dashboards.tuned_words import chosen, drawn, how
from dashboards.units import count, duration, percent, value
from reprtune.analysis.tuned import Try, Tuned, all_tuned
from reprtune.record.schema import StudyRecord
from reprtune.spec.objectives import COST
from reprtune.spec.parts.places import short_path

TITLE = "Tuning"
ABOUT = "tuned"
FEWEST_ARMS, FEWEST_VALUES = 2, 4  # of which it is said that the best lies at an end
WIDE = 10  # from the lowest to the highest error: then the axis is logarithmic
READING = (
    "Every arm had the same number of tries, with the same draws of the fields that it has. Tries are trained on seeds that "
    "nothing else has, and measured on the validation part alone; the one with the lowest error gave the settings of all runs of its "
    "arm. The error of a best try is the lowest of several, and so partly luck: compare arms by their runs on fresh seeds and the test "
    "part (Effects), never by their tries. As good: tries whose error is at most one standard deviation of the arm's fresh runs above "
    "that of the best; where most are, the arm needs no tuning, and where one alone is, more tries may find a better one."
)


@dataclass(frozen=True, kw_only=True)
class TuningInfo:
    """Every arm that is tuned; `said`: how, section by section."""

    arms: tuple[Tuned, ...]
    said: tuple[str, ...]


def info(record: StudyRecord) -> TuningInfo:
    return TuningInfo(arms=all_tuned(record), said=how(record))


def figure(info: TuningInfo) -> go.Figure:
    """A row for each arm: all its tries, the best, and its runs on fresh seeds."""
    fig = theme.figure(150 + 34 * max(2, len(info.arms)))
    tries = [(arm, one) for arm in info.arms for one in arm.tries if one.error is not None]
    best = [(arm, one) for arm, one in tries if one.n == arm.best]
    fresh = [(arm, statistics.fmean(arm.fresh)) for arm in info.arms if arm.fresh]
    fig.add_scatter(
        x=[100 * (one.error or 0) for _, one in tries], y=[wrapped(arm.arm) for arm, _ in tries], mode="markers",
        name="a try", marker={"symbol": "circle-open", "size": 9, "color": theme.GREY},
        hovertext=[_hover(arm, one) for arm, one in tries], hoverinfo="text",
    )  # fmt: skip
    fig.add_scatter(
        x=[100 * (one.error or 0) for _, one in best], y=[wrapped(arm.arm) for arm, _ in best], mode="markers",
        name="the best, which was chosen", marker={"symbol": "diamond", "size": 11, "color": theme.BLUE},
        hovertext=[_hover(arm, one) for arm, one in best], hoverinfo="text",
    )  # fmt: skip
    fig.add_scatter(
        x=[100 * mean for _, mean in fresh], y=[wrapped(arm.arm) for arm, _ in fresh], mode="markers",
        name="its runs on fresh seeds, mean", marker={"symbol": "square-open", "size": 12, "color": theme.ORANGE, "line": {"width": 2}},
        hovertext=[f"{theme.text(arm.arm)}: {percent(mean)}, {count(len(arm.fresh), 'seed')}" for arm, mean in fresh], hoverinfo="text",
    )  # fmt: skip
    errors = [error for arm in info.arms for error in (*arm.errors, *arm.fresh)]
    wide = bool(errors) and 0 < min(errors) < max(errors) / WIDE
    fig.update_xaxes(title_text="validation error, %", type="log" if wide else "linear")
    fig.update_yaxes(
        type="category", autorange="reversed", categoryorder="array",
        categoryarray=[wrapped(arm.arm) for arm in info.arms],
    )  # fmt: skip
    return fig


def _hover(arm: Tuned, one: Try) -> str:
    said = f"{theme.text(arm.arm)}, try {one.n}: {percent(one.error or 0)}<br>{theme.text(drawn(one))}"
    return said + (f"<br>{count(one.n_diverged, 'run')} diverged" if one.n_diverged else "")


def words(info: TuningInfo) -> Words:
    missing = None
    if not any(arm.errors for arm in info.arms):
        missing = "No try is complete yet."
    said = (
        _gain(info.arms),
        _at_an_end(info.arms),
        _luck(info.arms),
        _failed(info.arms),
        _open(info.arms),
        *info.said,
    )
    return Words(
        lead=tuple(text for text in said if text),
        missing=missing,
        reading=READING if missing is None else "",
        table=_table(info.arms) if info.arms else None,
        picture="Validation errors of all tries of each arm, the best, and the mean of its runs on fresh seeds",
    )


def _gain(arms: Sequence[Tuned]) -> str:
    """How much there was to tune."""
    gains = {arm.arm: statistics.median(arm.errors) - arm.errors[0] for arm in arms if arm.best is not None}
    if not gains:
        return ""
    said = "The best try of an arm has so many points less error than its median try"
    most, least = max(gains, key=gains.__getitem__), min(gains, key=gains.__getitem__)
    which = f"{100 * gains[most]:.2f} ({most})"
    return f"{said}: {which if len(gains) == 1 else f'{100 * gains[least]:.2f} ({least}) to {which}'}."


def _at_an_end(arms: Sequence[Tuned]) -> str:
    """Fields whose best value lies at one end of what was drawn, in most arms: by chance in few."""
    said = []
    for path in dict.fromkeys(path for arm in arms for one in arm.tries for path in one.drawn):
        ends = [end for arm in arms if (end := _end(arm, path)) is not None]
        for end in ("smallest", "largest"):
            n = ends.count(end)
            if n >= FEWEST_ARMS and 2 * n > len(ends):
                said.append(
                    f"the {end} {short_path(path)} that was drawn is the best in {n} of {len(ends)} arms"
                )
    if not said:
        return ""
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}: a range that goes further may hold a better one."


def _end(arm: Tuned, path: str) -> str | None:
    """Is the value of the best try the smallest or the largest of all? Empty for one between; None where it says
    nothing."""
    values = [one.drawn[path] for one in arm.tries if path in one.drawn]
    own = arm.chosen.drawn.get(path) if arm.chosen else None
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if own is None or len(numbers) < len(values) or len(set(numbers)) < FEWEST_VALUES:
        return None
    return "smallest" if own == min(numbers) else "largest" if own == max(numbers) else ""


def _luck(arms: Sequence[Tuned]) -> str:
    """By how much the best try looked better, or worse, than its arm is."""
    both = [statistics.fmean(arm.fresh) - arm.chosen.error for arm in arms if arm.fresh and arm.chosen and arm.chosen.error is not None]  # fmt: skip
    if not both:
        return ""
    mean = statistics.fmean(both)
    said = f"Runs on fresh seeds have a validation error {100 * abs(mean):.2f} points {'below' if mean < 0 else 'above'} that of the best try, mean over {count(len(both), 'arm')}"
    return f"{said}: the lowest of several is flattered by luck." if mean > 0 else f"{said}."


def _failed(arms: Sequence[Tuned]) -> str:
    diverged = sum(one.n_diverged for arm in arms for one in arm.tries)
    failed = sum(one.n_failed for arm in arms for one in arm.tries)
    counts = "counts" if diverged == 1 else "count"
    parts = (
        [f"{count(diverged, 'run')} of tries diverged, and {counts} with chance error"] if diverged else []
    )
    parts += (
        [f"{count(failed, 'run')} of tries failed, so that these tries were passed over"] if failed else []
    )
    return f"{'; '.join(parts)}." if parts else ""


def _open(arms: Sequence[Tuned]) -> str:
    left = sum(arm.left for arm in arms)
    waiting = sum(arm.settings is None for arm in arms)
    return f"{count(left, 'run')} of tries left; {count(waiting, 'arm')} not chosen yet." if left else ""


def _table(arms: Sequence[Tuned]) -> Table:
    return Table(
        caption="What each arm was tuned to; validation errors of its tries and of its runs on fresh seeds",
        header=(
            "arm", "chosen", "best", "second", "median", "worst", "as good", "fresh runs, mean ± sd", "diverged", "spent",
            "time",
        ),
        rows=tuple(
            (
                arm.arm, chosen(arm), *_spread(arm.errors), _as_good(arm), _fresh(arm),
                str(sum(one.n_diverged for one in arm.tries)), value(COST, sum(one.gflops for one in arm.tries)),
                duration(sum(one.seconds for one in arm.tries)),
            )
            for arm in arms
        ),
    )  # fmt: skip


def _spread(errors: Sequence[float]) -> tuple[str, ...]:
    """The lowest, the second, the median and the highest."""
    if not errors:
        return ("",) * 4
    second = percent(errors[1]) if len(errors) > 1 else ""
    return percent(errors[0]), second, percent(statistics.median(errors)), percent(errors[-1])


def _as_good(arm: Tuned) -> str:
    """How many tries the seeds cannot tell from the best, of those with an error."""
    if len(arm.fresh) < 2 or not arm.errors:
        return ""
    near = sum(error <= arm.errors[0] + statistics.stdev(arm.fresh) for error in arm.errors)
    return f"{near} of {len(arm.errors)}"


def _fresh(arm: Tuned) -> str:
    if not arm.fresh:
        return ""
    mean = statistics.fmean(arm.fresh)
    return (
        f"{100 * mean:.2f} ± {100 * statistics.stdev(arm.fresh):.2f} %"
        if len(arm.fresh) > 1
        else percent(mean)
    )
