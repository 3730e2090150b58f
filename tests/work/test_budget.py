"""What the search may spend: a cap over all workers and attempts, passed by at most a segment each."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dashboards.terminal import status
from reprtune.record.database import open_storage
from reprtune.record.schema import StudyRecord
from reprtune.record.storage import read_spent, write_spent
from reprtune.settings import Settings
from reprtune.spec.sections.confirmation import Confirmation
from reprtune.spec.space import FloatRange
from reprtune.spec.study import Arm
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.member import Member
from reprtune.training.chain.trial_networks import TrialNetworks
from reprtune.work.budget import Budget
from reprtune.work.process import WorkerMessage, worker_name
from tests.flat import with_fields
from tests.stored import new_study
from tests.tiny_study import STUDY
from tests.work.tiny_worker import LOADED_DATA, create, read, search_of, work, work_together

pytestmark = pytest.mark.usefixtures("short_lease")
SPACE = {"training.lr": FloatRange(low=0.001, high=0.1, log=True)}
PARTS: dict[str, Any] = {"space": SPACE, "slots": 6, "controls": ()}


@pytest.fixture(scope="module")
def cost() -> tuple[float, float]:
    """GFLOPs of a trial and of its dearest segment, trained alone."""
    run = Chain(STUDY.base, LOADED_DATA)
    assert sum(1 for _ in run) > 0
    totals = [0.0, *(point.gflops for point in run.history.points)]
    return totals[-1], max(after - before for before, after in pairwise(totals))


def begun(study: StudyRecord) -> list[int]:
    """Slots of the search that were ended over budget after they had begun."""
    return [t.slot for t in study.trials if t.outcome == "over-budget" and t.history and t.history.points]


def test_no_trial_begins_after_the_cap_and_the_one_that_runs_ends_at_its_next_segment(
    tmp_path: Path, cost: tuple[float, float]
) -> None:
    """2.6 trials' worth: two complete, one ended with its curve, three never begun; controls run all the same."""
    whole, segment = cost
    cap = 2.6 * whole
    settings = create(tmp_path, **{**PARTS, "controls": (Arm(name="base"),)}, max_gflops=cap)
    study = work(settings)
    assert study.pending() == 0 and study.counts() == {"complete": 2, "over-budget": 4}
    assert begun(study) == [2] and {t.outcome for t in study.controls} == {"complete"}
    assert cap <= study.spent[1] <= cap + segment and study.is_over_budget()
    assert study.spent[1] == pytest.approx(sum(t.result.get("gflops_spent", 0) for t in study.trials))
    assert "used up what it may spend" in status(study) and "4 over-budget" in status(study)
    assert work(settings) == study, "and later neither"


def test_several_workers_pass_the_cap_by_at_most_a_segment_each(
    tmp_path: Path, cost: tuple[float, float]
) -> None:
    """Three at once: the sum is over all of them."""
    whole, segment = cost
    cap = 3.3 * whole
    study = work_together(create(tmp_path, **{**PARTS, "slots": 9}, max_gflops=cap), 3)
    assert study.pending() == 0 and set(study.counts()) == {"complete", "over-budget"}
    assert cap <= study.spent[1] <= cap + 3 * segment
    assert len(read_accounts(tmp_path)) == 3


def read_accounts(folder: Path) -> dict[str, tuple[float, float]]:
    storage = open_storage(Settings(runs_dir=folder).storage_url)
    try:
        return read_spent(storage, "tiny")
    finally:
        storage.engine.dispose()


def test_what_interrupted_and_lost_attempts_spent_counts(tmp_path: Path, cost: tuple[float, float]) -> None:
    """A worker vanishes in slot 0, and what it leaves is not there to go on from: the cap holds."""
    whole, segment = cost
    cap = 2.6 * whole
    settings = create(tmp_path, **PARTS, max_gflops=cap)
    search = search_of(settings)
    vanished: list[int] = []

    def heard(what: WorkerMessage) -> None:
        if what.kind == "progress" and what.step == 4 and not vanished:
            vanished.append(search.release_worker(worker_name(0)))
            for path in settings.states.rglob("*.state"):
                path.unlink()

    study = work(settings, heard=heard)
    counts = study.counts()
    assert vanished == [1] and counts["lost"] == 1 and study.pending() == 0
    assert cap <= study.spent[1] <= cap + segment
    trained = sum(t.result.get("gflops_spent", 0) for t in study.trials)
    assert trained < study.spent[1], "the lost attempt wrote no result, and still counts"


def leave_after(n: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """True once so many steps were trained."""
    steps = 0
    original = Member.advance

    def advance(self: TrialNetworks, index: int) -> None:
        nonlocal steps
        steps += 1
        original(self, index)

    monkeypatch.setattr(Member, "advance", advance)
    return lambda: steps >= n


@pytest.mark.parametrize("limit", ["max_seconds", "max_gflops"])
def test_a_slot_that_waits_to_go_on_keeps_its_curve_when_the_cap_is_reached(
    tmp_path: Path, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker leaves in the middle of slot 0; elsewhere the rest is spent; nothing is trained any more."""
    settings = create(tmp_path, **PARTS, **{limit: 1000.0})
    left = work(settings, leaving=leave_after(5, monkeypatch))
    assert left.counts() == {"waiting": 6, "interrupted": 1} and min(left.spent) > 0
    account = (1000.0, 0.0) if limit == "max_seconds" else (0.0, 1000.0)
    write_spent(search_of(settings).storage, "tiny", "elsewhere:1:0", account)
    study = work(settings)
    assert study.counts() == {"over-budget": 6, "interrupted": 1} and study.pending() == 0
    assert begun(study) == [0] and next(t for t in study.final() if t.slot == 0).last_step == 4
    before = left.spent[0] + account[0], left.spent[1] + account[1]
    assert study.spent == pytest.approx(before)


def test_a_budget_that_is_not_reached_changes_nothing(tmp_path: Path) -> None:
    """The same draws and curves as without one, and no account where there is no limit."""
    ends = []
    for name, limits in (("with", {"max_seconds": 1e6, "max_gflops": 1e9}), ("without", {})):
        study = work(create(tmp_path / name, **{**PARTS, "slots": 2}, **limits))
        assert study.counts() == {"complete": 2} and not study.is_over_budget()
        ends.append([(t.params, t.values) for t in study.complete()])
    assert ends[0] == ends[1]
    assert (
        read_accounts(tmp_path / "without") == {} and read(Settings(runs_dir=tmp_path / "with")).spent[1] > 0
    )


def test_a_study_without_a_search_is_its_controls(tmp_path: Path) -> None:
    """No slots, no space: the controls are trained, and its status says so."""
    settings = create(tmp_path, slots=0, space={})
    study = work(settings)
    assert study.pending() == 0 and not study.trials
    assert [t.outcome for t in study.controls] == ["complete"] * 4
    assert "4 of 4 runs of arms are finished" in status(study)


def test_accounts_go_on_and_add_up(tmp_path: Path) -> None:
    """A process number that is used again adds to what is there; the limit, of either kind, is on the sum."""
    storage, spec = new_study(tmp_path / "x.db", max_seconds=10.0, max_gflops=100.0)
    first, again, other = (Budget(storage, spec, worker) for worker in ("h:1:0", "h:1:0", "h:2:0"))
    first.add(3.0, 20.0)
    first.add(1.0, 5.0)
    again.add(2.0, 10.0)
    other.add(0.0, 0.0)
    assert read_spent(storage, spec.name) == {"h:1:0": (6.0, 35.0)}
    assert not other.is_used_up()
    other.add(4.0, 0.0)
    assert read_spent(storage, spec.name) == {"h:1:0": (6.0, 35.0), "h:2:0": (4.0, 0.0)}
    assert other.is_used_up() and Budget(storage, spec, "h:3:0").is_used_up(), "10 of 10 seconds"
    storage.engine.dispose()


def test_a_search_that_ends_over_budget_lets_its_confirmation_begin(
    tmp_path: Path, cost: tuple[float, float]
) -> None:
    """The same worker goes on with what was declared for the end of the search, whose last slots never began."""
    spec = with_fields(STUDY, **PARTS, max_gflops=1.5 * cost[0])
    confirmation = Confirmation(top=1, seeds=(5,))
    study = work(create(tmp_path, spec=spec.with_section(confirmation)))
    assert study.counts() == {"complete": 1, "over-budget": 5}
    assert [t.outcome for t in study.confirmation] == ["complete"] and study.pending() == 0
