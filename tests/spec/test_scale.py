"""The same study on other data, with another network, or longer: what is kept and what it is called."""

from __future__ import annotations

import dataclasses

import pytest

from reprtune.errors import SpecError
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed
from reprtune.spec.parts.schedules import Every
from reprtune.spec.presets import STANDARD
from reprtune.spec.scale import rescaled, scaled_study, scaled_trial
from reprtune.spec.space import Choice
from reprtune.spec.study import Arm, StudySpec
from reprtune.spec.training import TrainingSpec
from reprtune.spec.trial import TrialSpec
from studies.repr_ablation import STUDY as ABLATION
from studies.smoke import STUDY as SMOKE
from tests.flat import study_of, with_fields
from tests.spec.example import STUDY, TRIAL, durations


def cycle(trial: TrialSpec) -> tuple[str, str]:
    """S1 and S2."""
    cycles = trial.method.cycles
    assert cycles is not None
    return str(cycles.s1), str(cycles.s2)


def test_half_as_long() -> None:
    """With half the total, every S1 and S2 is half as long, in base, space and controls; no more."""
    half = rescaled(STUDY, Duration.parse("50ep"))
    assert (str(half.base.training.total), *cycle(half.base)) == ("50ep", "10ep", "5ep")
    assert half.space["method.schedule.s1"] == durations("2ep", "14ep", "2ep")  # 2.5 rounds to the even 2
    assert half.space["method.schedule.s2"] == durations("2ep", "10ep", "2ep")
    changes = half.arms[1].changes
    assert (changes["method.schedule.s1"], changes["method.schedule.s2"]) == ("10ep", "5ep")
    same = {f.name for f in dataclasses.fields(StudySpec)} - {"base", "sections"}
    assert all(getattr(half, name) == getattr(STUDY, name) for name in same)
    assert half.search is not None and dataclasses.replace(half.search, space=STUDY.space) == STUDY.search
    assert half.arms[0] == STUDY.arms[0] and half.comparisons[0].seeds == STUDY.comparisons[0].seeds


def test_counted_in_steps() -> None:
    """A total in steps turns everything into steps, with the shares it had: 20 of 100 is 800 of 4000."""
    steps = rescaled(STUDY, Duration.parse("4000it"))
    assert cycle(steps.base) == ("800it", "400it")
    assert steps.space["method.schedule.s1"] == durations("200it", "1200it", "200it")
    assert steps.arms[2].changes["method.schedule.s1"] == "800it"
    assert steps.fitting_share(17) == STUDY.fitting_share(17)


@pytest.mark.parametrize("study", [STUDY, ABLATION, SMOKE], ids=lambda s: s.name)
def test_same_total(study: StudySpec) -> None:
    """The same total gives the same study."""
    assert rescaled(study, study.base.training.total) == study


def test_no_total() -> None:
    """A total of nothing is refused."""
    with pytest.raises(SpecError) as caught:
        rescaled(STUDY, Duration.parse("0ep"))
    assert caught.value.message == "total must be above 0, but got 0ep."


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "repr-ablation"),
        ({"dataset": "cifar10", "model": "resnet-20"}, "repr-ablation.cifar10-resnet-20"),
        ({"model": "convnet-8"}, "repr-ablation.convnet-8"),
        ({"total": "20ep"}, "repr-ablation.20ep"),
        ({"dataset": "npz:some/where/leaves.npz"}, "repr-ablation.leaves"),
        ({"dataset": "imagefolder:some/where/leaves"}, "repr-ablation.leaves"),
        ({"dataset": "python:my.sets:leaves"}, "repr-ablation.leaves"),
        ({"model": "torchvision:resnet18"}, "repr-ablation.resnet18"),
        ({"model": "python:my.nets:wide"}, "repr-ablation.wide"),
        ({"dataset": "cifar10", "name": "mine"}, "mine"),
        ({"assignments": ["training.lr=0.05"]}, "repr-ablation"),
    ],
)
def test_stored_name(options: dict[str, object], name: str) -> None:
    """The name says what was scaled, unless a name is given."""
    assert scaled_study(ABLATION, **options).name == name  # type: ignore[arg-type]


def test_study_assignments() -> None:
    """Paths reach into the base without saying so, into the space and the study itself; they come last."""
    spec = scaled_study(
        STUDY,
        total="20ep",
        assignments=["method.s1=5ep", "seed=3", "slots=8", "space.method.cycles.high=3"],
    )
    assert cycle(spec.base) == ("5ep", "2ep")
    assert spec.search is not None
    assert (spec.search.seed, spec.base.seed, spec.slots) == (3, 0, 8)
    assert spec.space["method.schedule.cycles"].ends() == [1, 3]


def test_the_cost_of_another_study_is_not_claimed() -> None:
    """A changed study does not promise the cost of the one it came from; an unchanged or renamed one does."""
    assert scaled_study(STUDY).cost == scaled_study(STUDY, name="mine").cost == "c"
    assert scaled_study(STUDY, total="20ep").cost == f"Not estimated. Before {STUDY.name} was changed: c"
    assert scaled_study(STUDY, total="20ep", assignments=["cost=a minute"]).cost == "a minute"


@pytest.mark.parametrize(
    ("model", "kept"),
    [
        ("resnet-20", (8, True, False)),
        ("vgg11-bn", (None, True, False)),
        ("python:my.nets:wide", (None, True, False)),
    ],
)
def test_another_network_keeps_the_options_that_it_has(model: str, kept: tuple[object, ...]) -> None:
    """Those that it does not have go back to their defaults; one that is set for it is refused."""
    base = changed(SMOKE, {"base.model.pool": True})
    new = scaled_study(base, model=model).base.model
    assert (new.name, (new.width, new.batch_norm, new.pool)) == (model, kept)
    assert scaled_trial(base.base, model=model).model == new
    with pytest.raises(SpecError, match=r"model\.pool"):
        scaled_study(base, model=model, assignments=["model.pool=true"])


def test_trial_options() -> None:
    """The short options of a trial, in one go; S1 and S2 keep their share, a `--set` has the last word."""
    spec = scaled_trial(
        TRIAL, dataset="cifar10", model="resnet-20", method="repr", total="10ep", seed=4, precision="bf16",
        assignments=["method.s2=3ep"],
    )  # fmt: skip
    assert (spec.task.dataset, spec.model.name, spec.seed, spec.training.precision) == (
        "cifar10", "resnet-20", 4, "bf16",
    )  # fmt: skip
    assert (str(spec.training.total), *cycle(spec)) == ("10ep", "2ep", "3ep")
    assert scaled_trial(TRIAL) == TRIAL
    assert scaled_trial(TRIAL, method="standard").method == STANDARD


def test_lengths_in_another_unit_than_the_total() -> None:
    """A length in steps keeps its unit when a total in epochs grows; it cannot follow a change of unit."""
    trial = scaled_trial(TrialSpec(), assignments=["method.s1=500it"])
    assert cycle(scaled_trial(trial, total="200ep"))[0] == "1000it"
    with pytest.raises(SpecError, match=r"s1 = 500it cannot keep its share .* from 100ep to 4000it"):
        scaled_trial(trial, total="4000it")


def test_choices_and_tables_are_rescaled_too() -> None:
    """S1 as a choice of texts, and a control that replaces the whole method or its schedule, keep their shares."""
    schedule = {"kind": "cycles", "cycles": 1, "s1": "20ep", "s2": "10ep"}
    method = {"schedule": schedule, "restore_rules": {"restore_lr": "restart"}}
    period = {"kind": "every", "period": "4ep"}
    given = study_of(
        name="s", question="q", decision="d", cost="c",
        space={"method.s1": Choice(options=("10ep", "20ep"))},
        controls=(
            Arm(name="one", changes={"method": method}),
            Arm(name="other", changes={"method.schedule": period}),
        ),
    )  # fmt: skip
    half = rescaled(given, Duration.parse("50ep"))
    assert half.space["method.schedule.s1"] == Choice(options=("5ep", "10ep"))
    assert half.arms[0].changes["method"] == {
        **method,
        "schedule": {**schedule, "s1": "10ep", "s2": "5ep"},
    }
    assert half.arms[1].changes["method.schedule"] == {**period, "period": "2ep"}
    assert changed(half.base, half.arms[1].changes).method.schedule == Every(period=Duration.parse("2ep"))


def test_nothing_and_other_schedules_are_rescaled_too() -> None:
    """S2 = 0 stays nothing, whatever the total, and a period keeps its share like S1."""
    trial = scaled_trial(TRIAL, assignments=["method.s2=0ep"])
    assert cycle(scaled_trial(trial, total="50ep")) == ("10ep", "0ep")
    space = {"method.s2": durations("0ep", "20ep", "10ep")}
    half = rescaled(with_fields(STUDY, space=space), Duration.parse("50ep"))
    assert half.space["method.schedule.s2"] == durations("0ep", "10ep", "5ep")
    averaging = scaled_trial(TRIAL, method="averaging", assignments=["method.period=10ep"])
    assert scaled_trial(averaging, total="50ep").method.schedule == Every(period=Duration.parse("5ep"))


def test_options_of_own_parts_are_left_alone() -> None:
    """Whatever their names: only the part knows what they mean. A range of lengths in the space says it itself."""
    base = changed(TRIAL, {"method.criterion": "python:my.py:score", "method.criterion.period": "weekly"})
    space = {
        "method.criterion.s1": Choice(options=("a", "b")),
        "method.criterion.reach": durations("10ep", "20ep", "10ep"),
    }
    half = rescaled(with_fields(STUDY, base=base, space=space), Duration.parse("50ep"))
    assert half.base.method.option("period") == "weekly"
    assert half.space["method.criterion.s1"] == space["method.criterion.s1"]
    assert half.space["method.criterion.reach"] == durations("5ep", "10ep", "5ep")
    assert cycle(half.base) == ("10ep", "5ep")


def test_durations_may_be_texts_in_a_study_file() -> None:
    """What a person writes in Python is read as on the command line."""
    assert TrainingSpec(total="40ep") == TrainingSpec(total=Duration.parse("40ep"))  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=r"training\.total must be"):
        TrainingSpec(total="forty")  # type: ignore[arg-type]
