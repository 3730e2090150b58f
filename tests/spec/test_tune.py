"""Tuning of arms: draws that are the same for all, and spaces that cannot be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reprtune.errors import SpecError
from reprtune.spec.codec import canonical_json, from_plain, to_plain
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed
from reprtune.spec.sections.confirmation import Confirmation
from reprtune.spec.sections.tune import FIRST_SEED
from reprtune.spec.study import Arm, Arms, Choice, DurationRange, FloatRange, IntRange, Path, StudySpec, Tune
from reprtune.study.dry import dry_trials
from tests.tuned_study import ARMS, STUDY, TUNE

LR = FloatRange(low=0.001, high=0.1, log=True)


def with_tune(tune: Tune | None, **fields: Any) -> StudySpec:
    return replace(STUDY, sections=(replace(ARMS, tune=tune, **fields),))


def tries(spec: StudySpec, arm: str, steps: int | None = 2) -> list[dict[str, Any]]:
    """The changes of each try of an arm, but for what the arm changes itself."""
    section = spec.comparisons[0]
    own = next(one for one in section.arms(spec.base) if one.name == arm)
    found = [one for one, _ in section.tries(spec.base, steps) if one.name.startswith(f"{arm}.try-")]
    return [{p: v for p, v in one.changes.items() if p not in own.changes} for one in found]


def test_every_arm_has_the_same_draws_of_what_it_has() -> None:
    """Learning rates are paired; plain training has no share to draw; all are inside their ranges and differ."""
    standard, base = tries(STUDY, "standard"), tries(STUDY, "base")
    assert [one["training.lr"] for one in standard] == [one["training.lr"] for one in base]
    assert len({one["training.lr"] for one in base}) == 3
    assert all(0.001 <= one["training.lr"] <= 0.1 for one in base)
    assert all(0.3 <= one["method.selection.prune_ratio"] <= 0.6 for one in base)
    assert [{*one} for one in standard] == [{"training.lr"}] * 3


def test_draws_are_uniform_in_the_logarithm() -> None:
    """Of 100 draws about half lie below the middle of the exponents, 0.01; uniform ones would be there in 9 %."""
    spec = with_tune(Tune(space={"training.lr": LR}, tries=100))
    assert 35 < sum(one["training.lr"] < 0.01 for one in tries(spec, "base")) < 65


def test_draws_stay_when_a_study_is_stored_and_when_its_space_is_written_in_another_order() -> None:
    """Whoever reads the study draws the same; another seed draws others."""
    turned = replace(TUNE, space=dict(reversed(TUNE.space.items())))
    read = from_plain(StudySpec, to_plain(with_tune(turned)))
    assert tries(read, "base") == tries(STUDY, "base") != tries(with_tune(replace(TUNE, seed=1)), "base")


def test_what_an_arm_sets_itself_is_not_drawn_for_it() -> None:
    """An arm is what it is declared as: it keeps its ratio, all others are tuned."""
    third = Arm(name="third", changes={"method.prune_ratio": 0.33})
    spec = with_tune(TUNE, design=(*ARMS.design.arms(STUDY.base), third))
    assert [{*one} for one in tries(spec, "third")] == [{"training.lr"}] * 3
    assert {one.changes["method.selection.prune_ratio"] for one, _ in spec.comparisons[0].tries(STUDY.base) if "third" in one.name} == {0.33}  # fmt: skip


def test_an_option_is_drawn_with_the_part_that_has_it() -> None:
    """The share of a crossover is there in tries that choose that, and in no other."""
    space = {
        "method.restore": Choice(options=("crossover", "random")),
        "method.cross_share": FloatRange(low=0.1, high=0.3),
    }
    found = tries(with_tune(Tune(space=space, tries=12)), "base")
    with_share = ["method.restore.cross_share" in one for one in found]
    assert with_share == [one["method.restore"] == "crossover" for one in found] and 0 < sum(with_share) < 12


def test_a_draw_that_does_not_fit_is_drawn_again() -> None:
    """Cycles of up to 4 epochs each side do not fit 4 epochs in most draws; all tries fit, and there are as many."""
    ends = DurationRange(low=Duration.parse("1ep"), high=Duration.parse("4ep"))
    tune = Tune(
        space={"method.s1": ends, "method.s2": ends, "method.cycles": IntRange(low=1, high=2)}, tries=8
    )
    spec = with_tune(tune)
    found = tries(spec, "base", steps=2)
    assert len(found) == 8
    for one in found:
        changed(STUDY.base, one).check_fits(2)
    assert any(changed(STUDY.base, one).excess_steps(2) > 0 for one in tries(spec, "base", steps=None))


def test_no_draw_that_fits_is_said() -> None:
    """It names the arm and what is wrong with the last draw."""
    long = DurationRange(low=Duration.parse("5ep"), high=Duration.parse("9ep"))
    spec = with_tune(Tune(space={"method.s1": long}))
    with pytest.raises(SpecError, match=r"none of 100 draws goes with the arm base: .*too long"):
        tries(spec, "base")


@pytest.mark.parametrize(
    ("tune", "said"),
    [
        ({"space": {}}, r"arms\.tune\.space must name at least one field"),
        ({"space": {"training.speed": LR}}, r"arms\.tune\.space, arm standard, training\.speed = 0\.001: There is no field"),
        ({"space": {"base.training.lr": LR}}, r"There is no field base\.training\.lr"),
        ({"space": {"seed": IntRange(low=0, high=5)}}, r"cannot hold seed: a seed is no setting"),
        ({"space": {"training.total": Choice(options=("3ep", "4ep"))}}, r"cannot hold training\.total: all arms are compared"),
        ({"space": {"task.train_images": IntRange(low=64, high=128)}}, r"cannot hold task\.train_images"),
        ({"space": {"method": Choice(options=("standard", "repr"))}}, r"cannot hold method: it is what tells arms apart"),
        ({"space": {"method.n_members": IntRange(low=1, high=2)}}, r"cannot hold method\.n_members: several networks"),
        ({"space": {"method.cycles": IntRange(low=0, high=1)}}, r"cannot let method\.cycles be 0"),
        ({"space": {"training.lr": FloatRange(low=-0.1, high=0.1)}}, r"training\.lr = -0\.1: training\.lr must be above 0"),
        ({"space": {"method.ring_seed": IntRange(low=0, high=1)}}, r"arms\.tune\.space, method\.ring_seed: There is no field"),
        ({"tries": 1}, r"arms\.tune\.tries must be at least 2"),
        ({"tries": 101}, r"arms\.tune\.tries must be at most 100"),
        ({"seeds": 0}, r"arms\.tune\.seeds must be at least 1"),
        ({"seed": -1}, r"arms\.tune\.seed must be at least 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_tuned_is_refused(tune: dict[str, Any], said: str) -> None:
    """Before anything is created, with field, rule and value."""
    with pytest.raises(SpecError, match=said):
        with_tune(replace(TUNE, **tune))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"seeds": (FIRST_SEED,)}, "seeds must be below 900000 where arms are tuned"),
        ({"design": (Arm(name="x.try-1"),)}, "so the tries of arms are named"),
        ({"design": (Arm(name="a" * 95),)}, "must have at most 94 characters, but it has 95"),
        ({"design": (Arm(name="standard", changes={"method": "standard"}),)}, "method.prune_ratio does nothing: the method has no"),
        ({"design": (Arm(name="a", changes={"training.lr": 0.1, "method.prune_ratio": 0.4}),)}, "holds training.lr, but every arm that has it sets it itself"),
        ({"design": Path(start=Arm(name="a"), end=Arm(name="b", changes={"training.lr": 0.3}))}, "cannot be set with the design path"),
    ],
)  # fmt: skip
def test_arms_that_cannot_be_tuned_are_refused(fields: dict[str, Any], said: str) -> None:
    """Seeds and names of tries are theirs alone, and a path finds its arms itself."""
    with pytest.raises(SpecError, match=said):
        with_tune(TUNE, **fields)


def test_a_confirmation_has_no_seeds_of_tries() -> None:
    """None of them is fresh; the next free one is that after the arms'."""
    with pytest.raises(SpecError, match=r"\[900000\] are seeds of .*tries\.\n.*Begin at 2\."):
        replace(STUDY, sections=(ARMS, Confirmation(top=0, seeds=(FIRST_SEED,))))


def test_it_is_left_out_where_there_is_none() -> None:
    """The stored form without tuning is that of studies of before; with it it reads back the same."""
    assert '"tune":' not in canonical_json(with_tune(None))
    assert from_plain(StudySpec, to_plain(STUDY)) == STUDY


def test_as_many_runs_are_planned_as_there_are() -> None:
    """Two arms, each with two seeds and three tries of two seeds."""
    spec = with_tune(replace(TUNE, seeds=2))
    assert spec.planned(spec.comparisons[0]) == 2 * (2 + 3 * 2)


def test_the_first_try_of_each_arm_and_the_ends_of_ranges_are_tried_at_create() -> None:
    """Each by its name; an end with the first arm that has the field."""
    assert {*dry_trials(STUDY)} >= {
        "arm standard.try-0", "arm base.try-0", "arm standard with training.lr = 0.001",
        "arm base with method.prune_ratio = 0.3", "arm base with method.prune_ratio = 0.6",
    }  # fmt: skip


def test_an_arm_of_that_name_is_no_try_where_nothing_is_tuned() -> None:
    """Studies of before may have one."""
    section = Arms(design=(Arm(name="x.try-1"),))
    assert not section.is_try("x.try-1") and ARMS.is_try("base.try-1") and not ARMS.is_try("base")
