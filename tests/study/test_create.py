"""Creating a study: every choice is tried, everything or nothing is stored, repeating changes nothing."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reprtune.errors import ReprtuneError, SpecError, StudyError, TrackingError
from reprtune.record import storage as stored
from reprtune.record.database import open_storage
from reprtune.settings import Settings
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed
from reprtune.spec.levels import level
from reprtune.spec.sections.confirmation import Confirmation
from reprtune.spec.space import Choice, DurationRange, FloatRange, IntRange
from reprtune.spec.study import Arm
from reprtune.spec.trial import TrialSpec
from reprtune.study import create as creating
from reprtune.study.create import check_search_seeds, create_study, existing, find_facts
from reprtune.study.dry import dry_trials
from reprtune.training.chain import dropping
from studies.repr_ablation import STUDY as ABLATION
from tests.flat import with_fields
from tests.stored import new_study
from tests.tiny_study import STUDY
from tests.work.tiny_worker import LOADED_DATA

# mlflow 3.17 on SQLAlchemy 2.1 warns of itself


def tried(spec: Any) -> list[tuple[str, str, float, int]]:
    return [
        (
            level(trial, "method.criterion") or "",
            str(trial.training.total),
            trial.training.lr,
            level(trial, "method.cycles") or 0,
        )
        for trial in dry_trials(spec).values()
    ]


def test_every_choice_both_ends_of_every_range_and_every_control_is_tried() -> None:
    """One cycle of two steps a side, without repeating what is the same then."""
    space = {
        "training.lr": FloatRange(low=0.01, high=0.2, log=True),
        "method.criterion": Choice(options=("ortho", "l2", "random")),
        "method.s1": DurationRange(low=Duration.parse("1ep"), high=Duration.parse("3ep")),
        "method.cycles": IntRange(low=1, high=4),
    }
    spec = with_fields(STUDY, space=space, controls=(Arm(name="standard", changes={"method": "standard"}),))
    assert sorted(tried(spec)) == [
        ("", "6it", 0.1, 0),  # standard
        ("l2", "6it", 0.1, 1),
        ("ortho", "6it", 0.01, 1),
        ("ortho", "6it", 0.1, 1),  # the base
        ("ortho", "6it", 0.2, 1),
        ("random", "6it", 0.1, 1),
    ]


def test_the_ablation_tries_all_it_searches() -> None:
    """Criteria, both ratios, and the controls; lengths and cycles are cut to one short cycle."""
    names = dry_trials(ABLATION).keys()
    for part in ("the base", "criterion = ortho-dim", "criterion = l2", "criterion = random", "ratio = 0.1",
                 "ratio = 0.6", "arm standard", "arm paper"):  # fmt: skip
        assert any(part in name for name in names), part


def test_a_choice_that_fails_is_named_and_nothing_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dry run finds it before anything is written, MLflow included."""
    original = dropping.drop_filters

    def drop(network: Any, spec: TrialSpec, *rest: Any) -> Any:
        if level(spec, "method.criterion") == "random":
            raise RuntimeError("not for this network")
        return original(network, spec, *rest)

    monkeypatch.setattr(dropping, "drop_filters", drop)
    settings = Settings(runs_dir=tmp_path / "runs")
    with pytest.raises(
        ReprtuneError, match=r"dry run of method\.criterion = random failed: not for this network"
    ):
        create_study(STUDY, settings)
    assert not settings.runs_dir.exists()


def test_facts_are_what_the_data_say() -> None:
    """128 train images in batches of 64; digits has 1,797 of 8x8 in 10 classes, a fifth of them for val."""
    facts = find_facts(STUDY, LOADED_DATA)
    assert (facts["steps_per_epoch"], facts["total_steps"], facts["n_train"]) == (2, 8, 128)
    assert (facts["n_classes"], facts["input_shape"]) == (10, [1, 8, 8])
    assert len(facts["data_digest"]) == 64
    # S1 of 1, 2, 3 epochs, S2 of 1, one or two cycles in 4: 2 (3 + 1) and 2 (2 + 1) are too long
    assert facts["fitting_share"] == pytest.approx(4 / 6)


def test_at_least_a_fifth_of_the_draws_must_fit() -> None:
    """One cycle in 4 epochs with S2 = 1: of S1 = 1 to 15 three fit, exactly a fifth; of 1 to 16, too few."""

    def up_to(high: int) -> Any:
        s1 = DurationRange(low=Duration.parse("1ep"), high=Duration.parse(f"{high}ep"))
        return with_fields(STUDY, space={"method.s1": s1})

    assert find_facts(up_to(15), LOADED_DATA)["fitting_share"] == pytest.approx(0.2)
    with pytest.raises(SpecError, match=r"Only 19% of the draws fit training\.total = 4ep; at least 20%"):
        find_facts(up_to(16), LOADED_DATA)


def test_a_create_that_was_cut_short_is_completed_by_the_next(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After MLflow, before Optuna: the same command again makes the study, and MLflow has one parent run."""
    from reprtune.tracking.mlflow.connection import connect

    def cut(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stored, "create", cut)
        with pytest.raises(KeyboardInterrupt):
            create_study(STUDY, settings)
    assert not stored.names(open_storage(settings.storage_url))
    made, facts = create_study(STUDY, settings)
    again, same = create_study(STUDY, settings)
    assert made and not again and facts == same
    client = connect(settings.mlflow_uri)
    experiment = client.get_experiment_by_name("tiny")
    names = [r.data.tags["reprtune.role"] for r in client.search_runs([experiment.experiment_id])]
    assert set(names) == {"study"}


def test_a_tracking_store_that_fails_leaves_no_study(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow comes first, so that a study that is there can always be tracked."""

    def fail(*_: Any) -> None:
        raise TrackingError("The store is full.")

    monkeypatch.setattr("reprtune.tracking.mlflow.connection.prepare", fail)
    with pytest.raises(TrackingError, match="full"):
        create_study(STUDY, settings)
    assert not stored.names(open_storage(settings.storage_url))


def test_several_creates_at_once_make_one_study(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """One makes it, the others find it."""
    open_storage(settings.storage_url).engine.dispose()
    monkeypatch.setattr("reprtune.tracking.mlflow.connection.prepare", lambda *_: {"name": "tiny", "id": "1"})
    monkeypatch.setattr(creating, "dry_run", lambda *_: None)
    made: list[bool] = []
    threads = [
        threading.Thread(target=lambda: made.append(create_study(STUDY, settings)[0])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False, False, False, True]
    study = stored.read_study(open_storage(settings.storage_url), "tiny")
    assert len(study.trials) == 4 and len(study.controls) == 4


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"slots": 5, "cost": "Not estimated"}, ["search.slots: 4 there, 5 here"]),
        ({"question": "Another?"}, [f"question: {STUDY.question!r} there, 'Another?' here"]),
    ],
    ids=["both", "words alone"],
)
def test_of_another_study_what_is_trained_otherwise_is_told(
    tmp_path: Path, changes: dict[str, Any], told: list[str]
) -> None:
    """The words that change with it are left out, unless they alone differ."""
    storage, _ = new_study(tmp_path / "x.db")
    with pytest.raises(StudyError) as raised:
        existing(storage, with_fields(STUDY, **changes))
    _, *rows = raised.value.message.splitlines()
    assert [row.strip() for row in rows] == told


def test_seeds_that_are_kept_for_repeats_are_refused() -> None:
    """A setting that is drawn twice is trained with them; a stored study of an older version is read all the same."""
    spec = with_fields(STUDY, base=changed(STUDY.base, {"seed": 999_999}), seeds=2)
    with pytest.raises(SpecError, match="must be below 1000000, but got 1000000"):
        check_search_seeds(spec)
    check_search_seeds(with_fields(spec, seeds=1))


def test_a_confirmation_needs_test_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused before anything is written, with the data named."""
    task = LOADED_DATA.task(STUDY.base.task)
    without = replace(task, test=replace(task.test, x=task.test.x[:0], y=task.test.y[:0]))
    monkeypatch.setattr(type(LOADED_DATA), "task", lambda *_: without)
    find_facts(STUDY, LOADED_DATA)
    with pytest.raises(SpecError, match="but the data digits have no test images"):
        find_facts(STUDY.with_section(Confirmation(seeds=(5,))), LOADED_DATA)
