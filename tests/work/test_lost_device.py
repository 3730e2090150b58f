"""A worker whose device is lost: one slot is lost with it, all others are given back, and the process ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from reprtune.record.schema import StudyRecord
from reprtune.settings import Settings
from reprtune.spec.levels import level
from reprtune.spec.space import Choice
from reprtune.states.store import StateStore
from reprtune.training.chain import dropping, trial_networks
from reprtune.training.chain.chain import Chain
from reprtune.training.descent import cuda_graph
from reprtune.training.descent.cuda_graph import CaptureFailed
from reprtune.work.process import Known, MustLeave, WorkerMessage
from reprtune.work.queue import FAULT
from reprtune.work.uncapturable import network_key
from tests.training.broken_cuda import SAID, TEXT, BrokenCuda
from tests.training.tiny import spec
from tests.work.tiny_worker import LOADED_DATA, Counted, create, make_worker, read, search_of, settled, work

pytestmark = pytest.mark.usefixtures("short_lease")
CRITERIA = {"method.criterion": Choice(options=("l2", "random"))}


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> BrokenCuda:
    return BrokenCuda(monkeypatch.setattr)


def left(settings: Settings, **options: Any) -> MustLeave:
    """Run a worker until it must leave."""
    with pytest.raises(MustLeave) as raised:
        make_worker(settings, **options).run()
    return raised.value


def drop(monkeypatch: pytest.MonkeyPatch, fail: Any) -> None:
    """`fail` when filters are dropped by `random`."""
    original = dropping.drop_filters

    def drop_filters(network: Any, trial: Any, *rest: Any) -> Any:
        if level(trial, "method.criterion") == "random":
            fail()
        return original(network, trial, *rest)

    monkeypatch.setattr(dropping, "drop_filters", drop_filters)


def ends(study: StudyRecord) -> list[tuple[int, str]]:
    return [(t.slot, t.outcome) for t in study.trials]


def test_the_slot_that_took_the_device_is_lost_and_goes_on_in_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuda: BrokenCuda
) -> None:
    """From its last state, with its parameters; after the one call that found the device dead nothing more is
    asked of it, and the ticket is free."""
    whole = work(create(tmp_path / "whole", slots=5, controls=(), space=CRITERIA))
    settings = create(tmp_path / "broken", slots=5, controls=(), space=CRITERIA)
    tickets = Counted(5)
    with monkeypatch.context() as patch:
        drop(patch, cuda.fail)
        leave = left(settings, tickets=tickets).left
    assert (leave.why, leave.reason, leave.device, leave.began) == ("device", SAID, "cpu", True)
    assert cuda.asked == ["synchronize"]
    study = read(settings)
    (lost,) = [t for t in study.trials if t.outcome == "lost"]
    n_done = sum(t.outcome == "complete" for t in study.trials)
    assert tickets.n == 5 - n_done and study.pending() == 5 - n_done
    assert lost.params["criterion"] == "random" and lost.lease["worker"]
    assert not list((settings.states / "claims").iterdir())
    frozen = search_of(settings).trials()[lost.number]
    assert frozen.user_attrs[FAULT] == SAID
    cuda.dead = False
    final = work(settings)
    again = next(t for t in final.trials if t.slot == lost.slot and t.outcome == "complete")
    assert again.params == lost.params and 0 < again.result["steps_spent"] < 8
    assert settled(final) == settled(whole)


def test_what_a_worker_holds_beside_it_is_given_back_unharmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuda: BrokenCuda
) -> None:
    """A slot that waited for somebody else's segment is interrupted, not lost, and is not saved on the way."""
    settings = create(tmp_path, slots=1)
    first = Chain(read(settings).spec.arm_cells()[0][2], LOADED_DATA).names[1]
    assert StateStore(settings.states, "elsewhere:1:0").claim(first) is not None
    monkeypatch.setattr(trial_networks.TrialNetworks, "evaluate", lambda *_: cuda.fail())
    assert left(settings).left.why == "device" and cuda.asked == ["synchronize"]
    slots = {(t.slot, t.outcome) for t in read(settings).controls}
    assert {(0, "interrupted"), (0, "waiting"), (1, "lost"), (1, "waiting")} <= slots
    assert (0, "lost") not in slots


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (RuntimeError(TEXT), "error"),
        (torch.AcceleratorError("CUDA error: invalid argument"), "error"),
        (torch.OutOfMemoryError("CUDA out of memory."), "out-of-memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), "out-of-memory"),
    ],
)
@pytest.mark.usefixtures("cuda")
def test_an_error_that_leaves_the_device_alive_is_that_trials_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, outcome: str
) -> None:
    """Whatever CUDA says: the device is asked, and answers; the worker goes on."""

    def fail() -> None:
        raise error

    drop(monkeypatch, fail)
    study = work(create(tmp_path, slots=5, controls=(), space=CRITERIA))
    assert {(t.params["criterion"], t.outcome) for t in study.final()} == {
        ("l2", "complete"),
        ("random", outcome),
    }


def test_no_memory_on_a_dead_device_is_a_lost_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuda: BrokenCuda
) -> None:
    """cuBLAS says so too when it cannot begin on a device that is lost."""

    def fail() -> None:
        cuda.dead = True
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate")

    drop(monkeypatch, fail)
    assert left(create(tmp_path, slots=5, controls=(), space=CRITERIA)).left.reason == SAID


def test_a_device_that_is_lost_between_two_trainings_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuda: BrokenCuda
) -> None:
    """Here while the finished network is written: the slot is complete, the process ends."""
    monkeypatch.setattr("reprtune.work.run_journal.from_chain", lambda *_, **__: cuda.fail())
    settings = create(tmp_path, slots=2, controls=(), space=CRITERIA)
    assert left(settings).left.began
    assert [(t.slot, t.outcome) for t in read(settings).trials] == [(0, "complete"), (1, "waiting")]


def test_a_slot_that_takes_the_device_again_and_again_is_given_up_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuda: BrokenCuda
) -> None:
    """After MAX_LOST processes, which all others do without."""
    monkeypatch.setattr("reprtune.study.queueing.MAX_LOST", 2)
    drop(monkeypatch, cuda.fail)
    settings = create(tmp_path, slots=1, controls=(), space={"method.criterion": Choice(options=("random",))})
    for _ in range(2):
        cuda.dead = False
        left(settings)
    study = read(settings)
    assert ends(study) == [(0, "lost"), (0, "lost"), (0, "error")] and study.pending() == 0
    assert study.trials[-1].result["error"] == f"given up: its worker vanished 2 times ({SAID})"


def test_a_device_that_is_dead_from_the_start_takes_no_slot(tmp_path: Path, cuda: BrokenCuda) -> None:
    """It is tried before anything else, and what it says is handed to the launcher."""
    cuda.dead = True
    settings = create(tmp_path, slots=1, controls=())
    with pytest.raises(MustLeave) as raised:
        make_worker(settings)
    found = raised.value.left
    assert (found.why, found.reason, found.device, found.began) == ("device", SAID, "cpu", False)
    assert read(settings).counts() == {"waiting": 1}


def test_a_worker_takes_over_the_device_of_the_one_before_or_leaves(tmp_path: Path) -> None:
    """Another is no replacement: a study would go on with it unseen, on a CPU perhaps."""
    settings = create(tmp_path, slots=1, controls=())
    with pytest.raises(MustLeave) as raised:
        make_worker(settings, known=Known(device="cuda:7"))
    assert raised.value.left.device == "cuda:7" and "cuda:7 is not there" in raised.value.left.reason
    assert make_worker(settings, known=Known(device="cpu")).lease["device"] == "cpu"


# -- captures that fail ----------------------------------------------------------------------------


def test_a_step_that_cannot_be_captured_gives_its_slot_back_and_is_eager_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not lost, not an error; the next process, which is told, does not try, and says so in `device`."""

    def refuse(*_: Any) -> None:
        raise CaptureFailed("It cannot be captured: no.", "Hint.") from RuntimeError(
            "operation not permitted\nmore"
        )

    monkeypatch.setattr(cuda_graph, "why_eager", lambda *_: None)
    monkeypatch.setattr(cuda_graph, "capture_on_cuda", refuse)
    settings = create(tmp_path, slots=2, controls=(), space=CRITERIA)
    tickets = Counted(9)
    leave = left(settings, tickets=tickets).left
    assert (leave.why, leave.reason, leave.began) == ("capture", "operation not permitted", True)
    assert ends(read(settings)) == [(0, "waiting"), (1, "waiting"), (0, "interrupted")] and tickets.n == 9
    known = Known(uncapturable={leave.network: leave.reason})
    make_worker(settings, known=known).run()
    study = read(settings)
    said = "eager: a graph of it could not be captured: operation not permitted"
    assert study.counts() == {"complete": 2, "interrupted": 1}
    assert all(t.result["device"].endswith(f", {said}") for t in study.complete())


def test_what_cannot_be_captured_is_known_by_its_network_and_not_by_what_is_drawn() -> None:
    """One failure is enough for all trials of a search; another network, precision or optimizer is tried."""
    key = network_key(spec())
    for path, value in {"training.lr": 0.2, "seed": 5, "training.batch_size": 8, "method.cycles": 0}.items():
        assert network_key(spec(**{path: value})) == key
    others = [
        {"model.width": 7},
        {"model.name": "resnet-8"},
        {"training.precision": "bf16"},
        {"training.optimizer": "adam"},
        {"task.augment": "crop"},
    ]
    assert len({key, *(network_key(spec(**changes)) for changes in others)}) == 6


# -- the launcher's picture ------------------------------------------------------------------------


def test_a_worker_says_which_of_its_trials_it_turns_to(tmp_path: Path) -> None:
    """Before it builds and trains: so that of a worker that dies only that one counts as lost."""
    settings = create(tmp_path, slots=2, controls=(), space=CRITERIA)
    heard: list[WorkerMessage] = []
    work(settings, heard=heard.append)
    busy = [what.trial_id for what in heard if what.kind == "busy"]
    ids = {t.user_attrs["slot"]: t._trial_id for t in search_of(settings).trials()}
    assert list(dict.fromkeys(busy)) == [ids[0], ids[1]]
    kinds = [what.kind for what in heard]
    assert kinds.index("busy") < kinds.index("begin") and heard[kinds.index("busy")].device == "cpu"
