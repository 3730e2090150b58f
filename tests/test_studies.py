"""The comparisons in studies/: what their arms are, and that they can be scaled."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from reprtune.spec.catalog import names
from reprtune.spec.parts.criteria import L2
from reprtune.spec.presets import STANDARD, compose
from reprtune.spec.study import StudySpec
from reprtune.spec.trial import TrialSpec
from studies.paper_c3 import STUDY as PAPER_C3
from studies.paper_resnet20 import STUDY as PAPER_RESNET20
from studies.repr_criteria import STUDY as CRITERIA
from studies.repr_regimes import STUDY as REGIMES
from studies.repr_vs_released import STUDY as VS_RELEASED
from tests.command import Command

COMPARISONS = (CRITERIA, PAPER_C3, PAPER_RESNET20, VS_RELEASED)


def arms(study: StudySpec) -> dict[str, TrialSpec]:
    """Each arm with its first seed."""
    first = study.comparisons[0].seeds[0]
    return {arm: trial for arm, seed, trial in study.arm_cells() if seed == first}


@pytest.mark.parametrize("study", COMPARISONS, ids=lambda s: s.name)
def test_arms_differ_in_their_method_and_nothing_else(study: StudySpec) -> None:
    """Same data, network, length, optimisation and seeds; standard training among them; no search."""
    assert len({(t.task, t.model, t.training) for t in arms(study).values()}) == 1
    assert {section.seeds for section in study.comparisons} == {
        tuple(range(5 if study.name.startswith("paper") else 6))
    }
    assert arms(study)["standard"].method == STANDARD
    assert study.search is None and study.slots == 0


def test_criteria_has_every_criterion_at_one_schedule() -> None:
    """An arm per criterion of the catalog; but for the criterion their methods are one, ranked by layer."""
    controls = ("standard", "lr-restart")
    dropping = {name: trial.method for name, trial in arms(CRITERIA).items() if name not in controls}
    assert set(dropping) == set(names("criteria")) - {"magnitude"}
    ranking = {name: method.criterion.name for name, method in dropping.items() if method.criterion}
    assert ranking == {name: name for name in dropping}
    assert len({replace(method, criterion=L2()) for method in dropping.values()}) == 1
    assert {method.option("scope") for method in dropping.values()} == {"layer"}


def test_the_papers_settings_of_c3() -> None:
    """S1 = 20, S2 = 10, three cycles, 30 % of all filters, first layer too, no augmentation (its tables)."""
    ortho = arms(PAPER_C3)["ortho"]
    assert ortho.method == compose(
        s1="20ep",
        s2="10ep",
        cycles=3,
        prune_ratio=0.3,
        scope="global",
        exclude_first=False,
        criterion="ortho",
    )
    assert (ortho.task.dataset, ortho.task.augment, ortho.model.name) == ("cifar10", "none", "convnet-3")
    assert (ortho.model.width, ortho.training.optimizer, ortho.training.lr) == (None, "sgd", 0.01)
    assert arms(PAPER_C3)["ortho-first-kept"].method == compose(ortho.method, exclude_first=True)


def test_the_papers_settings_of_resnet_20() -> None:
    """150 epochs, S1 = 20, S2 = 10, three cycles, 30 %; He et al.'s 128, 1e-4, crop and flip."""
    repr_ = arms(PAPER_RESNET20)["first-kept"]
    method, training = repr_.method, repr_.training
    assert method == compose(s1="20ep", s2="10ep", cycles=3, prune_ratio=0.3, exclude_first=True)
    assert (str(training.total), training.batch_size, training.weight_decay) == ("150ep", 128, 1e-4)
    assert (repr_.task.augment, repr_.model.name) == ("crop+flip", "resnet-20")
    assert arms(PAPER_RESNET20)["with-first"].method == compose(method, exclude_first=False)


def test_every_criterion_is_held_against_chance() -> None:
    """And chance, and RePr's own, against standard training."""
    rules = {(rule.arm, rule.control) for rule in CRITERIA.rules}
    criteria = {*names("criteria")} - {"magnitude", "random"}
    assert rules == {("random", "standard"), ("ortho", "standard"), *((name, "random") for name in criteria)}


def test_the_two_ends_of_what_was_described_and_released() -> None:
    """Ranking, restore, 30 or 50 % and 10 or 20 epochs; each difference alone from either end, and random drop at both."""
    ends = {
        "paper": ("ortho", "orthogonal", 0.3, "10ep"),
        "released": ("ortho-released", "as-released", 0.5, "20ep"),
    }
    methods = {name: trial.method for name, trial in arms(VS_RELEASED).items()}

    def at(name: str) -> tuple[object, ...]:
        method = methods[name]
        assert method.criterion is not None and method.restore is not None
        assert [method.option(word) for word in ("cycles", "scope", "exclude_first")] == [3, "global", False]
        assert str(method.option("s1")) == "20ep"
        return (
            *(method.criterion.name, method.restore.name),
            *(method.option("prune_ratio"), str(method.option("s2"))),
        )

    for name, end in ends.items():
        assert at(name) == end
    for i, what in enumerate(("criterion", "restore", "ratio", "s2")):
        for level, end, start in (
            ("released", ends["released"], ends["paper"]),
            ("described", ends["paper"], ends["released"]),
        ):
            assert at(f"{what}-{level}") == (*start[:i], end[i], *start[i + 1 :])
    assert at("random-drop") == ("random", *ends["paper"][1:])
    assert at("random-drop-released") == ("random", *ends["released"][1:])


def test_every_regime_has_all_three_methods() -> None:
    """2 x 2 x 3 x 2 x 2 regimes, each with RePr, random drop and standard training, alike in all else and as long."""
    regimes: dict[object, set[str]] = {}
    for name, trial in arms(REGIMES).items():
        assert str(trial.training.total) == "60ep"
        regimes.setdefault((trial.task, trial.model, trial.training), set()).add(
            name.rpartition("method-")[2]
        )
    assert len(regimes) == 48 and {frozenset(found) for found in regimes.values()} == {
        frozenset({"repr", "standard", "random-drop"})
    }
    tasks = [task for task, *_ in regimes]  # type: ignore[misc]
    assert {task.label_noise for task in tasks} == {0, 0.2, 0.4}
    assert {task.augment for task in tasks} == {"none", "crop"}
    assert {task.train_images for task in tasks} == {250, 1000}


@pytest.mark.parametrize(
    ("name", "width", "n_arms"),
    [
        ("repr-criteria", 4, 16),
        ("repr-vs-released", 4, 13),
        ("paper-c3", 4, 10),
        ("paper-resnet20", 4, 5),
        pytest.param("repr-regimes", 4, 144, marks=pytest.mark.slow),  # tries 144 arms
    ],
)
def test_scaled_down_and_created(tmp_path: Path, name: str, width: int, n_arms: int) -> None:
    """On the embedded images, a tenth as long, narrow, two seeds: checked, tried and stored, S1 keeping its share."""
    command = Command(tmp_path)
    command.quick(
        "study", "create", name, "--dataset", "digits", "--total", "10ep", "--name", "small",
        "--set", f"model.width={width}", "--set", "task.train_images=128", "--set", "seeds=[0,1]",
    )  # fmt: skip
    spec = json.loads(command.quick("study", "show", "small", "--json").output)
    assert {tuple(section["seeds"]) for section in spec["sections"]} == {(0, 1)}
    assert spec["base"]["task"]["dataset"] == "digits" and spec["base"]["model"]["width"] == width
    # 20 of 100 and of 150 epochs, in whole ones
    assert spec["base"]["method"]["schedule"]["s1"] == {
        **dict.fromkeys(("paper-resnet20", "repr-vs-released"), "1ep"),
    }.get(name, "2ep")
    assert sum(len(command.trials(f"small.{section['name']}")) for section in spec["sections"]) == 2 * n_arms
