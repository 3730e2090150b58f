"""What else happened in a trial, in numbers: what its parts measured at rungs, and what came out of it in the end."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from dashboards import theme
from dashboards.page import Table, Words
from dashboards.units import significant
from reprtune.history import Happening, History

TITLE = "What its parts measured, and what came out"
MEASURE = "measure"  # kind of what is measured at rungs


@dataclass(frozen=True, kw_only=True)
class HappeningsInfo:
    """Attributes:
    happenings: in their order. steps_per_epoch: for an axis in epochs.
    """

    happenings: tuple[Happening, ...] = ()
    steps_per_epoch: int = 1

    @property
    def lines(self) -> dict[tuple[str, int], list[tuple[float, float]]]:
        """(name, member) of everything measured -> (epoch, value), where it is above 0."""
        found: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for told in self.happenings:
            for name, value in told.numbers.items() if told.kind == MEASURE else ():
                if value > 0:
                    found.setdefault((name, told.member), []).append(
                        (told.step / self.steps_per_epoch, value)
                    )
        return found


def info(history: History) -> HappeningsInfo:
    """Of one trial."""
    return HappeningsInfo(happenings=history.happenings, steps_per_epoch=history.steps_per_epoch)


def figure(info: HappeningsInfo) -> go.Figure:
    """Everything measured over epochs, on a logarithmic axis."""
    fig = theme.figure(380)
    several = len({member for _, member in info.lines}) > 1
    for i, ((name, member), values) in enumerate(info.lines.items()):
        label = theme.text(f"{name}, member {member}" if several else name)
        fig.add_scatter(
            x=[epoch for epoch, _ in values], y=[value for _, value in values], name=label,
            mode="lines+markers", line={"color": theme.SERIES[i % len(theme.SERIES)]},
            marker={"symbol": theme.SYMBOLS[i % len(theme.SYMBOLS)]},
            hovertemplate=f"epoch %{{x:.4g}}: %{{y:.4g}}<extra>{label}</extra>",
        )  # fmt: skip
    fig.update_xaxes(title_text="epoch", rangemode="tozero")
    fig.update_yaxes(title_text="measured", type="log")
    return fig


def words(info: HappeningsInfo) -> Words:
    return Words(
        missing=None if info.lines else "Nothing was measured while it trained.",
        reading="What the parts of the method measured in the network at rungs. The table also has what was chosen "
        "when a phase began, what share of the numbers a new generation drew anew, and sizes before and after the "
        "end.",
        table=_table(info) if info.happenings else None,
        picture="Measured numbers over epochs",
    )


def _table(info: HappeningsInfo) -> Table:
    return Table(
        caption="What happened, in numbers",
        header=("what", "epoch", "network", "number", "value"),
        rows=tuple(
            (
                told.kind,
                f"{told.step / info.steps_per_epoch:g}",
                str(told.member),
                name,
                significant(value, 4),
            )
            for told in info.happenings
            for name, value in told.numbers.items()
        ),
    )
