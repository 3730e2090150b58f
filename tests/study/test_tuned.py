"""Arms that are tuned, in a stored study: the same tries for each, then fresh seeds with the best of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import RDBStorage

from reprtune.analysis.standard_curve import is_usable
from reprtune.analysis.tuned import Tuned, tuned
from reprtune.errors import StudyError
from reprtune.record import storage as stored
from reprtune.record.schema import StudyRecord
from reprtune.record.slots import find_slot, trial_spec
from reprtune.spec.branch import Branch
from reprtune.spec.sections.confirmation import Confirmation
from reprtune.spec.sections.tune import FIRST_SEED
from reprtune.spec.study import StudySpec, Until
from reprtune.study.branch import plan_branch
from reprtune.study.confirm import plan_confirmation
from reprtune.study.extend import extend_study
from reprtune.study.recompute import recompute
from reprtune.study.repair import repair_study
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
from tests.tiny_study import STUDY as TINY
from tests.tuned_study import ARMS
from tests.tuned_study import STUDY as TUNED
from tests.work.tiny_worker import create, make_worker, read, work, work_together

SPEC = replace(TUNED, name=TINY.name)  # the workers of tests know that name


def of(study: StudyRecord, arm: str) -> Tuned:
    section = study.spec.comparisons[0]
    return tuned(section, study)[arm]


def study_in(storage: RDBStorage) -> StudyRecord:
    return stored.read_study(storage, TINY.name)


def with_ends(tmp_path: Path, *errors: float | str, **fields: Any) -> RDBStorage:
    """Tries that ended so: the first of standard, of base, the second of standard, and so on; then asked what follows."""
    storage, _ = new_study(tmp_path / "x.db", spec=replace(SPEC, sections=(replace(ARMS, **fields),)))
    finish(queue_of(storage, "arms"), *errors)
    refill_once(storage)
    return storage


def runs(study: StudyRecord, arm: str) -> list[int]:
    return sorted(t.seed for t in study.controls if t.arm == arm)


def settings(study: StudyRecord, arm: str) -> list[Any]:
    """All different ones that runs of an arm have."""
    found: list[Any] = []
    for t in study.of("arms"):
        if t.arm == arm and t.settings not in found:
            found.append(t.settings)
    return found


# -- what is chosen ----------------------------------------------------------------------------------


def test_tries_come_first_and_an_arm_waits_for_its_own_alone(tmp_path: Path) -> None:
    """Three tries of each on a seed that nothing else has; the two seeds of `standard` while a try of base is left."""
    storage = with_ends(tmp_path)
    study = study_in(storage)
    assert [(t.arm, t.seed) for t in study.of("arms")] == [
        (f"{arm}.try-{n}", FIRST_SEED) for n in range(3) for arm in ("standard", "base")
    ]
    assert study.controls == () and study.pending() == 6 + 4 == SPEC.planned(ARMS)
    finish(queue_of(storage, "arms"), 0.3, 0.3, 0.1, 0.2, 0.2)
    assert refill_once(storage) == 2
    study = study_in(storage)
    assert (runs(study, "standard"), runs(study, "base")) == ([0, 1], [])
    assert study.pending() == 1 + 4 and study.may_want_more("arms")


def test_the_best_try_gives_the_settings_of_all_runs(tmp_path: Path) -> None:
    """Lowest validation error; of equals the first, and a diverged one counts with chance error."""
    study = study_in(with_ends(tmp_path, 0.3, "diverged", 0.1, 0.2, 0.2, 0.2))
    chance = of(study, "base").tries[0]
    assert (of(study, "standard").best, of(study, "base").best) == (1, 1)
    assert of(study, "standard").errors == (0.1, 0.2, 0.3) and chance.n_diverged == 1
    for arm in ("standard", "base"):
        assert settings(study, arm) == settings(study, f"{arm}.try-1")
        assert runs(study, arm) == [0, 1]


def test_a_try_of_several_seeds_counts_with_their_mean(tmp_path: Path) -> None:
    """0.1 and 0.4 are worse than twice 0.2."""
    tune = replace(ARMS.tune, seeds=2, tries=2)  # type: ignore[type-var]
    errors = (
        0.1,
        0.5,
        0.4,
        0.5,
        0.2,
        0.3,
        0.2,
        0.3,
    )  # standard, base on the first seed of try 0; on the second; try 1
    study = study_in(with_ends(tmp_path, *errors, tune=tune))
    assert of(study, "standard").best == 1 and of(study, "standard").errors == pytest.approx((0.2, 0.25))


def test_a_failed_try_is_passed_over_and_an_arm_without_any_stays_as_declared(tmp_path: Path) -> None:
    """All tries of standard failed; base has one left."""
    study = study_in(with_ends(tmp_path, "error", "error", "error", 0.6, "error", "error"))
    assert (of(study, "standard").best, of(study, "base").best) == (None, 1)
    assert settings(study, "standard") == [{"method": "standard"}] and runs(study, "standard") == [0, 1]


def test_what_was_queued_stays_when_a_repaired_try_is_better(tmp_path: Path) -> None:
    """All runs of an arm have the same settings, those of later seeds too."""
    storage = with_ends(tmp_path, 0.3, 0.3, 0.2, "error", 0.4, 0.4)
    before = settings(study_in(storage), "base")
    repair_study(storage, TINY.name)
    finish(queue_of(storage, "arms"), 0.1, *[0.3] * 4)
    refill_once(storage)
    extend_study(storage, TINY.name, 1)
    study = study_in(storage)
    assert of(study, "base").best == 0 and of(study, "base").errors[0] == 0.1
    assert settings(study, "base") == before and runs(study, "base") == [0, 1, 2]


def test_seeds_that_are_added_by_results_have_the_tuned_settings(tmp_path: Path) -> None:
    """Three seeds that leave the comparison open; two more, with what was chosen."""
    storage = with_ends(tmp_path, *[0.3, 0.2] * 3, seeds=(0, 1, 2), until=Until(most=5))
    assert study_in(storage).may_want_more("arms")
    finish(queue_of(storage, "arms"), 0.2, 0.3, 0.4, 0.3, 0.25, 0.36)
    assert refill_once(storage) == 4
    study = study_in(storage)
    assert runs(study, "base") == [0, 1, 2, 3, 4] and settings(study, "base") == settings(study, "base.try-0")


def test_many_who_ask_at_once_queue_every_cell_once(tmp_path: Path) -> None:
    """The tries are finished, and eight find it so at the same moment."""
    storage, _ = new_study(tmp_path / "x.db", spec=SPEC)
    finish(queue_of(storage, "arms"), *[0.5] * 6)
    assert sorted(all_at_once(url_of(storage), 8, refill_once)) == [*[0] * 7, 4]


# -- trained -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Settings and record of a study that one worker has trained, undisturbed, and confirmed."""
    settings = create(tmp_path_factory.mktemp("alone"), spec=SPEC)
    return settings, work(settings)


def test_tries_are_measured_on_the_validation_part_alone(alone: Any) -> None:
    """Runs of arms have a test error; tries, by which settings are chosen, never."""
    _, study = alone
    assert len(study.tries) == 6 and len(study.controls) == 4
    assert all("test_error" in t.result for t in study.controls)
    assert not any("test_error" in t.result or "test_loss" in t.result for t in study.tries)
    assert all(t.outcome == "complete" for t in study.everything)


def test_what_tries_spent_is_counted(alone: Any) -> None:
    """8 steps for each of three tries of each arm, less where beginnings are shared; the seconds of its attempts."""
    _, study = alone
    for arm in ("standard", "base"):
        found = of(study, arm)
        own = [t for t in study.tries if str(t.arm).startswith(arm)]
        seconds = sum(one.seconds for one in found.tries)
        assert seconds == pytest.approx(sum(t.result["seconds_spent"] for t in own)) and seconds > 0
        assert 8 <= sum(one.steps for one in found.tries) <= 3 * 8


def test_two_workers_train_each_cell_once_and_go_on_after_a_kill(alone: Any, tmp_path: Path) -> None:
    """Killed after the last try was written and before anybody asked what follows; then two workers at once. Every try and
    every run of an arm is complete once, with the settings of the best try: the same as undisturbed."""
    folder = create(tmp_path, spec=SPEC)

    def die() -> None:
        worker, ended = make_worker(folder), list[int]()
        plain = worker._ended

        def end(attempt: object) -> None:
            ended.append(1)
            if len(ended) == 6:
                kill_minus_9()
            plain(attempt)  # type: ignore[arg-type]

        worker._ended = end  # type: ignore[method-assign]
        worker.run()

    assert in_child(die) == KILLED
    assert {t.arm for t in read(folder).controls} == {"standard"}
    study = work_together(folder, 2)
    done = Counter((t.arm, t.seed) for t in study.everything if t.outcome == "complete")
    assert len(done) == 10 and set(done.values()) == {1}
    for arm in ("standard", "base"):
        tries = [t for t in study.tries if str(t.arm).startswith(f"{arm}.try-")]
        best = min(tries, key=lambda t: ((t.values or {})["val_error"], str(t.arm)))
        assert [t.settings for t in study.controls if t.arm == arm] == [best.settings] * 2
        assert of(study, arm).settings == of(alone[1], arm).settings


def test_what_follows_takes_the_tuned_settings(alone: Any) -> None:
    """A confirmation with the next free seeds, and a branch; a try cannot be branched, and is recomputed like any run."""
    settings, study = alone
    plan = plan_confirmation(study, n_seeds=2)
    assert plan.seeds == (2, 3)
    assert {arm: dict(changes) for arm, changes in plan.arms.items()} == {
        arm: dict(of(study, arm).settings or {}) for arm in ("standard", "base")
    }
    branch = Branch(at="2ep", changes={"method.restore": "random"})
    branched = plan_branch(study, "base-s0", branch)
    assert branched.trial.trunk.training.lr == trial_spec(study, find_slot(study, "base-s0")).training.lr
    with pytest.raises(StudyError, match="it is a try, by which an arm was tuned"):
        plan_branch(study, f"base.try-0-s{FIRST_SEED}", branch)
    again = recompute(settings, study, f"base.try-0-s{FIRST_SEED}", lambda *_: None)
    assert again.equal and "test_error" not in {check.what for check in again.seeds[0].checks}


def test_a_confirmation_that_is_declared_trains_the_tuned_arms(tmp_path: Path) -> None:
    """Queued when the arms are finished, with what was chosen for each."""
    spec = replace(SPEC, sections=(ARMS, Confirmation(top=0, seeds=(7,))))
    storage, _ = new_study(tmp_path / "x.db", spec=spec)
    finish(queue_of(storage, "arms"), 0.3, 0.3, 0.1, 0.2, 0.2, 0.1)
    refill_once(storage)
    assert study_in(storage).confirmation == ()
    finish(queue_of(storage, "arms"), *[0.2] * 4)
    refill_once(storage)
    study = study_in(storage)
    assert {t.arm: t.settings for t in study.confirmation} == {
        "standard": settings(study, "standard.try-1")[0],
        "base": settings(study, "base.try-2")[0],
    }


def test_a_tuned_standard_is_no_yardstick_of_a_stop_rule() -> None:
    """Its learning rate is found by results, so that trials of a search are not comparable with it."""
    section = replace(TINY.comparisons[0], tune=ARMS.tune)
    search = replace(
        TINY.search, space={"method.prune_ratio": ARMS.tune.space["method.selection.prune_ratio"]}
    )  # type: ignore[union-attr,type-var]
    tuned_spec: StudySpec = replace(TINY, sections=(section, search))
    assert is_usable(replace(TINY, sections=(TINY.comparisons[0], search))) and not is_usable(tuned_spec)
