"""A path in a stored study: workers train each cell once, whoever is killed, and choose the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path as FilePath

import pytest
from optuna.storages import RDBStorage

from reprtune.analysis.controls import arm_summaries
from reprtune.analysis.decisions import decisions
from reprtune.analysis.path import Walked, walk
from reprtune.analysis.tables import trial_rows
from reprtune.errors import SpecError, StudyError
from reprtune.record import storage as stored
from reprtune.record.database import open_storage
from reprtune.record.schema import StudyRecord
from reprtune.record.slots import find_slot, trial_spec
from reprtune.settings import Settings
from reprtune.spec.branch import Branch
from reprtune.spec.edit import changed
from reprtune.spec.sections.confirmation import Confirmation
from reprtune.spec.study import Arm, Arms, Path, Search, StudySpec
from reprtune.study.branch import plan_branch
from reprtune.study.export import slot_network
from reprtune.study.recompute import recompute
from reprtune.study.repair import repair_study
from reprtune.tracking.journal import Journal
from tests.stored import new_study
from tests.study.two_databases import (
    KILLED,
    all_at_once,
    finish,
    in_child,
    kill_minus_9,
    queue_of,
    refill_once,
    url_of,
)
from tests.tiny_study import STUDY
from tests.work.queueing import end, take
from tests.work.tiny_worker import create, make_worker, read, work, work_together

START = Arm(name="start", changes={"method": "standard", "training.lr": 0.001})
END = Arm(
    name="end",
    changes={"method": "standard", "training.lr": 0.05, "training.momentum": 0.5, "model.width": 4},
)
SEARCH = STUDY.search


def tiny(
    design: Path | None = None, *more: Search | Confirmation, seeds: tuple[int, ...] = (0, 1)
) -> StudySpec:
    section = Arms(name="path", design=design or Path(start=START, end=END), seeds=seeds)
    return replace(STUDY, sections=(section, *more))


def walked(study: StudyRecord) -> Walked:
    return walk(study.spec.comparisons[0], study)


def cells(study: StudyRecord) -> list[tuple[str | None, int]]:
    return [(t.arm, t.seed) for t in study.of("path")]


def study_in(storage: RDBStorage) -> StudyRecord:
    return stored.read_study(storage, "tiny")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Of the runs folder in which one worker has trained it, undisturbed."""
    settings = create(tmp_path_factory.mktemp("alone"), spec=tiny())
    work(settings)
    return settings


@pytest.fixture(scope="module")
def trained(settings: Settings) -> StudyRecord:
    return read(settings)


def test_a_worker_walks_the_path_to_its_end(trained: StudyRecord) -> None:
    """3 changes: 7 arms with 2 seeds, each cell once; every arm is what its changes say, and the stages choose what the
    stored errors say."""
    found = walked(trained)
    assert found.is_finished and trained.pending() == 0
    assert len(cells(trained)) == len(set(cells(trained))) == 7 * 2
    assert {t.outcome for t in trained.of("path")} == {"complete"}
    errors = Counter[str]()
    for t in trained.of("path"):
        errors[str(t.arm)] += (t.values or {})["val_error"]
    for stage in found.stages:
        assert errors[str(stage.chosen)] == min(errors[one.arm] for one in stage.candidates)
    start, end = (changed(STUDY.base, arm.changes) for arm in (START, END))
    for t in trained.of("path"):
        spec = trial_spec(trained, t)
        words = {"lr": "training", "momentum": "training", "width": "model"}
        for word, head in words.items():
            is_new = t.arm == "end" or word in str(t.arm).split("--")
            assert getattr(getattr(spec, head), word) == getattr(
                getattr(end if is_new else start, head), word
            )


def test_workers_together_and_one_that_is_killed_walk_the_same_path(
    trained: StudyRecord, tmp_path: FilePath
) -> None:
    """Two at once; and one that is killed after every second slot, whose work the next one takes up."""
    settings = create(tmp_path / "two", spec=tiny())
    together = work_together(settings, 2)
    assert Counter(cells(together)) == Counter(cells(trained))

    settings = create(tmp_path / "killed", spec=tiny())
    for n in (1, 3, 5):

        def die(n: int = n) -> None:
            worker, ended = make_worker(settings), list[int]()
            plain = worker._ended

            def end(attempt: object) -> None:
                ended.append(1)
                if len(ended) == n:
                    kill_minus_9()  # after its outcome was written, and before anybody asked what follows
                plain(attempt)  # type: ignore[arg-type]

            worker._ended = end  # type: ignore[method-assign]
            worker.run()

        assert in_child(die) == KILLED
    resumed = work(settings)
    for study in (together, resumed):
        done = [(t.arm, t.seed) for t in study.of("path") if t.outcome == "complete"]
        assert len(done) == len(set(done)) and set(done) == set(cells(trained))
        assert walked(study) == walked(trained)


def test_many_who_ask_at_once_queue_every_cell_once(tmp_path: FilePath) -> None:
    """The ends are finished, and eight find it so at the same moment; then a stage is, and again."""
    storage, _ = new_study(tmp_path / "x.db", spec=tiny(seeds=(0,)))
    assert cells(study_in(storage)) == [("start", 0), ("end", 0)]
    finish(queue_of(storage, "path"), 0.5, 0.1)
    assert sorted(all_at_once(url_of(storage), 8, refill_once)) == [*[0] * 7, 3]
    finish(queue_of(storage, "path"), 0.4, 0.3)
    assert refill_once(storage) == 0
    finish(queue_of(storage, "path"), 0.35)
    assert sorted(all_at_once(url_of(storage), 8, refill_once)) == [*[0] * 7, 2]
    finish(queue_of(storage, "path"), 0.3, 0.2)
    assert refill_once(storage) == 0 and study_in(storage).pending() == 0
    study = study_in(storage)
    assert len(cells(study)) == len(set(cells(study))) == 7 and walked(study).is_finished
    names = list(walked(study).changes)
    assert [step.change for step in walked(study).steps] == [names[1], names[2], names[0]]


def test_a_repaired_run_is_waited_for_and_may_turn_the_path(tmp_path: FilePath) -> None:
    """A candidate that failed is passed over; repaired it holds the path up, and better it is chosen. What was queued stays
    in the record, and nothing of it is queued again."""
    storage, _ = new_study(tmp_path / "x.db", spec=tiny(seeds=(0,)))
    finish(queue_of(storage, "path"), 0.5, 0.1)
    refill_once(storage)
    finish(queue_of(storage, "path"), "error", 0.4, 0.45)
    assert refill_once(storage) == 2
    before = cells(study_in(storage))
    repair_study(storage, "tiny")
    assert refill_once(storage) == 0 and walked(study_in(storage)).stages[-1].chosen is None
    finish(queue_of(storage, "path"), 0.3, 0.3, 0.2)
    assert refill_once(storage) == 1
    after = cells(study_in(storage))
    assert after[: len(before)] == before and len(after) == len(before) + 2


# -- the best of a search as the end -----------------------------------------------------------------


def to_leader(top: int = 1) -> StudySpec:
    design = Path(start=START, end="leader", together=(("method.schedule", "method.criterion", "method.selection", "method.drop", "method.restore", "method.restore_rules"),))  # fmt: skip
    assert SEARCH is not None
    return tiny(design, replace(SEARCH, slots=2), Confirmation(top=top, seeds=(5,)), seeds=(0,))


def test_a_path_to_the_leader_waits_for_the_search_and_keeps_its_end(tmp_path: FilePath) -> None:
    """Only the start is asked for before; the end is the best once the search is finished, and stays it when a repaired slot
    has overtaken it."""
    storage, _ = new_study(tmp_path / "x.db", spec=to_leader())
    assert cells(study_in(storage)) == [("start", 0)]
    finish(queue_of(storage, "path"), 0.5)
    finish(queue_of(storage, "search"), "error")
    assert refill_once(storage) == 0
    finish(queue_of(storage, "search"), 0.2)
    refill_once(storage)
    assert cells(study_in(storage))[1:] == [("start--slot-1", 0)]
    repair_study(storage, "tiny")
    finish(queue_of(storage, "path"), 0.25)
    finish(queue_of(storage, "search"), 0.1)
    refill_once(storage)
    study = study_in(storage)
    assert {str(arm) for arm, _ in cells(study) if "slot" in str(arm)} == {"start--slot-1"}
    found = walked(study)
    assert found.end is not None and found.end.arm == "start--slot-1" and len(found.stages) == 1
    leader = next(t for t in study.of("path") if t.arm == "start--slot-1")
    drawn = next(t for t in study.trials if t.slot == 1 and t.outcome == "complete")
    assert trial_spec(study, leader) == study.spec.trial(drawn.params)


def test_a_path_to_the_leader_is_trained_by_whoever_trained_the_search(tmp_path: FilePath) -> None:
    """One worker, to the end; the confirmation has the declared arm and the leader, and no step of the path."""
    study = work(create(tmp_path, spec=to_leader()))
    found = walked(study)
    assert study.pending() == 0 and found.is_finished
    assert len(cells(study)) == len(set(cells(study)))
    assert {t.arm for t in study.confirmation} == {
        "start",
        str(found.end.arm if found.end else "").removeprefix("start--"),
    }
    assert max(t.ended or 0 for t in study.trials) <= min(
        t.started or 0 for t in study.of("path") if t.arm != "start"
    )


def test_a_leader_that_cannot_be_reached_is_refused_at_create(tmp_path: FilePath) -> None:
    """From plain training no single place of RePr does anything: told before anything is trained."""
    assert SEARCH is not None
    spec = tiny(Path(start=START, end="leader"), replace(SEARCH, slots=2))
    with pytest.raises(SpecError, match=r"path\.design finds no change that can be made by itself"):
        create(tmp_path, spec=spec)


# -- beside the path ---------------------------------------------------------------------------------


def test_steps_do_no_harm_elsewhere(trained: StudyRecord) -> None:
    """Declared are start and end: only they are summarised and decided about; each run is in the table, under its name."""
    assert [arm.arm for arm in arm_summaries(trained)] == ["start", "end"]
    assert [(one.rule.arm, one.rule.control, one.left) for one in decisions(trained)] == [("end", "start", 0)]
    assert {row["arm"] for row in trial_rows(trained)} == {t.arm for t in trained.of("path")}
    step = next(t for t in trained.of("path") if t.arm == "start--lr")
    assert find_slot(trained, f"start--lr-s{step.seed}").seed == step.seed
    assert trial_spec(trained, step).training.lr == 0.05


def test_a_step_is_trained_again_exported_and_shown_like_any_arm(
    settings: Settings, trained: StudyRecord
) -> None:
    """By its name: the same curve and weights, a network with the step's width, a journal of its own; only branched it is
    not, for it is no declared arm."""
    again = recompute(settings, trained, "start--width-s1", lambda *_: None)
    assert again.equal and {check.what for check in again.seeds[0].checks} >= {"weights", "test_error"}
    network = slot_network(settings, trained, "start--width-s1")
    assert network.spec.model.width == 4 and network.spec.training.lr == 0.001
    assert "path-start--width-s1" in Journal(settings.journal_dir, "tiny").slots()
    with pytest.raises(StudyError, match="it is a step of a path"):
        plan_branch(trained, "start--width-s1", Branch(at="2ep", changes={"training.lr": 0.01}))


def test_a_worker_waits_while_another_holds_up_a_stage(tmp_path: FilePath) -> None:
    """Nothing is queued while the last run of a stage is trained; what follows from it is worth waiting for, however long it
    takes, and once the path is at its end nothing is."""
    settings = create(tmp_path, spec=tiny(seeds=(0,)))
    storage = open_storage(settings.storage_url)
    worker = make_worker(settings)
    finish(queue_of(storage, "path"), 0.5)
    held = take(queue_of(storage, "path"), "another")
    assert worker._worth_waiting(1e6)
    end(queue_of(storage, "path"), held, values=[0.1])
    refill_once(storage)
    finish(queue_of(storage, "path"), 0.4, 0.3, 0.2)
    refill_once(storage)
    finish(queue_of(storage, "path"), 0.3)
    held = take(queue_of(storage, "path"), "another")
    assert not worker._worth_waiting(1e6)  # the last runs there can be
    worker.storage.engine.dispose()
