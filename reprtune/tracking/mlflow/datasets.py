"""The data of a run, as MLflow's "datasets used": one for each part, with its size and form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reprtune.spec.codec import to_plain
from reprtune.spec.task import TaskSpec

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

PARTS = ("train", "score", "val", "test")  # contexts; `score` is what filters are ranked on
NOT_OF_THE_DATA = ("augment", "cutout")  # fields of a task that change what is done with them


@dataclass(frozen=True)
class DatasetPart:
    """One part of the data; the texts are JSON as MLflow has them."""

    context: str
    name: str
    digest: str
    source: str
    schema: str
    profile: str


def dataset_parts(task: TaskSpec, facts: Mapping[str, Any]) -> tuple[DatasetPart, ...]:
    """The parts of a task that hold anything.

    A digest is the beginning of the data's own with the part behind it, for MLflow tells two data sets
    apart by name and digest, of at most 36 characters.

    Args:
        facts: of the study (`data_digest`, `n_train`, ..., `input_shape`, `n_classes`); without them there is
            nothing to say.
    """
    if "data_digest" not in facts:
        return ()
    source = json.dumps({"made_by": "reprtune", **to_plain(task)})
    sizes = {part: facts.get(f"n_{part}", 0) for part in PARTS}
    return tuple(
        DatasetPart(
            context=part,
            name=task.dataset,
            digest=f"{facts['data_digest'][:16]}-{part}",
            source=source,
            schema=_schema(facts["input_shape"]),
            profile=json.dumps({"num_rows": n, "n_classes": facts["n_classes"]}),
        )
        for part, n in sizes.items()
        if n
    )


def parts_of_run(
    parts: tuple[DatasetPart, ...], begin: Mapping[str, Any], base: TaskSpec
) -> tuple[DatasetPart, ...]:
    """What a trial's run has used: the test part in a confirmation alone; nothing that we know where its data
    are not those of the study's base."""
    task = json.loads(begin["config"]).get("task", {})
    if _data_fields(task) != _data_fields(to_plain(base)):
        return ()
    confirms = begin["tags"].get("role") == "confirmation"
    return tuple(one for one in parts if confirms or one.context != "test")


def as_entities(parts: tuple[DatasetPart, ...]) -> list[DatasetInput]:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return [
        DatasetInput(
            Dataset(i.name, i.digest, "reprtune", i.source, i.schema, i.profile),
            [InputTag("mlflow.data.context", i.context)],
        )
        for i in parts
    ]


def _data_fields(task: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in task.items() if key not in NOT_OF_THE_DATA}


def _schema(shape: list[int]) -> str:
    def tensor(kind: str, *sizes: int) -> str:
        return json.dumps([{"type": "tensor", "tensor-spec": {"dtype": kind, "shape": list(sizes)}}])

    return json.dumps(
        {"mlflow_tensorspec": {"features": tensor("uint8", -1, *shape), "targets": tensor("int64", -1)}}
    )
