"""Panels below and beside each other, with titles that stay clear of the axes."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboards import theme

GAP = 78
TOP = 60


def panels(
    x_titles: Sequence[Sequence[str]], row_heights: Sequence[int], column_gap: float = 0.1, gap: int = GAP
) -> go.Figure:
    """A grid with a title below each x axis (a line break parts its lines).

    The rows are `row_heights` px high, with `gap` px between them for tick labels and titles.
    """
    n_rows, n_columns = max(1, len(x_titles)), max([1, *(len(row) for row in x_titles)])
    heights = list(row_heights) or [200]
    height = sum(heights) + (n_rows - 1) * gap
    fig = make_subplots(
        rows=n_rows,
        cols=n_columns,
        row_heights=heights,
        vertical_spacing=gap / height if n_rows > 1 else 0,
        horizontal_spacing=column_gap if n_columns > 1 else 0,
    )
    fig.update_layout(template=theme.TEMPLATE, height=height + TOP)
    for i, row in enumerate(x_titles):
        for j, title in enumerate(row):
            fig.update_xaxes(title_text=theme.text(title).replace("\n", "<br>"), row=i + 1, col=j + 1)
    return fig
