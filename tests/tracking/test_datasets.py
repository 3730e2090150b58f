"""The data of a run."""

from __future__ import annotations

import json

import pytest

from reprtune.spec.edit import changed
from reprtune.tracking.events import begin_event
from reprtune.tracking.mlflow.datasets import dataset_parts, parts_of_run
from tests.tracking.tracked import DIGEST, STUDY

FACTS = {
    "data_digest": "0123456789abcdef" * 4, "n_train": 100, "n_score": 0, "n_val": 20, "n_test": 30, "n_classes": 10,
    "input_shape": [3, 8, 9],
}  # fmt: skip
PARTS = dataset_parts(STUDY.base.task, FACTS)


def begin(role: str = "search", **changes: object) -> dict[str, object]:
    trial = changed(STUDY.trial({"cycles": 2}), {path.replace("__", "."): v for path, v in changes.items()})
    return begin_event(
        STUDY, trial, digest=DIGEST, key="search-000", name="slot 0", role=role, slot=0, attempt=0, now=1.0
    )  # fmt: skip


def test_each_part_that_holds_anything_is_a_data_set() -> None:
    """Its digest tells the parts of one data set apart, within MLflow's 36 characters."""
    assert [(i.context, i.digest, json.loads(i.profile)) for i in PARTS] == [
        ("train", "0123456789abcdef-train", {"num_rows": 100, "n_classes": 10}),
        ("val", "0123456789abcdef-val", {"num_rows": 20, "n_classes": 10}),
        ("test", "0123456789abcdef-test", {"num_rows": 30, "n_classes": 10}),
    ]
    assert all(len(i.digest) <= 36 and i.name == "digits" for i in PARTS)
    schema = json.loads(PARTS[0].schema)["mlflow_tensorspec"]
    assert json.loads(schema["features"])[0]["tensor-spec"] == {"dtype": "uint8", "shape": [-1, 3, 8, 9]}


def test_without_facts_there_is_nothing_to_say() -> None:
    """A study of before has none of a data set."""
    assert dataset_parts(STUDY.base.task, {}) == ()


@pytest.mark.parametrize(
    ("role", "parts"),
    [("search", ["train", "val"]), ("control", ["train", "val"]), ("confirmation", ["train", "val", "test"])],
)
def test_only_a_confirmation_has_seen_the_test_part(role: str, parts: list[str]) -> None:
    """A run lists what it has read, not what there is."""
    assert [i.context for i in parts_of_run(PARTS, begin(role), STUDY.base.task)] == parts


@pytest.mark.parametrize(
    ("path", "value", "known"),
    [("task__augment", "crop", True), ("task__train_images", 64, False)],
)
def test_other_data_than_the_base_has_are_not_claimed(path: str, value: object, known: bool) -> None:
    """What is done with the images is no matter; other images are."""
    assert bool(parts_of_run(PARTS, begin(**{path: value}), STUDY.base.task)) is known
