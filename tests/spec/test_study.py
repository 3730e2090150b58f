"""Studies: what is refused, which trials they describe, how much of the space fits, and rescaling."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprtune.errors import SpecError
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed
from reprtune.spec.levels import level
from reprtune.spec.objectives import OBJECTIVES
from reprtune.spec.parts.criteria import Ortho
from reprtune.spec.presets import STANDARD
from reprtune.spec.sections.search import SAMPLERS, Search
from reprtune.spec.space import Choice, DurationRange, FloatRange, IntRange, Range
from reprtune.spec.stop_rules import Median, NoStop, Percentile, StopRule
from reprtune.spec.study import MIN_FITTING_SHARE, Arm, StudySpec
from reprtune.spec.trial import TrialSpec
from studies import STUDIES
from studies.repr_ablation import STUDY as ABLATION
from tests.flat import study_of
from tests.spec.example import STUDY, TRIAL

CYCLES: dict[str, Range] = {"method.cycles": IntRange(low=1, high=2)}


def study(**fields: Any) -> StudySpec:
    given: dict[str, Any] = {"name": "s", "question": "q", "decision": "d", "cost": "c", "space": CYCLES}
    return study_of(**(given | fields))


def search(**fields: Any) -> Search:
    found = study(**fields).search
    assert found is not None
    return found


def duration_range(low: int, high: int, unit: str = "ep") -> DurationRange:
    return DurationRange(
        low=Duration.parse(f"{low}{unit}"),
        high=Duration.parse(f"{high}{unit}"),
        step=Duration.parse(f"1{unit}"),
    )


@pytest.mark.parametrize("name", STUDIES)
def test_registered_studies(name: str) -> None:
    """Every registered study has the name it is found by, and much more of its space fits than must."""
    module, _, attribute = STUDIES[name].partition(":")
    spec = getattr(importlib.import_module(module), attribute)
    assert isinstance(spec, StudySpec)
    assert spec.name == name
    assert spec.fitting_share(17) > 2 * MIN_FITTING_SHARE
    for _, _, trial in spec.arm_cells():
        trial.check_fits(17)


def test_ablation_controls() -> None:
    """The paper's settings keep S1 : S2 : total = 20 : 10 : 100; random drop has another criterion."""
    cells = {(arm, seed): trial for arm, seed, trial in ABLATION.arm_cells()}
    assert set(cells) == {(a, s) for a in ("standard", "paper", "random-drop") for s in range(5)}
    paper, random = cells["paper", 0], cells["random-drop", 0]
    total, schedule = paper.training.total.value, paper.method.cycles
    assert schedule is not None
    assert (schedule.s1.value / total, schedule.s2.value / total) == (Fraction(20, 100), Fraction(10, 100))
    assert (schedule.cycles, level(paper, "method.prune_ratio"), level(paper, "method.exclude_first")) == (
        3, 0.3, False,
    )  # fmt: skip
    assert dataclasses.replace(random.method, criterion=Ortho()) == paper.method
    assert cells["standard", 1].method == STANDARD
    assert {t.training for t in cells.values()} == {ABLATION.base.training}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "a b"}, "A name holds letters"),
        ({"name": "-a"}, "A name holds letters"),
        ({"name": "a/b"}, "A name holds letters"),
        ({"name": ""}, "A name holds letters"),
        ({"name": "a" * 101}, "A name holds letters"),
        ({"slots": -1}, "slots must be at least 1, but got -1."),
        ({"slots": 100_001}, "slots must be at most 100,000, but got 100001."),
        ({"slots": 0, "controls": ()}, "sections must hold arms or a search, but has neither."),
        ({"seeds": 0}, "seeds must be at least 1, but got 0."),
        ({"max_seconds": 0.0}, "max_seconds must be above 0, but got 0.0."),
        ({"max_gflops": -1.0}, "max_gflops must be above 0, but got -1.0."),
        ({"space": {"seed": IntRange(low=0, high=3)}}, "space cannot hold seed"),
        ({"seed": -1}, "seed must be at least 0, but got -1."),
        ({"sampler": "tpee"}, "There is no sampler 'tpee'."),
        ({"objectives": ()}, "objectives must be one or more different names, but got []."),
        ({"objectives": ("val_error",) * 2}, "objectives must be one or more different names, but got ["),
        ({"objectives": ("val_eror",)}, "There is no objective 'val_eror'."),
        ({"objectives": ("val_error", "params")},
         "stop = median weighs val_error at rungs and the planned train_gflops, but not params."),
        ({"space": {}}, "space must name at least one field to vary, but is empty."),
        ({"space": {"method.cycle": IntRange(low=1, high=2)}}, "There is no field method.cycle."),
        ({"space": {"method.cycles": IntRange(low=-1, high=2)}},
         "method.cycles must be at least 1, but got -1."),
        ({"space": {"method.cycles": IntRange(low=0, high=2)}}, "space cannot let method.cycles be 0"),
        ({"space": {"method.cycles": Choice(options=(2, 0))}}, "space cannot let method.cycles be 0"),
        ({"space": {"method.period": duration_range(1, 3)}},
         "method.schedule.period is no option of the schedule cycles"),
        ({"space": {"method.prune_ratio": FloatRange(low=0.5, high=1.0)}},
         "method.prune_ratio must be above 0 and below 1, but got 1.0."),
        ({"space": {"method.cycles": FloatRange(low=1, high=2)}},
         "method.cycles must be a whole number, but got 1.0."),
        ({"space": {"method.criterion": Choice(options=("l2", "l3"))}}, "There is no criterion 'l3'."),
        ({"space": {"method.s1": duration_range(0, 3)}}, "method.s1 must be above 0, but got 0ep."),
        ({"space": {"task.split_seed": IntRange(low=0, high=1), "x.split_seed": IntRange(low=0, high=1)}},
         "There is no field x.split_seed."),
        ({"controls": (Arm(name="a"), Arm(name="a"))}, "Arms need different names, but got ['a', 'a']."),
        ({"controls": (Arm(name="a", changes={"method.s3": "1ep"}),)}, "There is no field method.s3."),
        ({"controls": (Arm(name="a", changes={"method": "standard", "method.s1": "1ep"}),)},
         "method.s1 does nothing: the method has no schedule."),
        ({"controls": (Arm(name="a"),), "control_seeds": (1, 1)},
         "controls.seeds must differ, but got [1, 1]."),
        ({"controls": (Arm(name="a"),), "control_seeds": ()}, "controls.seeds must hold at least one seed"),
    ],
)  # fmt: skip
def test_refused(fields: dict[str, Any], message: str) -> None:
    """A study that cannot run is refused where it is written; each message names the rule and the value."""
    with pytest.raises(SpecError) as caught:
        study(**fields)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize("name", ["a", "A1", "0", "repr-ablation.cifar10-resnet-20", "x_y", "a" * 100])
def test_names(name: str) -> None:
    """Letters, digits, dash, underscore and dot, at most 100."""
    assert study(name=name).name == name


@pytest.mark.parametrize("rule", StopRule.kinds)
def test_stop_rules(rule: type[StopRule]) -> None:
    """Each is taken as a value, by its name and as a table; without one it is the median."""
    for form in (rule(), rule.kind, {"kind": rule.kind}):
        assert search(stop=form).stop == rule()
    assert search().stop == Median()
    assert search(stop={"kind": "percentile", "percentile": 10}).stop == Percentile(percentile=10.0)
    with pytest.raises(SpecError, match="There is no stop rule 'medain'") as caught:
        study(stop="medain")
    assert str(caught.value.hint).startswith("Did you mean median?")
    with pytest.raises(SpecError, match=r"stop must be the name of a stop rule, or a table .* but got None"):
        study(stop=None)


@pytest.mark.parametrize("objectives", [("val_error",), ("train_gflops",), ("val_error", "train_gflops")])
def test_objectives(objectives: tuple[str, ...]) -> None:
    """One objective or several; trials are judged where the error is among them and there is a rule."""
    assert study(objectives=objectives).objectives == objectives
    given = search(objectives=objectives)
    assert given.objectives == objectives and given.stops_early == ("val_error" in objectives)
    assert not search(objectives=objectives, stop=NoStop()).stops_early


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_can_be_minimised_without_a_rule(objective: str) -> None:
    """Alone and beside the error."""
    for objectives in {(objective,), tuple({"val_error": 0, objective: 1})}:
        assert study(objectives=objectives, stop=NoStop()).objectives == objectives


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "nsga2", "gp"])
def test_samplers(sampler: str) -> None:
    """Every sampler is accepted."""
    assert search(sampler=sampler).sampler == sampler
    assert set(SAMPLERS) == {"tpe", "random", "qmc", "nsga2", "gp"}


def test_trial_of_a_draw() -> None:
    """Drawn parameters, by their names in Optuna, land in the fields of the base; the rest stays."""
    draw = {"prune_ratio": 0.25, "s1_epochs": 5, "s2_epochs": 2, "cycles": 4, "criterion": "l2"}
    assert set(STUDY.params) == set(draw)
    expected = changed(
        STUDY.base,
        {"method.prune_ratio": 0.25, "method.s1": "5ep", "method.s2": "2ep", "method.cycles": 4,
         "method.criterion": "l2"},
    )  # fmt: skip
    assert STUDY.trial(draw) == expected


def test_paths_are_stored_in_full() -> None:
    """Space and arms have the full path, however short it was written; names in Optuna stay short."""
    written = study(
        space={
            "method.cycles": IntRange(low=1, high=2),
            "method.restore_bn": Choice(options=("keep", "reset")),
        },
        controls=(Arm(name="a", changes={"method.prune_ratio": 0.2, "training.lr": 0.1, "method": "repr"}),),
    )
    assert list(written.space) == ["method.schedule.cycles", "method.restore_rules.restore_bn"]
    assert list(written.params) == ["cycles", "restore_bn"]
    assert list(written.arms[0].changes) == ["method.selection.prune_ratio", "training.lr", "method"]


def test_control_cells_in_order() -> None:
    """Arm by arm, each with every seed."""
    spec = study(
        controls=(Arm(name="a"), Arm(name="b", changes={"method": "standard"})), control_seeds=(5, 3)
    )
    assert [(arm, seed) for arm, seed, _ in spec.arm_cells()] == [("a", 5), ("a", 3), ("b", 5), ("b", 3)]
    assert [trial.seed for _, _, trial in spec.arm_cells()] == [5, 3, 5, 3]


@given(
    s1=st.tuples(st.integers(1, 6), st.integers(0, 4)),
    s2=st.tuples(st.integers(1, 4), st.integers(0, 3)),
    cycles=st.tuples(st.integers(1, 3), st.integers(0, 2)),
    total=st.integers(1, 30),
    steps_per_epoch=st.integers(1, 40),
)
def test_fitting_share_by_brute_force(
    s1: tuple[int, int], s2: tuple[int, int], cycles: tuple[int, int], total: int, steps_per_epoch: int
) -> None:
    """The share of (S1, S2, cycles) with cycles x (S1 + S2) <= total, counted by hand."""
    grids = [range(low, low + n + 1) for low, n in (s1, s2, cycles)]
    fits = [n * (a + b) <= total for a, b, n in itertools.product(*grids)]
    spec = study(
        base=changed(TrialSpec(), {"training.total": f"{total}ep"}),
        space={
            "method.s1": duration_range(s1[0], sum(s1)),
            "method.s2": duration_range(s2[0], sum(s2)),
            "method.cycles": IntRange(low=cycles[0], high=sum(cycles)),
            "method.criterion": Choice(options=("ortho", "l2")),
        },
    )
    assert spec.fitting_share(steps_per_epoch) == pytest.approx(sum(fits) / len(fits))


def test_fitting_share_of_the_example() -> None:
    """Of the 96 triples of S1 in 5, 10 .. 30, S2 in 5, 10 .. 20 and cycles in 1..4, 72 fit 100 epochs."""
    fits = [n * (a + b) <= 100 for a in range(5, 31, 5) for b in range(5, 21, 5) for n in range(1, 5)]
    assert (sum(fits), len(fits)) == (72, 96)
    assert STUDY.fitting_share(17) == pytest.approx(0.75)


def test_fitting_share_without_lengths_in_the_space() -> None:
    """When the space leaves lengths alone, all draws fit or none does."""
    space: dict[str, Range] = {"method.prune_ratio": FloatRange(low=0.1, high=0.6)}
    assert study(space=space, base=TRIAL).fitting_share(17) == 1
    base = changed(TRIAL, {"training.total": "89ep"})
    assert study(space=space, base=base).fitting_share(17) == 0


def test_choices_that_do_not_go_together_do_not_fit() -> None:
    """Adam has no momentum: of the 6 pairs, (adam, 0.5) and (adamw, 0.5) are refused; 2 of 3 fit, half of
    which by their length."""
    space: dict[str, Range] = {
        "training.optimizer": Choice(options=("sgd", "adam", "adamw")),
        "training.momentum": Choice(options=(0.9, 0.5)),
        "method.cycles": IntRange(low=3, high=4),  # 90 and 120 of 100 epochs
    }
    assert study(space=space, base=TRIAL).fitting_share(17) == pytest.approx(4 / 6 / 2)


def test_fitting_share_of_a_huge_space() -> None:
    """Four million draws are estimated from 1,000, the same in every process, within four standard errors."""
    spec = study(
        base=changed(TrialSpec(), {"training.total": "2000it", "method.cycles": 1}),
        space={"method.s1": duration_range(1, 2000, "it"), "method.s2": duration_range(1, 2000, "it")},
    )
    share = spec.fitting_share(17)
    assert share == pytest.approx(0.5, abs=4 * 0.5 / 1000**0.5)
    assert share == spec.fitting_share(17)


def test_first_drops() -> None:
    """Trials leave the common beginning after any S1 of the space, of the base or of a control."""
    given = study(
        space={"method.s1": duration_range(2, 4), **CYCLES},
        controls=(Arm(name="late", changes={"method.s1": "7ep"}),),
        control_seeds=(0,),
    )
    assert given.first_drops(10) == {20, 30, 40, 70, 200}
    assert study(base=changed(TrialSpec(), {"method.s1": "5it"})).first_drops(10) == {5}


def test_seeds_of_a_trial_and_a_comparison_without_a_search() -> None:
    """A trial's seeds begin at the base's; without a search only the arms are left."""
    base = dataclasses.replace(STUDY.base, seed=4)
    assert study(base=base, seeds=3).trial_seeds() == (4, 5, 6)
    comparison = study(slots=0, controls=(Arm(name="a"),), control_seeds=(1,))
    assert [arm for arm, _, _ in comparison.arm_cells()] == ["a"]
    assert comparison.fitting_share(10) == 1.0


def test_of_two_spellings_of_one_path_the_later_counts() -> None:
    """So that a study's space can be taken over with some of it changed."""
    space = {**ABLATION.space, "method.s1": duration_range(1, 3)}
    assert study(space=space).space["method.schedule.s1"] == duration_range(1, 3)
