"""What a study would cost, held against what its runs really train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from statsmodels.stats.power import TTestPower

from dashboards.plan import plan_text
from reprtune.analysis.plan import Plan
from reprtune.analysis.power import detectable
from reprtune.errors import SpecError
from reprtune.settings import Settings
from reprtune.spec.duration import Duration
from reprtune.spec.study import (
    Arm,
    Arms,
    Factor,
    FloatRange,
    FractionalFactorial,
    FullFactorial,
    LeaveOneOut,
    Rule,
    StudySpec,
    Tune,
    Until,
    named,
    plain_lengths,
)
from reprtune.spec.trial import TrialSpec
from reprtune.states.store import StateStore
from reprtune.study.planning import plan_study
from reprtune.training.chain.chain import Chain, LoadedData
from reprtune.training.platform.device import choose_device
from tests.tiny_study import STUDY

BASE = replace(
    STUDY.base, training=replace(STUDY.base.training, total=Duration.parse("6ep"), lr_schedule="constant")
)
STANDARD = Arm(name="standard", changes={"method": "standard"})
LATER = Arm(name="later", changes={"method.s1": "3ep"})
L2 = Arm(name="l2", changes={"method.criterion": "l2"})
FACTORS = tuple(
    Factor(name=name, levels={"off": {}, "on": {path: value}})
    for name, path, value in (
        ("criterion", "method.criterion", "l2"),
        ("start", "method.s1", "2ep"),
        ("ratio", "method.prune_ratio", 0.6),
        ("restore", "method.restore", "random"),
    )
)


def study(*sections: Arms, base: TrialSpec = BASE, rules: tuple[Rule, ...] = ()) -> StudySpec:
    return StudySpec(name="s", question="q", cost="c", base=base, sections=sections, rules=rules)


def planned(spec: StudySpec, folder: Path, sd: float | None = None) -> Plan:
    return plan_study(spec, Settings(runs_dir=folder, device="cpu"), sd)


def really_trained(spec: StudySpec, folder: Path) -> int:
    """Steps of all networks, every run of arms trained one after another with a store that they share."""
    data, store = LoadedData(folder, choose_device("cpu")), StateStore(folder / "states")
    spent = 0
    steps = data.batches(spec.base).steps_per_epoch
    for _, _, trial in spec.arm_cells(steps):
        chain = Chain(trial, data, store, keep="beginnings", shared_steps=spec.first_drops)
        for _ in chain:
            pass
        spent += chain.steps_spent
    return spent


STUDIES = {
    "named": study(Arms(design=named(STANDARD, Arm(name="base"), LATER, L2), seeds=2)),
    "two sections, one seed in common": study(
        Arms(name="one", design=named(STANDARD), seeds=(0, 1)),
        Arms(name="two", design=named(LATER, L2), seeds=(1, 2)),
    ),
    "the same twice": study(Arms(design=named(Arm(name="base"), Arm(name="again")), seeds=1)),
    "lengths": study(Arms(design=named(*plain_lengths("6ep"), STANDARD), seeds=1)),
    "leave-one-out": study(Arms(design=LeaveOneOut(arm=Arm(name="whole")), seeds=1)),
    "a fraction": study(Arms(design=FractionalFactorial(factors=FACTORS), seeds=1)),
    "tuned": study(
        Arms(
            design=named(STANDARD, Arm(name="base")),
            seeds=2,
            tune=Tune(space={"method.prune_ratio": FloatRange(low=0.3, high=0.6)}, tries=3, seeds=2),
        )
    ),
    "several networks": study(
        Arms(design=named(STANDARD, Arm(name="grafting", changes={"method": "grafting"})), seeds=1)
    ),
}


@pytest.mark.parametrize("name", STUDIES)
def test_the_cost_is_what_is_really_trained(name: str, tmp_path: Path) -> None:
    """Alone every run is as long as it is, and with what they share as long as a store leaves to be trained."""
    spec = STUDIES[name]
    found = planned(spec, tmp_path).arms
    totals = [trial.training.total.steps(2) * trial.method.n_members for _, _, trial in spec.arm_cells(2)]
    assert (found.runs, found.steps) == (len(totals), sum(totals))
    assert found.epochs == pytest.approx(sum(totals) / 2)  # two steps per epoch
    assert found.shared_steps == really_trained(spec, tmp_path)
    assert found.trainings == sum(trial.method.n_members for _, _, trial in spec.arm_cells(2))


def test_something_is_shared_here(tmp_path: Path) -> None:
    """The studies above would not tell a count without sharing from one with it, did none share."""
    for name in ("named", "the same twice", "leave-one-out", "a fraction"):
        found = planned(STUDIES[name], tmp_path).arms
        assert found.shared_steps is not None and found.shared_steps < found.steps


def test_arms_with_fewer_images_share_their_beginnings_too(tmp_path: Path) -> None:
    """Their epochs are of fewer steps, so that they leave the common beginning at another step than the base."""
    few = {"task.train_images": 64}
    spec = study(
        Arms(
            design=named(
                Arm(name="few", changes=few),
                Arm(name="l2", changes={**few, "method.criterion": "l2"}),
                Arm(name="none", changes={**few, "method": "standard"}),
            ),
            seeds=1,
        )
    )
    found = planned(spec, tmp_path).arms
    assert (found.steps, found.epochs) == (18, 18)  # six epochs of one step each
    assert found.shared_steps == really_trained(spec, tmp_path) < 18


def test_nothing_is_written(tmp_path: Path) -> None:
    """A plan leaves no file."""
    planned(STUDIES["named"], tmp_path)
    assert not list(tmp_path.iterdir())


def test_seeds_that_may_be_added(tmp_path: Path) -> None:
    """Fewest and most runs, and the cost of both; rules have the seeds that both arms have."""
    spec = study(
        Arms(name="one", design=named(STANDARD), seeds=4, until=Until(most=6)),
        Arms(name="two", design=named(LATER, L2), seeds=4, until=Until(most=6)),
    )
    found = planned(spec, tmp_path)
    assert [(one.fewest, one.most) for one in found.sections] == [(4, 6), (8, 12)]
    assert (found.arms.runs, found.most.runs) == (12, 18)
    assert [(rule.pair, rule.n) for rule in found.rules] == [
        ("later against standard", 4),
        ("l2 against standard", 4),
    ]
    assert [rule.most for rule in found.rules] == [6, 6]
    assert "8 runs at least, 12 at most" in plan_text(found)
    assert "if every seed is added that may be: 18 runs" in plan_text(found)


def test_more_seeds_see_less(tmp_path: Path) -> None:
    """Where both arms may be given more, what these could see at best; it is corrected for all rules."""
    spec = study(Arms(design=named(STANDARD, LATER, L2), seeds=4, until=Until(most=9)))
    found = planned(spec, tmp_path)
    assert [(rule.n, rule.most) for rule in found.rules] == [(4, 9), (4, 9)]
    effect = TTestPower().solve_power(nobs=9, alpha=0.025, power=0.8)
    assert f"at best {effect:.2f} sd with 9 seeds" in " ".join(plan_text(found).split())


def test_an_arm_that_does_not_fit_is_named(tmp_path: Path) -> None:
    """As at create."""
    spec = study(
        Arms(design=named(STANDARD, Arm(name="long", changes={"method.s1": "5ep", "method.s2": "5ep"})))
    )
    with pytest.raises(SpecError, match="The arm long: "):
        planned(spec, tmp_path)


# -- what the seeds could see -----------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("m", [1, 4])
def test_effects_are_those_of_statsmodels(n: int, m: int) -> None:
    """With a power of 80 % at 5 %, over m."""
    effect = detectable(n, m)
    assert effect is not None and TTestPower().power(effect, n, 0.05 / m) == pytest.approx(0.8, abs=1e-3)


def test_two_seeds_see_nothing() -> None:
    """An interval needs three pairs."""
    assert detectable(2) is None


def test_effects_in_words(tmp_path: Path) -> None:
    """In sds; in points where the sd is given, and without them else."""
    spec = STUDIES["named"]
    spec = spec.with_section(replace(spec.comparisons[0], seeds=(0, 1, 2, 3, 4)))
    one, three = (TTestPower().solve_power(nobs=5, alpha=0.05 / m, power=0.8) for m in (1, 3))
    text = " ".join(plan_text(planned(spec, tmp_path, sd=0.005)).split())
    assert f"5 seeds: {one:.2f} sd ({0.5 * one:.2f} points) for one comparison" in text
    assert f"{three:.2f} sd ({0.5 * three:.2f} points) corrected for 3 rules" in text
    without = plan_text(planned(spec, tmp_path))
    assert f"{one:.2f} sd for one comparison" in without and "--sd 0.5" in without


# -- designs ----------------------------------------------------------------------------------------


def test_leave_one_out_in_words(tmp_path: Path) -> None:
    """What is left out, what the study keeps, and what cannot be left out, with its reason."""
    design = LeaveOneOut(arm=Arm(name="whole"), without=("restore",))
    found = planned(study(Arms(design=design, seeds=1)), tmp_path)
    (section,) = found.sections
    assert {factor for factor, _ in section.left_out} == {
        factor for arm in design.arms(BASE) for factor in arm.levels
    }
    assert section.kept == ("restore",) and "restore" not in dict(section.left_out)
    text = " ".join(plan_text(found).split())
    assert "kept, because the study says so: restore" in text
    assert section.refused
    for factor, _, why in section.refused:
        assert f"cannot be left out: {factor} (" in text and " ".join(why.splitlines()[0].split()) in text


def test_a_fraction_in_words(tmp_path: Path) -> None:
    """In the fraction of half the runs of four factors each interaction is that of the other two."""
    text = plan_text(planned(STUDIES["a fraction"], tmp_path))
    assert "8 arms, seed 0: 8 runs" in text and "resolution 4:" in text
    assert "not told apart: criterion:ratio = start:restore" in text
    assert text.count("not told apart: ") == 3


def test_a_factorial_in_words(tmp_path: Path) -> None:
    """Of 2 x 2 a main effect is a mean over two cells on either side, so that its sd is that of two runs over the root of
    two; that of the interaction is twice as large."""
    spec = study(Arms(design=FullFactorial(factors=FACTORS[:2]), seeds=5))
    text = " ".join(plan_text(planned(spec, tmp_path, sd=0.01)).split())
    one, three = (TTestPower().solve_power(nobs=5, alpha=0.05 / m, power=0.8) for m in (1, 3))
    main = one / 2**0.5
    assert f"criterion and start: {main:.2f} sd ({main:.2f} points) for one" in text
    assert f"{three / 2**0.5:.2f} sd" in text and "corrected for 3" in text
    assert f"criterion:start: {2 * main:.2f} sd" in text
    assert "No rule: what each factor does is compared over all combinations of the others." in text
    few = study(Arms(design=FullFactorial(factors=FACTORS[:2]), seeds=2))
    assert "that needs three seeds" in plan_text(planned(few, tmp_path))


def test_budget_factors(tmp_path: Path) -> None:
    """Steps of all networks, as multiples of standard."""
    budgets = planned(STUDIES["several networks"], tmp_path).sections[0].budgets
    assert budgets == {"standard": 1, "grafting": 2}
    shorter = planned(STUDIES["lengths"], tmp_path).sections[0].budgets
    assert shorter["standard"] == 1 and min(shorter.values()) < 1


def test_tuning_in_words(tmp_path: Path) -> None:
    """Two arms: 2 seeds and 3 tries with 2 seeds each; tries have a cost of their own, and are in that of all arms."""
    text = " ".join(plan_text(planned(STUDIES["tuned"], tmp_path)).split())
    assert "2 arms, seeds 0 and 1: 16 runs" in text
    assert (
        "tuned first: each arm by 3 tries with 2 seeds of method.prune_ratio, on seeds of their own" in text
    )
    assert "tuning: 12 runs, 72 epochs (144 steps)" in text
    assert "all arms together 16 runs, 96 epochs (192 steps)" in text
