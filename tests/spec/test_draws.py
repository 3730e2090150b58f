"""Spaces that choose methods and parts: each parameter is drawn exactly when it exists."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprtune.errors import SpecError
from reprtune.spec.draws import MAX_DRAWS
from reprtune.spec.edit import changed
from reprtune.spec.levels import levels
from reprtune.spec.parts.criteria import OwnCriterion
from reprtune.spec.parts.restores import Zero
from reprtune.spec.presets import AVERAGING, STANDARD, compose
from reprtune.spec.sections.search import SAMPLERS
from reprtune.spec.space import Choice, FloatRange, IntRange, Range
from reprtune.spec.study import Arm, StudySpec
from tests.flat import study_of
from tests.spec.example import TRIAL, durations

OWN = "python:mine.py:score"
METHODS: dict[str, Range] = {
    "training.lr": Choice(options=(0.1, 0.2)),
    "method.s1": durations("1ep", "3ep"),
    "method.prune_ratio": FloatRange(low=0.1, high=0.3, step=0.1),
    "method.criterion.margin": IntRange(low=1, high=2),
    "method.criterion": Choice(options=("ortho", "l2", OWN)),
    "method.n_members": IntRange(low=2, high=3),
    "method.period": durations("1ep", "2ep"),
    "method.until": FloatRange(low=0.5, high=1.0),
    "method": Choice(options=("standard", "repr", "averaging", "sfp")),
}
PARTS: dict[str, Range] = {
    "method.restore": Choice(options=("orthogonal", "zero", "random")),
    "method.restore_scale": Choice(options=("own", "old")),
    "method.schedule": Choice(options=("cycles", "every")),
    "method.cycles": IntRange(low=1, high=3),
    "method.s1": durations("5ep", "20ep", "5ep"),
    "method.period": durations("40ep", "120ep", "40ep"),
    "method.losses": Choice(options=("none", "overlap")),
    "method.ortho_penalty": FloatRange(low=1.0, high=4.0, step=1.0),
}


def study(space: Mapping[str, Range] = METHODS, **fields: Any) -> StudySpec:
    given: dict[str, Any] = {"name": "s", "question": "q", "decision": "d", "cost": "c", "base": TRIAL}
    return study_of(**(given | {"space": space} | fields))


def exist_of_methods(chosen: Mapping[str, Any]) -> set[str]:
    """Which parameters of `METHODS` exist with these values, written down by hand."""
    method = chosen["method"]
    found = {"method", "lr"}
    if method in ("repr", "sfp"):
        found |= {"criterion", "prune_ratio"} | ({"margin"} if chosen["criterion"] == OWN else set())
    if method == "repr":
        found |= {"s1_epochs"}
    if method in ("averaging", "sfp"):
        found |= {"period_epochs", "until"}
    return found | ({"n_members"} if method == "averaging" else set())


def exist_of_parts(chosen: Mapping[str, Any]) -> set[str]:
    """The same of `PARTS`."""
    found = {"restore", "schedule", "losses"}
    found |= {"cycles", "s1_epochs"} if chosen["schedule"] == "cycles" else {"period_epochs"}
    found |= {"restore_scale"} if chosen["restore"] != "zero" else set()
    return found | ({"ortho_penalty"} if chosen["losses"] != "none" else set())


@pytest.mark.parametrize(
    ("space", "exist"), [(METHODS, exist_of_methods), (PARTS, exist_of_parts)], ids=["methods", "parts"]
)
def test_each_parameter_is_drawn_exactly_when_it_exists(space: dict[str, Range], exist: Any) -> None:
    """Over all combinations of what is chosen: those that exist, each once, from their own range; and what is
    drawn makes a trial that has just these levels."""
    spec = study(space)
    choices = [name for name, range_ in spec.params.items() if isinstance(range_, Choice)]
    grids = [spec.params[name].values() or () for name in choices]
    for values in itertools.product(*grids):
        chosen = dict(zip(choices, values, strict=True))
        asked: list[str] = []

        def suggest(
            name: str, range_: Range, chosen: dict[str, Any] = chosen, asked: list[str] = asked
        ) -> Any:
            assert range_ == spec.params[name]
            asked.append(name)
            return chosen.get(name, (range_.values() or range_.ends())[-1])

        drawn = spec.draw(suggest)
        assert set(drawn) == set(asked) == exist(chosen) and len(asked) == len(drawn)
        there = levels(spec.trial(drawn))
        for (path, range_), short in zip(spec.space.items(), space, strict=True):
            name = spec.names[path]
            if name not in drawn:
                assert short not in there
            elif path != "method" and drawn[name] != "none":
                assert there[short] == range_.to_field(drawn[name])  # type: ignore[arg-type]


def test_a_choice_of_whole_methods() -> None:
    """Standard, RePr and averaging in one search, each with its own options."""
    spec = study()
    assert spec.trial({"method": "standard", "lr": 0.2}) == changed(
        TRIAL, {"method": "standard", "training.lr": 0.2}
    )
    drawn = {"method": "repr", "lr": 0.1, "criterion": OWN, "margin": 2, "prune_ratio": 0.2, "s1_epochs": 3}
    method = spec.trial(drawn).method
    assert method.criterion == OwnCriterion(source=OWN, given={"margin": 2})
    assert method == compose(criterion=method.criterion, prune_ratio=0.2, s1="3ep")
    drawn = {"method": "averaging", "lr": 0.1, "n_members": 3, "period_epochs": 2, "until": 0.5}
    assert spec.trial(drawn).method == compose(AVERAGING, n_members=3, period="2ep", until=0.5)


def test_parts_keep_what_the_base_says() -> None:
    """A part that is chosen again, or that has the option too, has the base's value of it."""
    base = changed(
        TRIAL, {"method.restore_scale": "survivors", "method.prune_ratio": 0.2, "method.criterion": "l2"}
    )
    space: dict[str, Range] = {
        "method.restore": Choice(options=("orthogonal", "random", "zero")),
        "method.selection": Choice(options=("share", "dormant")),
    }
    spec = study(space, base=base)
    assert spec.trial({"restore": "orthogonal", "selection": "share"}) == base
    there = levels(spec.trial({"restore": "random", "selection": "share"}))
    assert (there["method.restore_scale"], there["method.prune_ratio"]) == ("survivors", 0.2)
    assert spec.trial({"restore": "zero", "selection": "share"}).method.restore == Zero()


def test_options_of_two_own_parts_are_told_apart() -> None:
    """Where both have an option of one name, its parameter has the name of its place too."""
    space: dict[str, Range] = {
        "method.criterion": Choice(options=("l2", OWN)),
        "method.criterion.margin": IntRange(low=1, high=2),
        "method.restore.margin": IntRange(low=3, high=4),
    }
    spec = study(space, base=changed(TRIAL, {"method.restore": "python:mine:restore"}))
    drawn = {"criterion": OWN, "criterion.margin": 1, "restore.margin": 4}
    assert set(spec.params) == set(drawn)
    method = spec.trial(drawn).method
    assert method.criterion is not None and method.restore is not None
    assert (method.criterion.options(), method.restore.options()) == ({"margin": 1}, {"margin": 4})
    assert list(spec.draw(lambda _, range_: range_.ends()[0])) == ["criterion", "restore.margin"]


def test_an_option_of_shipped_parts_is_none_of_an_own_part_beside_them() -> None:
    """What a shipped part of the place has, an own part in the same choice is not given."""
    space: dict[str, Range] = {
        "method.restore": Choice(options=("orthogonal", "python:mine:restore")),
        "method.restore_scale": PARTS["method.restore_scale"],
    }
    spec = study(space)
    for restore, drawn in (
        ("orthogonal", {"restore", "restore_scale"}),
        ("python:mine:restore", {"restore"}),
    ):
        values = {"restore": restore, "restore_scale": "old"}
        assert set(spec.draw(lambda name, _, values=values: values[name])) == drawn


@pytest.mark.parametrize(
    ("space", "conditional"),
    [
        (METHODS, True),
        (PARTS, True),
        ({"method": METHODS["method"]}, False),
        ({"method": METHODS["method"], "training.lr": METHODS["training.lr"]}, False),
        ({"method.cycles": PARTS["method.cycles"], "method.criterion": Choice(options=("l1", "l2"))}, False),
        ({"method.restore": PARTS["method.restore"], "method.restore_scale": PARTS["method.restore_scale"]}, True),
        ({"method.restore": Choice(options=("orthogonal", "old")),
          "method.restore_scale": PARTS["method.restore_scale"]}, False),
        ({"method": Choice(options=("repr", "sfp")), "method.prune_ratio": METHODS["method.prune_ratio"]}, False),
    ],
)  # fmt: skip
def test_which_spaces_are_conditional(space: dict[str, Range], conditional: bool) -> None:
    """Those in which a parameter is missing from some draw; Sobol's sequence has no use for them."""
    for sampler in SAMPLERS:
        if conditional and sampler == "qmc":
            with pytest.raises(SpecError, match="sampler qmc needs a space in which every parameter always"):
                study(space, sampler=sampler)
        else:
            assert study(space, sampler=sampler).is_conditional == conditional
    assert study(METHODS).draws.dependent.keys() == {
        p for p in study(METHODS).space if p not in ("method", "training.lr")
    }


def test_without_conditions_parameters_are_drawn_in_the_order_of_their_short_paths() -> None:
    """As a study that was stored had them ever, so that a sampler's stream of numbers gives what it gave: however
    the space was written, and although `method.selection.prune_ratio` stands behind `method.schedule.s1`."""
    space: dict[str, Range] = {
        "method.cycles": PARTS["method.cycles"],
        "method.criterion": Choice(options=("l1", "l2")),
        "training.lr": METHODS["training.lr"],
        "method.s1": PARTS["method.s1"],
        "method.prune_ratio": METHODS["method.prune_ratio"],
    }
    drawn = ["criterion", "cycles", "prune_ratio", "s1_epochs", "lr"]
    assert list(study(space).draw(lambda _, range_: range_.ends()[0])) == drawn


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"method": Choice(options=("standard", "averaging")), "method.prune_ratio": METHODS["method.prune_ratio"]},
         "space cannot vary method.prune_ratio, which none of its method has."),
        ({"method.restore": Choice(options=("zero",)), "method.restore_scale": PARTS["method.restore_scale"]},
         "space cannot vary method.restore_scale, which none of its method.restore has."),
        ({"method": METHODS["method"], "method.prune_ratio": FloatRange(low=0.5, high=1.5)},
         "method.prune_ratio must be above 0 and below 1, but got 1.5."),
        ({"method": Choice(options=("standard", "reper"))}, "There is no method 'reper'."),
        ({"method": METHODS["method"], "method.cycles": IntRange(low=0, high=2)},
         "space cannot let method.cycles be 0"),
        ({"method.criterion": Choice(options=("l2", "none"))}, "method.selection = share needs method.criterion"),
        ({"method": METHODS["method"], "method.criterion": Choice(options=("l2", "l3"))},
         "There is no criterion 'l3'."),
    ],
)  # fmt: skip
def test_refused_spaces(space: dict[str, Range], message: str) -> None:
    """A parameter that no draw would have, and a value that goes with no method that has it."""
    with pytest.raises(SpecError) as caught:
        study(space)
    assert caught.value.message.startswith(message)


def test_a_value_needs_one_method_that_takes_it() -> None:
    """One member is no group for averaging, but for an ensemble, where it is plain training."""
    space: dict[str, Range] = {
        "method": Choice(options=("averaging", "ensemble")),
        "method.n_members": IntRange(low=1, high=2),
    }
    assert study(space).trial({"method": "ensemble", "n_members": 1}).method == STANDARD
    with pytest.raises(SpecError, match="goes on between several networks"):
        study(space).trial({"method": "averaging", "n_members": 1})


def test_parameters_that_older_versions_drew_too_change_nothing() -> None:
    """Standard training with a criterion is standard training, whatever the draw says beside it."""
    spec = study()
    drawn = {"method": "standard", "lr": 0.2, "criterion": OWN, "margin": 2, "prune_ratio": 0.2}
    assert spec.trial(drawn) == spec.trial({"method": "standard", "lr": 0.2})
    assert spec.settings(drawn) == {"training.lr": 0.2, "method": "standard"}


# -- how much of it fits --------------------------------------------------------------------------


def exact_share(methods: list[str], total: int) -> float:
    """RePr with S1 in 5, 10 .. 20, S2 in 5, 10 and one to three cycles; the others always fit."""
    fits = [n * (a + b) <= total for a in range(5, 21, 5) for b in (5, 10) for n in (1, 2, 3)]
    return sum(sum(fits) / len(fits) if method == "repr" else 1 for method in methods) / len(methods)


@pytest.mark.parametrize(
    ("methods", "total"), [(["standard", "repr"], 20), (["standard", "repr", "averaging"], 60)]
)
def test_fitting_share_of_a_conditional_space(methods: list[str], total: int) -> None:
    """Against counting all draws, each parameter uniform where it exists: within four standard errors of the
    draws it is estimated from, and the same at every call."""
    space: dict[str, Range] = {
        "method": Choice(options=tuple(methods)),
        "method.s1": durations("5ep", "20ep", "5ep"),
        "method.s2": durations("5ep", "10ep", "5ep"),
        "method.cycles": IntRange(low=1, high=3),
    }
    spec = study(space, base=changed(TRIAL, {"training.total": f"{total}ep"}))
    exact = exact_share(methods, total)
    error = (exact * (1 - exact) / MAX_DRAWS) ** 0.5
    share = spec.fitting_share(17)
    assert share == pytest.approx(exact, abs=4 * error)
    assert share == spec.fitting_share(17)


def test_fitting_share_of_choices_that_break_a_rule() -> None:
    """A draw that is refused does not fit: of the four pairs of optimizer and momentum one, in every method."""
    space: dict[str, Range] = {
        "method": Choice(options=("standard", "repr")),
        "method.criterion": Choice(options=("l1", "l2")),
        "training.optimizer": Choice(options=("sgd", "adam")),
        "training.momentum": Choice(options=(0.9, 0.5)),
    }
    assert study(space).fitting_share(17) == pytest.approx(3 / 4, abs=4 * (3 / 16 / MAX_DRAWS) ** 0.5)


def test_fitting_share_of_a_choice_without_conditions_is_exact() -> None:
    """Standard training fits any total, RePr's three cycles need 90 epochs, a share with a period its own."""
    space: dict[str, Range] = {"method": Choice(options=("standard", "repr", "sfp"))}
    short = changed(TRIAL, {"training.total": "80ep"})
    assert study(space, base=short).fitting_share(17) == pytest.approx(2 / 3)
    assert study(space, base=TRIAL).fitting_share(17) == 1
    periods: dict[str, Range] = {"method.period": durations("40ep", "160ep", "40ep")}
    assert study(periods, base=changed(TRIAL, {"method": "sfp"})).fitting_share(17) == pytest.approx(2 / 4)


# -- when something first happens -----------------------------------------------------------------


def test_first_drops_of_a_choice_of_methods() -> None:
    """After the first S1 or period of any method that may be chosen, of the base, of the space or of a control."""
    base = changed(TRIAL, {"method.s1": "5ep"})
    space: dict[str, Range] = {
        "method": Choice(options=("standard", "repr", "averaging")),
        "method.s1": durations("2ep", "3ep"),
    }
    control = Arm(name="late", changes={"method": "sfp", "method.period": "7ep"})
    assert study(space, base=base).first_drops(10) == {10, 20, 30, 50, 200}
    assert study(space, base=base, controls=(control,)).first_drops(10) == {10, 20, 30, 50, 70, 200}


def test_first_drops_of_a_choice_of_schedules() -> None:
    """The same where only the schedule is chosen; a choice of lengths counts too."""
    space: dict[str, Range] = {
        "method.schedule": Choice(options=("cycles", "every")),
        "method.s1": Choice(options=("3ep", "4ep")),
        "method.period": durations("6ep", "7ep"),
    }
    assert study(space, base=TRIAL).first_drops(10) == {10, 30, 40, 60, 70, 200}


def test_first_drops_of_a_choice_of_generations() -> None:
    """The end of the first, of each number of them that may be chosen and of the base's: of 30 epochs, 15, 10 and
    7.5, and 6."""
    base = changed(TRIAL, {"method": "knowledge-evolution", "training.total": "30ep"})
    space: dict[str, Range] = {"method.generations": IntRange(low=2, high=4)}
    assert study(space, base=base).first_drops(10) == {150, 100, 75, 60}


@given(seed=st.integers(0, 10**6))
def test_nothing_happens_before_the_first_drops(seed: int) -> None:
    """Whatever is drawn, its schedule first lets something happen at one of those steps, if ever."""
    rng = random.Random(seed)
    for space in (METHODS, PARTS):
        spec = study(space)
        drawn = spec.draw(lambda _, range_: rng.choice(range_.values() or range_.ends()))
        schedule = spec.trial(drawn).method.schedule
        assert schedule is None or schedule.first(TRIAL.training.total).steps(10) in spec.first_drops(10)
