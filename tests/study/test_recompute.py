"""A recorded trial trained again: equal where it is, and otherwise what differs first."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from reprtune.errors import StudyError
from reprtune.history import History
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.settings import Settings
from reprtune.spec.study import Arm
from reprtune.states.store import StateStore
from reprtune.study.recompute import IN_USE, Recomputed, compare_histories, compare_tensors, recompute
from reprtune.training.chain.state import decode, encode
from tests.command import Command
from tests.flat import with_attempts
from tests.study.test_confirm import FITTING, confirm
from tests.tiny_study import STUDY
from tests.work.tiny_worker import create, read, work


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The tiny study with two slots, finished and confirmed with one leader and one seed."""
    settings = create(tmp_path_factory.mktemp("recompute"), space=FITTING, slots=2)
    work(settings)
    confirm(settings, top=1, n_seeds=1)
    return settings


@pytest.fixture(scope="module")
def study(settings: Settings) -> StudyRecord:
    return read(settings)


def files(folder: Path) -> dict[str, bytes]:
    kept = (p for p in folder.rglob("*") if p.is_file() and p.suffix in (".state", ".db", ".jsonl"))
    return {str(p.relative_to(folder)): p.read_bytes() for p in kept}


def again(settings: Settings, study: StudyRecord, name: str, *, keep: bool = False) -> Recomputed:
    return recompute(settings, study, name, lambda *_: None, keep=keep)


def whats(found: Recomputed) -> dict[str, bool | None]:
    return {check.what: check.equal for seed in found.seeds for check in seed.checks}


def detail(found: Recomputed, what: str) -> str:
    return next(c.detail for seed in found.seeds for c in seed.checks if c.what == what)


def altered(study: StudyRecord, slot: int, **fields: object) -> StudyRecord:
    """The study with another record of one trial of its search."""
    trials = tuple(replace(t, **fields) if t.slot == slot else t for t in study.trials)  # type: ignore[arg-type]
    return with_attempts(study, trials=trials)


def history(study: StudyRecord, slot: int) -> History:
    found = next(t.history for t in study.trials if t.slot == slot)
    assert found is not None
    return found


def confirmed_name(study: StudyRecord) -> str:
    return next(f"{t.arm}-s{t.seed}" for t in study.confirmation if str(t.arm).startswith("slot-"))


@pytest.mark.parametrize("name", ["1", "search-0000", "standard-s1", "control-base-s0", "confirmation"])
def test_what_was_recorded_comes_out_again(settings: Settings, study: StudyRecord, name: str) -> None:
    """Curves, drops, restores, the state's name and every tensor; of arms and in a confirmation the test error too. The
    study, its states and its journal stay as they are, and nothing is left behind."""
    before = files(settings.runs_dir)
    name = confirmed_name(study) if name == "confirmation" else name
    found = again(settings, study, name)
    expected = {
        "val_error",
        "val_loss",
        "train_loss",
        "lr",
        "gflops",
        "drops",
        "restores",
        "state",
        "weights",
    }
    if name in ("standard-s1", "control-base-s0", confirmed_name(study)):
        expected |= {"test_error", "test_loss"}
    assert whats(found) == dict.fromkeys(expected, True) and found.equal
    assert detail(found, "val_error") == "equal at 4 points" and found.seeds[0].steps == 8
    assert files(settings.runs_dir) == before and not (settings.runs_dir / "recomputed").exists()


def test_the_states_can_be_kept(settings: Settings, study: StudyRecord) -> None:
    """In a folder below the runs, with the last state of the trial."""
    found = again(settings, study, "0", keep=True)
    assert found.folder is not None and Path(found.folder).parent == settings.runs_dir / "recomputed"
    state = str(next(t for t in study.trials if t.slot == 0).result["state"])
    assert StateStore(Path(found.folder)).has(state)


def test_a_point_that_differs_is_named(settings: Settings, study: StudyRecord) -> None:
    """By how much, and where first; the rest is equal."""
    then = history(study, 0)
    points = tuple(
        replace(p, val_loss=p.val_loss + (0.5 if i == 2 else 0.25)) if i in (1, 2) else p
        for i, p in enumerate(then.points)
    )
    found = again(settings, altered(study, 0, history=replace(then, points=points)), "0")
    assert not found.equal and [what for what, equal in whats(found).items() if equal is False] == [
        "val_loss"
    ]
    assert "differs at 2 of 4 points, first at step 4: " in detail(found, "val_loss")
    assert detail(found, "val_loss").endswith("at most by 0.5")


def test_a_trial_that_was_stopped_is_trained_to_where_it_stopped(
    settings: Settings, study: StudyRecord
) -> None:
    """A record that ends after two of its four segments."""
    then = history(study, 0)
    cut = replace(
        then,
        points=then.points[:1],
        drops=tuple(d for d in then.drops if d.step < then.points[0].step),
        restores=(),
    )
    stopped = altered(study, 0, outcome="stopped", history=cut, values=None)
    found = again(settings, stopped, "0")
    assert found.seeds[0].steps == 2 and detail(found, "val_error") == "equal at 1 points"
    assert whats(found)["weights"] is False  # the recorded state is that of the whole trial


def test_a_state_that_is_gone_is_not_compared(settings: Settings, study: StudyRecord, tmp_path: Path) -> None:
    """Which is said, and no difference; no folder is made to look for it."""
    elsewhere = replace(settings, states_dir=tmp_path / "gone")
    found = again(elsewhere, study, "0")
    assert whats(found)["weights"] is None and whats(found)["state"] is True and found.equal
    assert "is not in" in detail(found, "weights") and not (tmp_path / "gone").exists()


def test_another_name_is_no_difference_by_itself(settings: Settings, study: StudyRecord) -> None:
    """As another source of the training gives; equal tensors under it are equal."""
    trial = next(t for t in study.trials if t.slot == 0)
    store, name = StateStore(settings.states), "ab" * 32
    payload = store.get(str(trial.result["state"]))
    assert payload is not None
    store.put(name, payload)
    found = again(settings, altered(study, 0, result={**trial.result, "state": name}), "0")
    assert (whats(found)["state"], whats(found)["weights"]) == (None, True) and found.equal
    tensors, notes = decode(payload)
    next(t for key, t in tensors.items() if key.startswith("net0/")).view(-1)[0] += 1
    store.put(name, encode(tensors, notes), replace=True)
    found = again(settings, altered(study, 0, result={**trial.result, "state": name}), "0")
    assert (
        not found.equal and "1 of " in detail(found, "weights") and "at most by 1" in detail(found, "weights")
    )
    store.delete([name])


def test_what_may_explain_a_difference_is_named(settings: Settings, study: StudyRecord) -> None:
    """Versions, device and host that are others than the record's; none where all are the same."""
    assert again(settings, study, "0").changes == ()
    trial = next(t for t in study.trials if t.slot == 0)
    result = {**trial.result, "versions": {**trial.result["versions"], "torch": "1.0"}, "host": "elsewhere"}
    changes = again(settings, altered(study, 0, result=result), "0").changes
    assert [c.partition(":")[0] for c in changes] == ["torch", "host"] and changes[0].endswith("recorded 1.0")


@pytest.mark.parametrize("outcome", ["running", "waiting", "error", "out-of-memory", "lost", "interrupted"])
def test_what_has_not_ended_is_refused(settings: Settings, study: StudyRecord, outcome: str) -> None:
    """As what it is, before anything is trained."""
    with pytest.raises(StudyError, match=f"nothing to compare with: it is {outcome}"):
        again(settings, altered(study, 0, outcome=outcome), "0")


def test_an_interruption_leaves_nothing(settings: Settings, study: StudyRecord) -> None:
    """However far it was."""
    before = files(settings.runs_dir)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    kept = set((settings.runs_dir / "recomputed").glob("*"))
    with pytest.raises(KeyboardInterrupt):
        recompute(settings, study, "0", interrupt, keep=True)
    assert set((settings.runs_dir / "recomputed").glob("*")) == kept and files(settings.runs_dir) == before


def test_what_a_killed_recomputation_left_goes_away_at_the_next(
    settings: Settings, study: StudyRecord
) -> None:
    """Its lock died with it; one that still runs, and states that were kept, stay."""
    above = settings.runs_dir / "recomputed"
    killed, running, kept = (above / name for name in ("killed", "running", "kept"))
    for folder in (killed, running, kept):
        (folder / "claims").mkdir(parents=True)
    (killed / IN_USE).touch()
    with FileLock(running / IN_USE):
        assert again(settings, study, "0").equal
        assert not killed.exists() and (running / "claims").exists() and (kept / "claims").exists()
    with FileLock(running / IN_USE), pytest.raises(KeyboardInterrupt):
        recompute(settings, study, "0", _interrupt)
    found = again(settings, study, "0", keep=True)
    assert found.folder and not running.exists() and not (Path(found.folder) / IN_USE).exists()
    for folder in (kept, Path(found.folder)):
        shutil.rmtree(folder)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_every_seed_of_a_trial_or_one_of_them(tmp_path: Path) -> None:
    """`0` has two seeds, `0-s1` is the second."""
    settings = create(tmp_path, space=FITTING, slots=1, seeds=2, controls=())
    study = work(settings)
    found = again(settings, study, "0")
    assert [seed.seed for seed in found.seeds] == [0, 1] and found.equal
    assert [seed.seed for seed in again(settings, study, "0-s1").seeds] == [1]
    assert [seed.seed for seed in again(settings, study, "0-s0").seeds] == [0]


def test_a_diverged_trial_diverges_again(tmp_path: Path) -> None:
    """By the same step."""
    wild = Arm(name="wild", changes={"method": "standard", "training.lr": 1e30})
    settings = create(tmp_path, space={}, slots=0, controls=(wild,), control_seeds=(0,))
    found = again(settings, work(settings), "wild-s0")
    assert whats(found)["divergence"] is True and found.equal


def test_drops_and_restores_are_compared_layer_by_layer(study: StudyRecord) -> None:
    """The first step, field and layer that differ; or another number of them."""
    then = history(study, 0)
    drop = then.drops[0]
    layer = next(iter(drop.dropped))
    other = replace(then, drops=(replace(drop, dropped={**drop.dropped, layer: ()}), *then.drops[1:]))
    checks = {c.what: c for c in compare_histories(then, other)}
    assert checks["drops"].equal is False and checks["restores"].equal is True
    assert checks["drops"].detail == f"differ first at step {drop.step}, in dropped of {layer}"
    fewer = {c.what: c for c in compare_histories(then, replace(then, restores=()))}
    assert fewer["restores"].detail == f"{len(then.restores)} of them, recorded 0"


def test_fewer_points_are_a_difference(study: StudyRecord) -> None:
    """Also when those that both have are equal."""
    then = history(study, 0)
    checks = {c.what: c for c in compare_histories(then, replace(then, points=then.points[:2]))}
    assert checks["points"].equal is False and checks["val_error"].equal is True
    assert checks["points"].detail == "4 evaluations up to step 8, recorded 2 evaluations up to step 4"


def test_tensors_are_compared_by_their_bits() -> None:
    """-0 is not 0, and NaN is NaN; shapes, types and names count."""
    zero, nan = torch.zeros(2), torch.full((2,), float("nan"))
    assert compare_tensors({"a": nan, "n": torch.tensor(3)}, {"a": nan.clone(), "n": torch.tensor(3)}).equal
    assert compare_tensors({"a": zero}, {"a": -zero}).equal is False
    assert "of shapes [2] and [1]" in compare_tensors({"a": zero}, {"a": zero[:1]}).detail
    assert compare_tensors({"a": zero}, {"a": zero.double()}).equal is False
    assert compare_tensors({"a": zero}, {"b": zero}).detail == "other tensors: a, b"


# -- the command -------------------------------------------------------------------------------------


@pytest.fixture
def command(settings: Settings) -> Command:
    return Command(settings.runs_dir)


def test_the_command_says_equal_or_what_is_not(command: Command, study: StudyRecord) -> None:
    """Exit code 0 and 1; JSON holds the same; a slot that is not there is said."""
    result = command.quick("trial", "run", STUDY.name, "standard-s0")
    assert result.stdout.startswith("tiny standard-s0, seed 0 (complete): 8 steps recomputed\n")
    assert result.stdout.endswith("\nequal\n") and "step 8/8" in result.stderr
    assert '"equal": true' in command.quick("trial", "run", STUDY.name, "0", "--json").stdout
    assert "has no slot '7'" in command.quick("trial", "run", STUDY.name, "7", code=1).stderr


def test_the_command_ends_with_1_when_not_equal(
    command: Command, study: StudyRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says what may be the reason."""
    then = history(study, 0)
    points = tuple(replace(p, lr=2 * p.lr) for p in then.points)
    trial: TrialRecord = next(t for t in study.trials if t.slot == 0)
    wrong = altered(
        study, 0, history=replace(then, points=points), result={**trial.result, "host": "elsewhere"}
    )
    monkeypatch.setattr("commands.recompute.read_stored", lambda *_, **__: wrong)
    said = command.quick("trial", "run", STUDY.name, "0", code=1).stdout
    assert "  lr          differs at 4 of 4 points, first at step 2" in said and "NOT equal" in said
    assert "another host: " in said and "recorded elsewhere" in said
