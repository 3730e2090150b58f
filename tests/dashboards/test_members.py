"""Trials of several networks as people see them: none is counted twice, and each is shown beside the mean."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dashboards import curves, dropmap, overlap
from dashboards.terminal import trial_result
from dashboards.trial_page import trial_html
from reprtune.analysis.attempts import sub_phases
from reprtune.analysis.controls import arm_summaries
from reprtune.history import Drop, Exchange, History, Restore
from reprtune.spec.codec import to_plain
from reprtune.spec.study import Arm
from reprtune.study.recompute import compare_histories
from reprtune.tracking.events import metrics_event
from tests.factories import CONTROLS, EPOCHS, make_history, make_study, several
from tests.flat import with_attempts

PARAMS = {"cycles": 2, "prune_ratio": 0.3, "criterion": "ortho"}
ONE = make_history(PARAMS, random.Random(0))
TWO = several(ONE)
EXCHANGING = several(make_history({**PARAMS, "cycles": 0}, random.Random(0)), exchanging=True)


def test_drops_of_one_network_are_told_from_those_of_another() -> None:
    """By number; without several there is one network, which has them all."""
    assert TWO.drops_of() == [*ONE.drops] and [d.member for d in TWO.drops_of(1)] == [1, 1]
    assert TWO.restores_of() == [*ONE.restores] and (ONE.n_members, TWO.n_members) == (1, 2)
    assert ONE.drops_of() == [*ONE.drops] and ONE.drops_of(1) == []


def test_phases_and_drops_are_counted_once() -> None:
    """All networks drop at the same steps."""
    assert len(TWO.drops) == 4 and sub_phases(TWO) == sub_phases(ONE)
    assert curves.curve(TWO, "t", "complete") == curves.curve(ONE, "t", "complete")


def test_the_page_of_a_trial_shows_every_network_and_their_ensemble() -> None:
    """Thin lines beside the mean, which is the last and chosen trace; for one network there is only that."""
    shown = curves.curve_of_all(TWO, "t", "trial")
    figure = curves.figure(curves.CurvesInfo(curves=(shown,), n=1))
    assert [trace.name for trace in figure.data] == ["member 0", "member 1", "ensemble", "chosen: t"]
    first, last = TWO.points[0], TWO.points[-1]
    for trace, off in zip(figure.data, (-0.01, 0.01, -0.015, 0), strict=True):
        assert (trace.y[0], trace.y[-1]) == pytest.approx(
            (100 * (first.val_error + off), 100 * (last.val_error + off)), abs=1e-3
        )
    alone = curves.figure(curves.CurvesInfo(curves=(curves.curve_of_all(ONE, "t", "trial"),), n=1))
    assert [trace.name for trace in alone.data] == ["chosen: t"]
    for page, history in ((trial_html(TWO, "t"), TWO), (trial_html(ONE, "t"), ONE)):
        assert ("The thick line is the mean over the members." in page) == (history is TWO)
        assert ("Of a trial that trains several networks" in page) == (history is TWO)


def test_exchanges_are_marked_above_the_axis() -> None:
    """One tick each, and the page says what they are."""
    shown = curves.curve_of_all(EXCHANGING, "t", "trial")
    info = curves.CurvesInfo(curves=(shown,), n=1)
    ticks = curves.figure(info).layout.shapes
    assert [(t.type, t.x0, t.y1) for t in ticks] == [("line", epoch, 0.03) for epoch in range(1, EPOCHS + 1)]
    assert "A tick above the axis" in curves.words(info).reading
    assert curves.figure(curves.CurvesInfo(curves=(curves.curve(ONE, "t", "trial"),), n=1)).layout.shapes[
        0
    ].type == ("rect")


def test_the_drop_map_and_the_overlap_are_the_first_networks() -> None:
    """And say so; the same as of one network otherwise."""
    one, two = (dropmap.drop_map(history, "t") for history in (ONE, TWO))
    assert replace(two, n_members=1) == one and two.n_members == 2
    words = dropmap.words(dropmap.DropMapInfo(maps=(two,), n_with_drops=1)).reading
    assert "Of a trial that trains several networks these are the first one's" in words
    study = make_study(4, outcomes=("complete",), extras=())
    doubled = with_attempts(
        study,
        trials=tuple(replace(t, history=several(t.history)) for t in study.trials if t.history),
        controls=tuple(replace(t, history=several(t.history)) for t in study.controls if t.history),
    )
    ours, theirs = overlap.info(doubled), overlap.info(study)
    assert ours.means == theirs.means and [c.readings for c in ours.courses] == [
        c.readings for c in theirs.courses
    ]
    assert "it is the first one's" in overlap.words(ours).reading
    assert "first one's" not in overlap.words(theirs).reading


def test_members_and_ensemble_are_metrics_of_their_own() -> None:
    """At the step and time of their point; overlaps are the first network's; one network has neither."""
    point = TWO.points[0]
    drops = [Drop(step=point.step, cycle=0, dropped={}, overlap={"a": 0.1 + k}, member=k) for k in (0, 1)]
    found = metrics_event([point], drops, {point.step: ((0.25, 0.5), 0.125), 999: ((0.1, 0.1), 0.1)})[
        "metrics"
    ]
    time_ms = round(1000 * point.time)
    assert [(m["key"], m["value"], m["step"], m["time_ms"]) for m in found[7:]] == [
        ("overlap.a", 0.1, point.step, time_ms),
        ("member_error.0", 0.25, point.step, time_ms),
        ("member_error.1", 0.5, point.step, time_ms),
        ("ensemble_error", 0.125, point.step, time_ms),
    ]


def test_the_terminal_says_the_errors_of_the_networks() -> None:
    """After the mean, of the last evaluation; nothing of the kind for one network."""
    result = {
        "outcome": "complete", "val_error": 0.1, "steps": 4, "train_gflops": 1.0,
        "seconds": 1.0, "device": "cpu", "state": "s",
    }  # fmt: skip
    history = History(
        total_steps=4,
        steps_per_epoch=2,
        member_errors=((0.3, 0.3), (0.125, 0.075)),
        ensemble_errors=(0.2, 0.05),
    )
    said = trial_result({**result, "history": to_plain(history)}).splitlines()
    assert said[2] == "its networks      12.50 %, 7.50 %; their ensemble 5.00 %"
    told = (
        Exchange(step=2, before=(0.9, 0.9), after=(0.3, 0.3)),
        Exchange(step=4, before=(0.2, 0.4), after=(0.125, 0.075)),
    )
    exchanged = trial_result({**result, "history": to_plain(replace(history, exchanges=told))}).splitlines()
    assert exchanged[2] == f"{said[2]}; before the last exchange 20.00 %, 40.00 %"
    assert "networks" not in trial_result({**result, "history": to_plain(ONE)})


def test_the_budget_factor_counts_the_steps_of_all_networks() -> None:
    """Two for two networks of standard's length, one and a half for three of half of it."""
    arms = (
        *CONTROLS[:1],
        Arm(name="averaging", changes={"method": "averaging"}),
        Arm(name="half", changes={"method": "ensemble", "method.n_members": 3}),
    )
    study = make_study(2, outcomes=("complete",), extras=(), controls=arms)
    full = next(t for t in study.controls if t.arm == "standard").last_step
    controls = []
    for trial in study.controls:
        history = trial.history
        assert history is not None
        if trial.arm == "half":
            points = tuple(p for p in history.points if p.step <= full // 2)
            trial = replace(trial, history=replace(history, points=points))  # noqa: PLW2901
        controls.append(trial)
    found = {
        arm.arm: arm.budget_factor for arm in arm_summaries(with_attempts(study, controls=tuple(controls)))
    }
    assert found == {"standard": 1, "averaging": 2, "half": 1.5}


def test_a_recomputation_compares_the_networks_too() -> None:
    """Their errors and exchanges, with what they are at the end; nothing for one network."""
    checks = {c.what: c for c in compare_histories(TWO, TWO)}
    last = ONE.points[-1].val_error
    said = f"{100 * (last - 0.01):.2f} %, {100 * (last + 0.01):.2f} % at the end, their ensemble {100 * (last - 0.015):.2f} %"
    assert checks["networks"].equal and checks["networks"].detail == said
    other = replace(TWO, member_errors=(*TWO.member_errors[:-1], (0.5, 0.5)))
    assert not {c.what: c for c in compare_histories(TWO, other)}["networks"].equal
    moved = replace(EXCHANGING, exchanges=EXCHANGING.exchanges[1:])
    assert not {c.what: c for c in compare_histories(EXCHANGING, moved)}["exchanges"].equal
    assert {"networks", "exchanges"}.isdisjoint(c.what for c in compare_histories(ONE, ONE))


def test_a_restore_of_a_later_network_is_none_of_the_first() -> None:
    """Of a cycle that only the second restored, the first is not yet through."""
    history = replace(TWO, restores=(Restore(step=5, cycle=0, levels={}, overlap={}, member=1),))
    assert dropmap.drop_map(history, "t").cycles[0].overlap_after is None
