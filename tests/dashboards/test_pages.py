"""Every page keeps the contract of its kind, whatever became of the study."""

from __future__ import annotations

import json

import plotly.graph_objects as go
import pytest

from dashboards.pages import PAGES
from reprtune.record.outcomes import Outcome
from reprtune.spec.codec import from_plain, to_plain
from reprtune.spec.objectives import OBJECTIVES
from reprtune.spec.space import Choice, FloatRange
from reprtune.spec.stop_rules import NoStop
from tests.confirmed import confirmed, searched
from tests.factories import RESNET, comparison, make_study

NO_STOP = NoStop()
STUDIES = {
    "mixed": make_study(),
    "one objective": make_study(objectives=("val_error",)),
    "only cost": make_study(12, objectives=("train_gflops",), extras=()),
    "error and inference": make_study(24, objectives=("val_error", "inference_gflops"), stop=NO_STOP),
    "all objectives": make_study(24, objectives=tuple(OBJECTIVES), stop=NO_STOP),
    "only size": make_study(12, objectives=("params",), stop=NO_STOP, extras=()),
    "large network": make_study(16, layers=RESNET, seed=3),
    "empty": make_study(0, extras=(), control_seeds=()),
    "all failed": make_study(6, outcomes=("error", "out-of-memory", "diverged"), extras=()),
    "one complete": make_study(1, outcomes=("complete",), extras=()),
    "only waiting": make_study(4, outcomes=("waiting",), extras=(), control_seeds=()),
    "every outcome": make_study(11, outcomes=tuple(Outcome), extras=()),
    "no controls": make_study(12, controls=(), control_seeds=()),
    "control diverged": make_study(4, diverged_controls=(("paper", 1), ("standard", 2))),
    "confirmed": confirmed(
        searched(0.2, 0.1), {"slot-1": [0.1, 0.2, 0.1], "standard": [0.2, "diverged", 0.3]}
    ),
    "being confirmed": confirmed(searched(0.2, 0.1), {"slot-1": ["running"], "standard": ["waiting"]}),
    "comparison": comparison(),
    "other space": make_study(
        14,
        extras=(),
        space={
            "training.lr": FloatRange(low=0.001, high=0.5, log=True),
            "model.batch_norm": Choice(options=(True, False)),
        },
    ),
}


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_a_figure_or_says_what_is_missing(page, study):
    """info is JSON that reads back equal; the figure has traces unless words say why not."""
    record = STUDIES[study]
    info = PAGES[page].info(record)
    plain = json.loads(json.dumps(to_plain(info), allow_nan=False))
    assert from_plain(type(info), plain) == info
    figure, words = PAGES[page].figure(info), PAGES[page].words(info)
    assert isinstance(figure, go.Figure)
    assert bool(words.missing) != bool(len(figure.data) and words.picture and words.missing is None)
    assert words.missing is None or words.missing.endswith(".")
    if words.missing is None:
        assert words.reading.endswith(".")
    if words.table:
        assert all(len(row) == len(words.table.header) for row in words.table.rows)
        assert all(isinstance(cell, str) for row in words.table.rows for cell in row)


@pytest.mark.parametrize("page", PAGES)
def test_info_and_figure_are_pure(page):
    """The same record gives the same info and the same figure."""
    record = STUDIES["mixed"]
    info = PAGES[page].info(record)
    assert info == PAGES[page].info(record)
    assert PAGES[page].figure(info).to_json() == PAGES[page].figure(info).to_json()


@pytest.mark.parametrize("page", PAGES)
def test_every_axis_with_numbers_has_a_unit_or_a_name(page):
    """No figure leaves a horizontal axis that shows numbers unnamed; a page without a figure has none."""
    info = PAGES[page].info(STUDIES["mixed"])
    figure = PAGES[page].figure(info)
    axes = [v for k, v in figure.to_plotly_json()["layout"].items() if k.startswith("xaxis")]
    axes = [axis for axis in axes if axis.get("showticklabels", True)]
    assert axes or PAGES[page].words(info).missing
    assert all(axis["title"]["text"] for axis in axes)
