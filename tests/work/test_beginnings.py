"""Arms that begin alike: what others train the first steps of now is taken last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from reprtune.record.view import StudyView
from reprtune.spec.designs.arm import Arm
from reprtune.spec.designs.named import named
from reprtune.spec.edit import changed
from reprtune.spec.sections.arms import Arms
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.plan import Segment
from reprtune.work.beginnings import beginning
from reprtune.work.queue import Queue, queues
from tests.stored import LEASE, new_study, record
from tests.tiny_study import STUDY
from tests.work.tiny_worker import LOADED_DATA

CHANGES: dict[str, Mapping[str, Any]] = {
    "base": {},
    "criterion": {"method.criterion": "l2"},
    "ratio": {"method.prune_ratio": 0.75},
    "restored otherwise": {"method.restore": "random"},
    "longer": {"method.s1": "2ep"},
    "standard": {"method": "standard"},
    "rate": {"training.lr": 0.02},
    "schedule of rates": {"training.lr_schedule": "cosine"},
    "optimizer": {"training.optimizer": "adam"},
    "wider": {"model.width": 3},
    "fewer images": {"task.train_images": 96},
    "seed": {"seed": 5},
    "penalty": {"method.losses": ["ortho-reg"]},
    "total": {"training.total": "5ep"},
}
SHARED_EPOCHS = (1, 2)


def test_trials_begin_alike_where_the_names_of_their_states_are_the_same() -> None:
    """As the chains of their states have them, which know all values, contents and code."""
    found: dict[str, set[str]] = {}
    expected: dict[str, set[str]] = {}
    for name, changes in CHANGES.items():
        trial = changed(STUDY.base, changes)
        steps = LOADED_DATA.batches(trial).steps_per_epoch
        shared = frozenset(epochs * steps for epochs in SHARED_EPOCHS)
        chain = Chain(trial, LOADED_DATA)
        first = next(
            i
            for i, (item, after) in enumerate(zip(chain.items, (*chain.items[1:], None), strict=True))
            if item.stop in shared or not isinstance(after, Segment)
        )
        expected.setdefault(chain.names[first + 1], set()).add(name)
        what, stop = beginning(trial, steps, shared)
        found.setdefault(what, set()).add(name)
        assert stop == chain.items[first].stop
    assert sorted(map(sorted, found.values())) == sorted(map(sorted, expected.values()))
    assert {"base", "criterion", "ratio", "restored otherwise", "longer", "standard"} <= max(
        found.values(), key=len
    )


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    """Arms with two seeds each, in this order: three that begin alike, and one that does not."""
    arms = [Arm(name=name, changes={"method.criterion": name}) for name in ("ortho", "l2", "random")]
    design = named(*arms, Arm(name="rate", changes={"training.lr": 0.02}))
    sections = (Arms(name="controls", design=design, seeds=(0, 1)),)
    storage, spec = new_study(tmp_path / "x.db", spec=replace(STUDY, sections=sections))
    return queues(StudyView(storage, spec.name))[0]


def taken(queue: Queue, *, apart: bool = False) -> tuple[str, optuna.Trial | None]:
    trial = queue.take("w", LEASE, apart=apart)
    return (f"{trial.user_attrs['arm']}-{trial.user_attrs['seed']}" if trial else "none"), trial


def test_what_begins_otherwise_is_taken_first(queue: Queue) -> None:
    """Then what the fewest wait for, in the order of the slots."""
    assert [taken(queue)[0] for _ in range(9)] == [
        "ortho-0", "ortho-1", "rate-0", "rate-1", "l2-0", "l2-1", "random-0", "random-1", "none",
    ]  # fmt: skip


def test_who_waits_already_takes_only_what_need_not_wait(queue: Queue) -> None:
    """Until a beginning is trained: then the slots of it follow in their order."""
    first = [taken(queue, apart=True) for _ in range(4)]
    assert [name for name, _ in first] == ["ortho-0", "ortho-1", "rate-0", "rate-1"]
    assert taken(queue, apart=True)[0] == "none"
    trial = first[1][1]
    assert trial is not None
    steps = record(STUDY).facts["steps_per_epoch"]  # its s1 is an epoch
    trial.set_user_attr("progress", {"step": steps - 1})
    assert taken(queue, apart=True)[0] == "none"
    trial.set_user_attr("progress", {"step": steps})
    assert [taken(queue, apart=True)[0] for _ in range(2)] == ["l2-1", "none"]


def test_slots_that_a_sampler_draws_keep_their_order(tmp_path: Path) -> None:
    """What they begin with is not known before."""
    storage, spec = new_study(tmp_path / "x.db")
    search = queues(StudyView(storage, spec.name))[1]
    trials = [search.take("w", LEASE, apart=True) for _ in range(4)]
    assert [trial.user_attrs["slot"] for trial in trials if trial] == [0, 1, 2, 3]
