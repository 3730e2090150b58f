"""The pages about parameters and the front: what is drawn, from which trials, and what is said of it."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest

from dashboards import importance, interactions, pareto, slices
from dashboards.points import drawn, said_of, trial_points
from reprtune.analysis.directions import RankTrend
from reprtune.analysis.interactions import Interaction
from reprtune.record.schema import SeedRun
from reprtune.spec.objectives import OBJECTIVES
from reprtune.spec.space import Choice, FloatRange, IntRange
from reprtune.spec.stop_rules import NoStop
from tests.factories import make_study
from tests.flat import with_attempts

FOUR = make_study(24, objectives=tuple(OBJECTIVES), extras=(), stop=NoStop())
FORTY = make_study(40, outcomes=("complete", "complete", "stopped"), extras=())


def traces(figure, name: str) -> list:
    return [t for t in figure.data if t.name == name]


def test_stopped_trials_are_drawn_but_enter_no_trend():
    """All 13 stand in every panel; without them the trends are the same."""
    info = slices.info(FORTY)
    figure = slices.figure(info)
    assert len(traces(figure, "stopped early")) == 10
    assert {len(t.x) for t in traces(figure, "stopped early")} == {13}
    without = with_attempts(FORTY, trials=tuple(FORTY.complete()))
    assert slices.info(without).trends == info.trends


def test_a_panel_has_a_curve_with_its_band_or_means_per_value():
    """Ordered parameters with many values have a curve, others a mean for each value with three trials."""
    info = slices.info(FORTY)
    names = [t.param for t in info.trends if t.curve]
    assert set(names) == {"prune_ratio", "s1_epochs"}
    drawn_trends = traces(slices.figure(info), slices.TREND)
    assert len(drawn_trends) == 2 * len(info.params)
    means = next(t for t in drawn_trends if t.error_y.array is not None)
    trend = next(t for t in info.trends if t.levels and t.objective == "val_error")
    known = [v for v in trend.levels if v.n >= 3]
    assert list(means.y) == pytest.approx([100 * v.mean for v in known])
    assert list(means.error_y.array) == pytest.approx([100 * (v.high - v.mean) for v in known])


def test_a_triangle_marks_only_what_is_sure():
    """With a corrected p below 0.05 up where the correlation is above 0, else down; with a larger p nothing."""
    info = importance.info(FORTY)

    def labelled(rho: float, p: float) -> str:
        rank = RankTrend(
            n=27, plain=0.9, rho=rho, low=rho - 0.2, high=rho + 0.2, p=0.01, p_holm=p, n_terms=9,
            change=None, change_low=None, change_high=None,
        )  # fmt: skip
        trends = tuple(replace(t, rank=rank) for t in info.trends)
        return importance._label(replace(info, trends=trends), "val_error", "cycles")

    assert labelled(0.3, 0.04) == f"cycles {importance.UP}"
    assert labelled(-0.3, 0.04) == f"cycles {importance.DOWN}"
    assert labelled(0.3, 0.06) == "cycles"


def test_whiskers_end_where_the_ranges_do():
    """Bar plus and minus its error is the stated range of the share."""
    info = importance.info(FORTY)
    answer = info.importances.answers[0]
    bar = importance.figure(info).data[0]
    names = [label.split(" ")[0] for label in bar.y]
    for name, x, up, down in zip(names, bar.x, bar.error_x.array, bar.error_x.arrayminus, strict=True):
        share, stability = answer.shares[name], answer.stability[name]
        assert x + up == pytest.approx(100 * max(share, stability.high))
        assert x - down == pytest.approx(100 * min(share, stability.low))


def shown(p: float, n_worse: int = 0, elsewhere: str | None = None) -> importance.ImportanceInfo:
    """The page of forty trials, where PED-ANOVA has this p of the error for its first parameter, and 1 elsewhere."""
    info = importance.info(FORTY)
    answers = tuple(
        replace(
            a, p={j: p if (j == a.first and i == 0) else 1.0 for j in a.shares},
            n_worse=n_worse if i == 0 else 0, elsewhere=elsewhere if i == 0 else None,
        )
        for i, a in enumerate(info.importances.answers)
    )  # fmt: skip
    return replace(info, importances=replace(info.importances, answers=answers))


def test_a_leader_is_named_only_where_it_is_shown_to_matter():
    """At p = 0.04 the first bar leads and is the only one not pale; at 0.05 nobody does, and all are."""
    sure, unsure = shown(0.04), shown(0.05)
    first = sure.importances.answers[0].first
    lead = importance.words(sure).lead
    assert lead[0].startswith(
        f"For the validation error {first} leads (PED-ANOVA, p below 0.05). Not shown to matter: "
    )
    assert "no parameter is shown to matter (smallest p 1.00); the order of the bars may be chance" in lead[1]
    assert "no parameter is shown to matter (smallest p 0.05)" in importance.words(unsure).lead[0]
    bar = importance.figure(sure).data[0]
    full = [label.split(" ")[0] for label, o in zip(bar.y, bar.marker.opacity, strict=True) if o == 1]
    assert full == [first]
    assert all(o < 1 for bar in importance.figure(unsure).data for o in bar.marker.opacity)


def test_what_optuna_dashboard_says_is_explained_where_it_may_differ():
    """Of 27 trials it takes the best three and the page five; another first parameter is named."""
    text = " ".join(importance.words(shown(1.0)).lead)
    assert (
        "optuna-dashboard has other shares: it holds the best 3 of 27 complete trials against these, and this"
        in text
    )
    text = " ".join(importance.words(shown(1.0, elsewhere="cycles")).lead)
    assert "For the validation error optuna-dashboard puts cycles first" in text


def test_trials_that_are_ranked_last_are_counted_in_words():
    """Where there are any, the page says who sees them and what that is worth."""
    text = " ".join(importance.words(shown(1.0, n_worse=7)).lead)
    assert (
        "From 27 complete trials, and 7 stopped or diverged, which PED-ANOVA of the error ranks below them"
        in text
    )
    assert "PED-ANOVA of 34 trials" in text
    assert "are not seen by it" in " ".join(importance.words(shown(1.0)).lead)


def test_the_importance_table_names_sizes_and_levels():
    """Ordered parameters with a change in points, choices with every level against the mean."""
    table = importance.words(importance.info(FORTY)).table
    rows = {row[1]: row for row in table.rows if row[0] == "validation error"}
    assert "points" in rows["cycles"][-1] and rows["cycles"][-2] and "alone" in rows["cycles"][-3]
    assert all(f"{level} (n = " in rows["criterion"][-1] for level in ("ortho", "l2", "random"))


def test_cells_hold_the_means_of_their_trials():
    """Counted again over every pair of values: each trial in one cell, each cell its mean."""
    info = interactions.info(FORTY)
    pair = next(p for p in info.pairs if {p.first, p.second} == {"criterion", "cycles"})
    options = FORTY.spec.params["criterion"].options
    complete = FORTY.complete()
    assert sum(map(sum, pair.counts)) == len(complete)
    for i, criterion in enumerate(options):
        for j, cycles in enumerate((1, 2, 3, 4)):
            inside = [
                t.values[pair.objective]
                for t in complete
                if (t.params["criterion"], t.params["cycles"]) == (criterion, cycles)
            ]
            row, column = (j, i) if pair.first == "criterion" else (i, j)
            mean = pair.means[row][column]
            assert mean == (pytest.approx(statistics.fmean(inside)) if inside else None)


def test_the_error_is_below_the_diagonal_and_the_cost_above():
    """Every cell of the matrix shows its pair: names of row and column, and means as counted, each objective in
    its own colours; nothing is on the diagonal."""
    info = interactions.info(FORTY)
    figure, names = interactions.figure(info), list(info.axes)
    drawn = {}
    for trace in figure.data:
        if trace.type == "heatmap":
            place = int((trace.xaxis or "x")[1:] or 1) - 1
            drawn[divmod(place, len(names))] = trace
    n = len(names)
    assert set(drawn) == {(row, column) for row in range(n) for column in range(n) if row != column}
    for pair in info.pairs:
        first, second = names.index(pair.first), names.index(pair.second)
        low = pair.objective == "val_error"
        trace = drawn[
            (max(first, second), min(first, second)) if low else (min(first, second), max(first, second))
        ]
        assert trace.coloraxis == ("coloraxis" if low else "coloraxis2")
        flat = sorted(m for line in pair.means for m in line if m is not None)
        shown = sorted(v for line in trace.z for v in line if v is not None)
        assert [v / shown[0] for v in shown] == pytest.approx([m / flat[0] for m in flat])
    place = (len(names) - 1, 0)
    x, y = drawn[place].x, drawn[place].y
    assert (list(x), list(y)) == (list(info.axes[names[0]].edges), list(info.axes[names[-1]].edges))
    assert figure.layout.height < 800


@pytest.mark.parametrize(
    ("range_", "edges"),
    [
        (Choice(options=("a", True, 3)), [-0.5, 0.5, 1.5, 2.5]),
        (IntRange(low=1, high=3), [0.5, 1.5, 2.5, 3.5]),
        (FloatRange(low=0.0, high=1.0), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (FloatRange(low=1e-5, high=1.0, log=True), [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1]),
    ],
)
def test_cells_part_every_kind_of_range(range_, edges):
    """A cell for each of few values, five of equal width (of the logarithm) for many; all ends inside."""
    axis = interactions._axis("p", range_)
    assert list(axis.edges) == pytest.approx(edges)
    assert {interactions._cell(axis, v) for v in range_.ends()} <= set(range(len(edges) - 1))


def test_a_pair_is_named_only_with_a_corrected_p_below_one_in_twenty():
    """0.04 is named, 0.06 is not; without any measure it says so."""
    info = interactions.info(FORTY)
    pair = Interaction(
        objective="val_error", first="a", second="b", n=40, n_terms=30, omega2=0.2, f=9.0, q=1, df=30, p=0.01
    )
    said = [interactions.words(replace(info, measures=(replace(pair, p_holm=p),))).lead for p in (0.04, 0.06)]
    assert "products of all pairs: 40 complete trials with 30 terms." in said[0][0]
    assert "a with b for validation error (20 %)" in said[0][1]
    assert said[1][1].startswith("None of 1 measured pairs")
    unmeasured = replace(pair, p=None, omega2=None, reason="Too few.")
    assert "Too few." in interactions.words(replace(info, measures=(unmeasured,))).lead


def test_a_pair_that_a_logarithm_takes_away_is_said_to_multiply_perhaps():
    """Above 0.05 for the logarithm it is named again; below it, or where it was not tested, it is not."""
    info = interactions.info(FORTY)
    pair = Interaction(
        objective="val_error", first="a", second="b", n=40, n_terms=30, omega2=0.2, f=9.0, q=1, df=30, p=0.001,
        p_holm=0.01,
    )  # fmt: skip
    said = [
        " ".join(interactions.words(replace(info, measures=(replace(pair, p_log=p),))).lead)
        for p in (0.3, 0.01, None)
    ]
    assert "may simply multiply: a with b (p = 0.3 for log validation error)" in said[0]
    assert "multiply" not in said[1] and "multiply" not in said[2]


def test_the_front_is_described_and_its_knee_marked():
    """Hypervolume with its reference, the knee in words and in the table."""
    info = pareto.info(FORTY)
    facts = dict(pareto.words(info).facts)
    assert facts["Hypervolume"].startswith(f"{info.hypervolume.share:.3f} of the box")
    knees = [
        row[0] for row in pareto.words(replace(info, knee=info.front[0].number)).table.rows if "knee" in row
    ]
    assert knees == [str(info.front[0].number)]


def test_each_measure_beside_the_error_has_a_panel():
    """Accuracy against each; the front's marks without a line, which would lead back and forth; one legend."""
    info = pareto.info(FOUR)
    assert info.measures == tuple(OBJECTIVES) and info.searched and info.hypervolume is info.knee is None
    figure = pareto.figure(info)
    assert [axis.title.text for axis in figure.select_xaxes()] == [
        "training cost, GFLOP", "inference cost, kFLOP", "network size, parameters",
    ]  # fmt: skip
    fronts = traces(figure, "front")
    assert [t.showlegend for t in fronts] == [True, False, False] and {t.line.width for t in fronts} == {0}
    by_size = sorted(p.values["params"] for p in info.front)
    assert list(fronts[2].x) == by_size
    said = pareto.words(info)
    assert said.title == "Accuracy against training cost, inference cost and network size"
    assert said.table.header == (
        "slot", "Optuna trial", "accuracy", "training cost", "inference cost", "network size", "place",
        "settings",
    )  # fmt: skip


def test_two_objectives_more_are_a_second_matrix():
    """Below the first, with its own colours and bars; every pair in one cell of each."""
    info = interactions.info(FOUR)
    figure, n = interactions.figure(info), len(info.axes)
    heat = [t for t in figure.data if t.type == "heatmap"]
    assert len(heat) == 2 * n * (n - 1)
    assert {t.coloraxis for t in heat} == {"coloraxis", "coloraxis2", "coloraxis3", "coloraxis4"}
    bars = [figure.layout[f"coloraxis{i or ''}"].colorbar for i in (0, 2, 3, 4)]
    assert [bar.title.text[2:] for bar in bars] == [
        "error, %", "cost, GFLOP", "inference cost, kFLOP", "size, parameters",
    ]  # fmt: skip
    assert bars[0].y == bars[1].y == pytest.approx(1) and bars[2].y == bars[3].y < 0.5
    assert "Below the diagonal the error and inference cost, above it the cost and size" in (
        interactions.words(info).reading
    )


def test_several_seeds_have_bars_and_a_column():
    """The spread over seeds is the bar of a point and a column of the table; with one seed there is neither."""
    assert pareto.figure(pareto.info(FORTY)).data[-1].error_y.array is None
    trials = tuple(
        replace(
            t,
            earlier=(
                SeedRun(
                    seed=1,
                    measured={n: v + 0.02 * (n == "val_error") for n, v in t.runs[-1].measured.items()},
                ),
            ),
        )
        for t in FORTY.trials
    )
    info = pareto.info(with_attempts(FORTY, trials=trials))
    assert list(pareto.figure(info).data[-1].error_y.array) == pytest.approx([2 / 2**0.5] * len(info.front))
    assert "sd over seeds, points" in pareto.words(info).table.header
    assert "mean of 2 seeds" in info.front[0].hover


def test_a_large_study_is_drawn_in_part_and_says_so():
    """The front is whole, the choice is the same every time, and the sentence has both numbers."""
    points = [p for p in trial_points(FORTY, FORTY.trials) if p.outcome == "complete"]
    some = drawn(points, 12)
    assert len(some) == 12 and some == drawn(points, 12)
    assert {p.number for p in points if p.on_front} <= {p.number for p in some}
    assert [p.number for p in some] == sorted(p.number for p in some)
    assert drawn(points, 100) == tuple(points)
    assert said_of(12, 27, "complete trials").startswith("12 of 27 complete trials are drawn")
    assert said_of(27, 27, "complete trials") == ""


def test_points_carry_the_name_that_leads_to_their_run():
    """What the page's script looks up: the label of every trial, on the front, in slices and in pairs."""
    for page in (pareto, slices, interactions):
        figure = page.figure(page.info(FORTY))
        names = {name for t in figure.data if t.customdata is not None for name in t.customdata}
        assert {f"slot {p.slot}" for p in pareto.info(FORTY).front} <= names
