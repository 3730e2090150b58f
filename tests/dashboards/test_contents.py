"""What single pages say, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dashboards import controls, curves, dropmap, history, overview, pareto, slices, units
from dashboards.answer import answer
from dashboards.terminal import show
from dashboards.trial_page import trial_html
from dashboards.versions import outdated
from reprtune.history import Drop, History, Restore
from reprtune.spec.objectives import OBJECTIVES
from reprtune.spec.stop_rules import NoStop
from tests.factories import make_study, make_trial
from tests.flat import with_attempts


def test_the_answer_never_claims_more_than_it_has():
    """The best of a search is called unconfirmed; an unfinished study says so first."""
    sentences = answer(make_study())
    assert sentences[0].startswith("The study is unfinished: 37 of 39")
    assert any("Not confirmed: one seed, selected among 23 complete trials" in s for s in sentences)
    assert sentences[-1].startswith("Nothing here is confirmed on fresh seeds or on test images.")
    finished = answer(make_study(8, outcomes=("complete",), extras=()))
    assert not any("unfinished" in s for s in finished)


def test_a_search_worse_than_standard_is_not_praised():
    """When the best of the search is above the standard's mean, no gain is spoken of."""
    record = make_study(4, outcomes=("complete",), extras=())
    trials = tuple(replace(t, values={"val_error": 0.5, "train_gflops": 1.0}) for t in record.trials)
    text = " ".join(answer(with_attempts(record, trials=trials)))
    assert "above that mean" in text
    assert "the gain seen" not in text


def test_settings_drawn_twice_are_said_to_be():
    """Two trials with the same settings are two on the front, but one setting."""
    record = make_study(3, outcomes=("complete",), extras=())
    first, second, third = record.trials
    values = {"val_error": 0.05, "train_gflops": 10.0}
    cheap = replace(third, values={"val_error": 0.06, "train_gflops": 9.0})
    twice = (replace(first, values=values), replace(second, values=values, params=first.params), cheap)
    text = " ".join(answer(with_attempts(record, trials=twice)))
    assert "holds 3 trials of 2 different settings, from 5.00 % at 10 GFLOP to 6.00 % at 9 GFLOP." in text


def test_a_front_of_three_is_told_by_its_ends():
    """The lowest and the highest error, each with all else; one trial that is best in everything says so."""
    names = ("val_error", "inference_gflops", "params")
    record = make_study(2, outcomes=("complete",), extras=(), objectives=names, stop=NoStop())

    def said(*points):
        trials = zip(record.trials, points, strict=True)
        trials = tuple(replace(t, values=dict(zip(names, p, strict=True))) for t, p in trials)
        return " ".join(answer(with_attempts(record, trials=trials)))

    assert (
        "The front of error, inference cost and network size holds 2 trials, from 5.00 % at 2,000 MFLOP and "
        "4,000 parameters to 6.00 % at 1,000 MFLOP and 5,000 parameters."
    ) in said((0.05, 2.0, 4000.0), (0.06, 1.0, 5000.0))
    assert (
        "One trial is at once the most accurate, the cheapest to use and the smallest (1,000 MFLOP and 4,000 parameters)."
    ) in said((0.05, 1.0, 4000.0), (0.06, 1.0, 5000.0))


def test_numbers_of_an_older_meaning_are_said_to_be(monkeypatch):
    """On the first page and by `study show`, of what the study is compared by; a study without versions has the
    first of all. Otherwise nothing is said."""
    record = make_study(4, extras=())
    assert outdated(record) == () and not record.other_versions
    first = replace(record, facts={k: v for k, v in record.facts.items() if k != "objective_versions"})
    newer = replace(OBJECTIVES["train_gflops"], version=3)
    monkeypatch.setitem(OBJECTIVES, "train_gflops", newer)
    stored = replace(record, facts={**record.facts, "objective_versions": {"train_gflops": 2, "params": 7}})
    for study, version in ((first, 1), (stored, 2)):
        (sentence,) = outdated(study)
        assert sentence.startswith(f"train_gflops of this study is of version {version}; now, as version 3,")
        assert sentence in overview.words(overview.info(study)).lead and sentence in show(study)
    current = replace(record, facts={**record.facts, "objective_versions": {"train_gflops": 3}})
    assert outdated(current) == ()


def test_the_plan_is_this_study_s():
    """Counted from the specification, whatever the text about its cost says."""
    info = overview.info(make_study(8, outcomes=("complete",), extras=()))
    assert info.plan == "8 trials and 9 controls, 100ep each (840 steps)"
    assert ("Cost, as expected", info.cost) in overview.words(info).facts


def test_the_last_epochs_can_be_told_apart():
    """Errors stand on a logarithmic axis with plain numbers, on a linear one where one is 0."""
    info = curves.info(make_study(2, outcomes=("complete",), extras=()))
    axis = curves.figure(info).layout.yaxis
    assert axis.type == "log" and axis.ticktext[axis.tickvals.index(5)] == "5"
    solved = replace(info, curves=(replace(info.curves[0], errors=(0.5, 0.0), epochs=(1.0, 2.0)),))
    assert curves.figure(solved).layout.yaxis.type != "log"


def test_curves_that_lie_on_each_other_take_one_colour():
    """A setting drawn twice is one coloured line."""
    record = make_study(2, outcomes=("complete",), extras=(), control_seeds=())
    same = with_attempts(record, trials=(record.trials[0], replace(record.trials[0], number=1, slot=1)))
    names = [trace.name for trace in curves.figure(curves.info(same)).data]
    assert names == ["1 other", "slot 0 (best)", "chosen: slot 0"]


def test_slots_are_counted_once():
    """39 slots by the outcome that decides them; retried ones count with their retry."""
    info = overview.info(make_study())
    assert sum(info.sections["search"].values()) == 39 and info.budget.endswith(
        "of 39 search slots, 9 of 9 controls"
    )
    assert "interrupted" not in info.sections["search"] and info.attempts["interrupted"] == 1
    unqueued = overview.info(make_study(0, extras=(), control_seeds=()))
    assert unqueued.sections["search"] == {"not queued": 1}


def test_pareto_keeps_the_stopped_and_the_controls_apart():
    """Only complete trials of the search can be on the front."""
    info = pareto.info(make_study())
    assert {p.outcome for p in (*info.front, *info.dominated)} == {"complete"}
    assert {p.outcome for p in info.stopped} == {"stopped"}
    assert all(p.arm for p in info.controls)
    assert not pareto.info(make_study(objectives=("val_error",))).searched


def test_lowest_so_far_falls_only_with_complete_trials():
    """Values 0.3, 0.2 (stopped), 0.4, 0.1 give 0.3, 0.3, 0.1."""
    record = make_study(4, outcomes=("complete", "stopped", "complete", "complete"), extras=())
    values = iter((0.3, 0.4, 0.1))
    trials = tuple(
        replace(t, values={"val_error": next(values), "train_gflops": 1.0}) if t.outcome == "complete" else t
        for t in record.trials
    )
    progress = history.info(with_attempts(record, trials=trials)).progress[0]
    assert [(p.slot, p.value) for p in progress.lowest] == [(0, 0.3), (2, 0.3), (3, 0.1)]


def test_curves_put_the_best_first_and_shade_its_phases():
    """The menu opens on the best trial; 8 + 4 epochs are shaded from 8 to 12."""
    params = {"cycles": 1, "s1_epochs": 8, "s2_epochs": 4, "prune_ratio": 0.3, "criterion": "ortho"}
    record = make_study(1, outcomes=("complete",), extras=())
    record = with_attempts(record, trials=(make_trial(record.spec, 0, params=params),))
    info = curves.info(record)
    assert info.curves[0].role == "best"
    assert [(s.start, s.end) for s in info.curves[0].sub] == [(8, 12)]
    figure = curves.figure(info)
    assert [(s.x0, s.x1) for s in figure.layout.shapes] == [(8, 12)]
    assert figure.layout.meta["choices"][0]["label"] == "slot 0 (best)"


def test_forty_trials_stay_readable():
    """At most five coloured curves, one standard control, one chosen: the rest is one grey trace."""
    figure = curves.figure(curves.info(make_study(40, outcomes=("complete",))))
    assert len(figure.data) <= curves.MAX_LINES + 3


def test_the_drop_map_marks_what_was_dropped_before():
    """Kept 0, dropped 1, dropped again 2 and a dot; filters that a layer does not have are empty."""
    h = History(
        total_steps=100,
        steps_per_epoch=10,
        layers={"a": 3, "b": 2},
        drops=(
            Drop(step=10, cycle=0, dropped={"a": (0, 2)}, overlap={"a": 0.5, "b": 0.25}),
            Drop(step=40, cycle=1, dropped={"a": (2,), "b": (1,)}, overlap={"a": 0.4, "b": 0.2}),
        ),
        restores=(Restore(step=20, cycle=0, levels={"a": {"mutual": 2}}, overlap={"a": 0.3, "b": 0.25}),),
    )
    shown = dropmap.drop_map(h, "t")
    figure = dropmap.figure(dropmap.DropMapInfo(maps=(shown,), n_with_drops=1))
    heat = figure.data[-2]
    rows = [list(row) for row in heat.z]
    assert rows == [[1, 0, 1], [0, 0, None], [None, None, None], [0, 0, 2], [0, 1, None]]
    dots = figure.data[-1]
    assert (list(dots.x), list(dots.y), dots.yaxis) == ([2], [3], "y2")  # in the row of the only 2
    assert figure.layout.yaxis2.range == figure.layout.yaxis.range
    assert figure.layout.meta["choices"][0]["data"]["y"][1] == [3]
    assert shown.cycles[0].overlap_after == {"a": 0.3, "b": 0.25}
    assert shown.cycles[1].overlap_after is None


def test_single_weights_are_on_no_drop_map():
    """A trial that drops weights has phases on its curve, and no map of filters."""
    drop = Drop(step=10, cycle=0, dropped={}, overlap={"a": 0.5})
    h = History(total_steps=100, steps_per_epoch=10, layers={"a": 3}, drops=(drop,))
    assert not dropmap.drops_filters(h)
    assert dropmap.drops_filters(replace(h, drops=(drop, replace(drop, dropped={"a": (1,)}))))
    page = trial_html(h, "t")
    assert "No trial has dropped a filter yet. Single weights" in page


def test_many_drop_maps_are_cut_off_in_words():
    """The page says how many of how many it shows."""
    words = dropmap.words(dropmap.info(make_study(40, outcomes=("complete",), extras=())))
    assert "24 of 46 trials" in words.reading


def test_slices_hold_only_complete_trials_and_ordered_options():
    """Options keep the order of the specification."""
    info = slices.info(make_study())
    assert {t.outcome for t in info.trials} == {"complete"}
    assert info.params["criterion"] == ("ortho", "ortho-dim", "l2", "random")
    assert info.params["cycles"] == ()


def test_controls_name_the_search_as_unconfirmed():
    """The search's best stands in the table with all its caveats, and without an interval."""
    row = controls.words(controls.info(make_study())).table.rows[-1]
    assert "not confirmed, one seed, selected on the same validation part" in row[0]
    assert "[" not in row[-2]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (units.percent(0.0469), "4.69 %"),
        (units.points(-0.0031), "\N{MINUS SIGN}0.31"),
        (units.points(0.012), "+1.20"),
        (units.cost(118.79), "119 GFLOP"),
        (units.cost(9.3e8), "930 PFLOP"),
        (units.cost(0.5), "0.5 GFLOP"),
        (units.value("val_error", 0.0469), "4.69 %"),
        (units.value("inference_gflops", 0.0402), "40.2 MFLOP"),
        (units.value("inference_gflops", 4.5), "4,500 MFLOP"),
        (units.value("inference_gflops", 0.0000402), "40.2 kFLOP"),
        (units.value("params", 9123), "9,120 parameters"),
        (units.value("params", 11_173_962), "11.2 M parameters"),
        (units.signed("val_error", 0.012), "+1.20 points"),
        (units.signed("params", -12_000), "\N{MINUS SIGN}12 k parameters"),
        (units.listed(["a"]), "a"),
        (units.listed(["a", "b"]), "a and b"),
        (units.listed(["a", "b", "c"]), "a, b and c"),
        (units.significant(0.01234), "0.0123"),
        (units.significant(12345), "12,300"),
        (units.duration(45), "45 s"),
        (units.duration(90), "1.5 min"),
        (units.duration(7200), "2.0 h"),
        (units.duration(200_000), "2.3 days"),
        (units.moment(0), "1970-01-01 00:00 UTC"),
        (units.count(1, "trial"), "1 trial"),
        (units.count(1200, "trial"), "1,200 trials"),
        (units.settings({"a": 0.30000000000000004, "b": "l2"}), "a 0.3, b l2"),
    ],
)
def test_numbers_read_well(call, text):
    """Units, signs and sensible digits."""
    assert call == text


def test_a_convolution_that_is_never_dropped_is_named_with_its_reason() -> None:
    """The reader of a drop map learns which layers could not take part, and why."""
    record = make_study(8)
    info = dropmap.info(record)
    maps = tuple(replace(m, kept_out={"gate": "is used more than once"}) for m in info.maps)
    said = dropmap.words(replace(info, maps=maps)).reading
    assert "Never dropped" in said and "gate is used more than once" in said
    none = tuple(replace(m, kept_out={}) for m in info.maps)
    assert "Never dropped" not in dropmap.words(replace(info, maps=none)).reading
