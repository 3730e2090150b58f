"""The comparisons in studies/: what their arms are, and that they can be scaled."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from studies.criteria import STUDY as CRITERIA

from reprtune.spec.catalog import names
from reprtune.spec.parts.criteria import L2
from reprtune.spec.presets import STANDARD, compose
from reprtune.spec.study import StudySpec
from reprtune.spec.trial import TrialSpec
from studies.paper_c3 import STUDY as PAPER_C3
from studies.paper_resnet20 import STUDY as PAPER_RESNET20
from tests.command import Command

COMPARISONS = (CRITERIA, PAPER_C3, PAPER_RESNET20)


def arms(study: StudySpec) -> dict[str, TrialSpec]:
    """Each arm with its first seed."""
    first = study.comparisons[0].seeds[0]
    return {arm: trial for arm, seed, trial in study.arm_cells() if seed == first}


@pytest.mark.parametrize("study", COMPARISONS, ids=lambda s: s.name)
def test_arms_differ_in_their_method_and_nothing_else(study: StudySpec) -> None:
    """Same data, network, length and optimisation; five seeds; standard training among them; no search."""
    assert len({(t.task, t.model, t.training) for t in arms(study).values()}) == 1
    assert [len(section.seeds) for section in study.comparisons] == [5]
    assert arms(study)["standard"].method == STANDARD
    assert study.search is None and study.slots == 0


def test_criteria_has_every_criterion_at_one_schedule() -> None:
    """An arm per criterion of the catalog; but for the criterion their methods are one, ranked by layer."""
    dropping = {name: trial.method for name, trial in arms(CRITERIA).items() if name != "standard"}
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


@pytest.mark.parametrize(
    ("name", "width", "n_arms"), [("criteria", 4, 15), ("paper-c3", 4, 10), ("paper-resnet20", 4, 5)]
)
def test_scaled_down_and_created(tmp_path: Path, name: str, width: int, n_arms: int) -> None:
    """On the embedded images, a tenth as long, narrow, two seeds: checked, tried and stored, S1 keeping its share."""
    command = Command(tmp_path)
    command.quick(
        "study", "create", name, "--dataset", "digits", "--total", "10ep", "--name", "small",
        "--set", f"model.width={width}", "--set", "task.train_images=128", "--set", "arms.seeds=[0,1]",
    )  # fmt: skip
    spec = json.loads(command.quick("study", "show", "small", "--json").output)
    (section,) = spec["sections"]
    assert len(section["design"]["list"]) == n_arms and section["seeds"] == [0, 1]
    assert spec["base"]["task"]["dataset"] == "digits" and spec["base"]["model"]["width"] == width
    # 20 of 100 and of 150 epochs, in whole ones
    assert spec["base"]["method"]["schedule"]["s1"] == {"paper-resnet20": "1ep"}.get(name, "2ep")
    assert len(command.trials("small.arms")) == 2 * n_arms
