"""Train a recorded trial again from nothing, and say whether the same came out.

On the same kind of CPU, torch build and thread count a trial is the same bit for bit. Nothing of the study
is touched: the states lie in a folder of their own, which goes away afterwards.
"""

from __future__ import annotations

import contextlib
import math
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

import reprtune
from reprtune import signals
from reprtune.errors import StudyError
from reprtune.history import TIMED, Happening, History
from reprtune.record.codes import of_study, short_digest
from reprtune.record.schema import SeedRun, StudyRecord, TrialRecord
from reprtune.record.slots import find_seed, slot_name, trial_spec
from reprtune.settings import Settings
from reprtune.spec.codec import to_plain
from reprtune.spec.objectives import ERROR
from reprtune.states.store import StateStore
from reprtune.study.code import check_code
from reprtune.study.sameness import check_data, check_networks, check_user_code
from reprtune.training.chain.chain import Chain, LoadedData
from reprtune.training.chain.state import bits_equal, decode
from reprtune.training.platform.device import TORCH_VERSION, describe, open_device

CURVES = (ERROR, "val_loss", "train_loss", "lr", "gflops")
IN_USE = "in-use.lock"  # in the folder of states, held while its process lives; goes when they are kept
Observe = Callable[[History, str], None]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was compared; `equal` is None where the record has nothing to compare with."""

    what: str
    equal: bool | None
    detail: str


@dataclass(frozen=True, kw_only=True)
class SeedChecks:
    """What came of one seed. `steps`: recomputed."""

    seed: int
    steps: int
    checks: tuple[Check, ...]


@dataclass(frozen=True, kw_only=True)
class Recomputed:
    """What came of training a recorded trial again.

    Attributes:
        slot: its name. seeds: each with its checks. changes: what is another now than when it was recorded,
            and may explain a difference. code: which code the study, the record and this training are of, where
            they are not all of the same. folder: of the states, where they were kept.
    """

    study: str
    slot: str
    outcome: str
    seeds: tuple[SeedChecks, ...]
    changes: tuple[str, ...]
    code: str = ""
    folder: str | None = None

    @property
    def equal(self) -> bool:
        return all(check.equal is not False for seed in self.seeds for check in seed.checks)


def recompute(
    settings: Settings,
    study: StudyRecord,
    name: str,
    observe: Observe,
    *,
    keep: bool = False,
    accept_code: bool = False,
) -> Recomputed:
    """Train the slot called `name` again, with all of its seeds or the one that is named.

    Args:
        study: with histories. observe: called with the history so far and what just happened.
        keep: leave the folder of states. accept_code: go on although the code here is not the study's.

    Raises:
        StudyError: there is no such slot, it has not ended with a training, or data or code are not those
            of the study. KeyboardInterrupt: on SIGINT and SIGTERM; nothing is left then.
    """
    trial, runs = _chosen(study, name)
    code = check_code(study, accept=accept_code)
    device = open_device(settings)
    loaded_data = LoadedData(settings.data_dir, device)
    here = short_digest(code, check_user_code(study, accept=accept_code))
    check_networks(study)
    check_data(study, loaded_data)
    with signals.like_ctrl_c(), _scratch(settings, keep=keep) as folder:
        store = StateStore(folder)
        found, how = [], ""
        for recorded in runs:
            training = Chain(replace(trial_spec(study, trial), seed=recorded.seed), loaded_data, store)
            _train(training, trial, recorded, observe)
            found.append(_compared(training, trial, recorded, store, settings.states))
            how = training.networks.how
    return Recomputed(
        study=study.spec.name,
        slot=slot_name(trial),
        outcome=trial.outcome,
        seeds=tuple(found),
        changes=_changes(trial, describe(device, how), here),
        code=_code(study, runs, here),
        folder=str(folder) if keep else None,
    )


def _chosen(study: StudyRecord, name: str) -> tuple[TrialRecord, Sequence[SeedRun]]:
    """The trial, and those of its seeds that are to be trained again."""
    trial, run = find_seed(study, name)
    one = trial.is_drawn and study.spec.n_seeds > 1 and name.endswith(f"-s{run.seed}")
    runs = (run,) if one else trial.runs
    unfinished = runs[-1].seed == trial.seed and not trial.outcome.is_recomputed
    if unfinished or any(r.history is None or not _ended_somewhere(r.history) for r in runs):
        raise StudyError(
            f"Slot {name} of {study.spec.name!r} has nothing to compare with: it is {trial.outcome} "
            f"({trial.outcome.words}).",
            f"Complete, stopped and diverged trials have: python cli.py study status {study.spec.name}",
        )
    return trial, runs


def _ended_somewhere(history: History) -> bool:
    return bool(history.points) or history.diverged_at is not None


def _train(run: Chain, trial: TrialRecord, recorded: SeedRun, observe: Observe) -> None:
    """To the end, or to where a trial that was ended early stood."""
    assert recorded.history is not None
    early = trial.outcome.is_cut_short and recorded.seed == trial.seed
    last = recorded.history.points[-1].step if recorded.history.points else 0
    for update in run:
        observe(run.history, update.kind)
        if early and update.kind == "segment" and update.step >= last:
            break
    run.keep_state()


def _compared(
    run: Chain, trial: TrialRecord, recorded: SeedRun, store: StateStore, states: Path
) -> SeedChecks:
    assert recorded.history is not None
    checks = compare_histories(run.history, recorded.history)
    checks += _states(run.last_name, store, recorded.state, states)
    if recorded.test_error is not None and run.finished:
        test = run.test()
        checks.append(_number("test_error", test.error, recorded.test_error))
        if (loss := trial.result.get("test_loss")) is not None:
            checks.append(_number("test_loss", test.loss, float(loss)))
    return SeedChecks(seed=recorded.seed, steps=run.networks.step_done, checks=tuple(checks))


# -- histories ---------------------------------------------------------------------------------------


def compare_histories(now: History, then: History) -> list[Check]:
    """Curves point by point, drops and restores filter by filter, exactly; times and places are left out."""
    checks = []
    steps = [[p.step for p in history.points] for history in (now, then)]
    if steps[0] != steps[1]:
        ours, theirs = (f"{len(found)} evaluations up to step {max(found, default=0)}" for found in steps)
        checks.append(Check(what="points", equal=False, detail=f"{ours}, recorded {theirs}"))
    pairs = list(zip(now.points, then.points, strict=False))
    for name in CURVES:
        values = [(p.step, getattr(p, name), getattr(q, name)) for p, q in pairs]
        checks.append(_curve(name, values))
    checks.append(_events("drops", now.drops, then.drops))
    checks.append(_events("restores", now.restores, then.restores))
    if now.happenings or then.happenings:
        checks.append(_events("happenings", *(_untimed(history.happenings) for history in (now, then))))
    if now.member_errors or then.member_errors:
        checks += [_events("exchanges", now.exchanges, then.exchanges), _networks(now, then)]
    if (now.diverged_at, then.diverged_at) != (None, None):
        text = f"diverged by step {now.diverged_at}, recorded {then.diverged_at}"
        checks.append(Check(what="divergence", equal=now.diverged_at == then.diverged_at, detail=text))
    return checks


def _untimed(happenings: Sequence[Happening]) -> list[Happening]:
    """Without what was timed."""
    return [
        replace(told, numbers={k: v for k, v in told.numbers.items() if not k.startswith(TIMED)})
        for told in happenings
    ]


def _networks(now: History, then: History) -> Check:
    """The errors of several networks, and of their ensemble."""
    ours, theirs = ((h.member_errors, h.ensemble_errors) for h in (now, then))
    last = [f"{100 * e:.2f} %" for e in (now.member_errors or ((),))[-1]]
    text = f"{', '.join(last)} at the end, their ensemble {100 * (now.ensemble_errors or (1,))[-1]:.2f} %"
    return Check(
        what="networks", equal=ours == theirs, detail=text if ours == theirs else f"{text}; recorded others"
    )


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def _curve(name: str, values: Sequence[tuple[int, float, float]]) -> Check:
    other = [(step, a, b) for step, a, b in values if not _same(a, b)]
    if not other:
        return Check(what=name, equal=True, detail=f"equal at {len(values)} points")
    step, a, b = other[0]
    most = max(abs(a - b) for _, a, b in other)
    text = f"differs at {len(other)} of {len(values)} points, first at step {step}: {a!r}, recorded {b!r}; at most by {most:.3g}"
    return Check(what=name, equal=False, detail=text)


def _events(name: str, now: Sequence[Any], then: Sequence[Any]) -> Check:
    """Drops or restores; `Drop.dropped` and overlaps are compared exactly."""
    for a, b in zip(now, then, strict=False):
        ours, theirs = to_plain(a), to_plain(b)
        if ours != theirs:
            field = next(key for key in ours if ours[key] != theirs[key])
            text = f"differ first at step {b.step}, in {field}{_layer(ours[field], theirs[field])}"
            return Check(what=name, equal=False, detail=text)
    if len(now) != len(then):
        return Check(what=name, equal=False, detail=f"{len(now)} of them, recorded {len(then)}")
    return Check(what=name, equal=True, detail=f"equal: {len(now)}")


def _layer(ours: Any, theirs: Any) -> str:
    """The first layer at which two mappings differ."""
    if not isinstance(ours, Mapping) or not isinstance(theirs, Mapping):
        return ""
    layers = [key for key in {**theirs, **ours} if ours.get(key) != theirs.get(key)]
    return f" of {layers[0]}" if layers else ""


def _number(what: str, now: float, then: float) -> Check:
    text = "equal" if _same(now, then) else f"differs: {now!r}, recorded {then!r}"
    return Check(what=what, equal=_same(now, then), detail=text)


# -- states ------------------------------------------------------------------------------------------


def _states(name: str, store: StateStore, recorded: str, states: Path) -> list[Check]:
    """The last state by its name, and, where the study's is still there, tensor by tensor.

    Another name is no difference by itself: it says that torch or the training's source is another.
    """
    if not recorded:
        return [Check(what="state", equal=None, detail="not compared: none is recorded")]
    text = (
        "has the recorded name"
        if name == recorded
        else "has another name than recorded: torch or the source of the training is another"
    )
    checks = [Check(what="state", equal=True if name == recorded else None, detail=text)]
    there = StateStore(states).get(recorded) if states.is_dir() else None
    ours = store.get(name)
    if there is None or ours is None:
        text = f"not compared: the recorded state is not in {states}"
        return [*checks, Check(what="weights", equal=None, detail=text)]
    return [*checks, compare_tensors(decode(ours)[0], decode(there)[0])]


def compare_tensors(now: Mapping[str, Any], then: Mapping[str, Any]) -> Check:
    """Network, optimizer and mask, bit for bit."""
    if missing := now.keys() ^ then.keys():
        text = f"other tensors: {', '.join(sorted(missing)[:3])}"
        return Check(what="weights", equal=False, detail=text)
    other = [name for name in now if not bits_equal(now[name], then[name])]
    if not other:
        return Check(what="weights", equal=True, detail=f"equal bit for bit: {len(now)} tensors")
    first = other[0]
    if now[first].shape == then[first].shape:
        most = (now[first].double() - then[first].double()).abs().max().item()
        by = f"at most by {most:.3g}"
    else:
        by = f"of shapes {list(now[first].shape)} and {list(then[first].shape)}"
    text = f"{len(other)} of {len(now)} tensors differ, first {first}, {by}"
    return Check(what="weights", equal=False, detail=text)


def _code(study: StudyRecord, runs: Sequence[SeedRun], here: str) -> str:
    """A sentence where another code was at work than the study's; empty else, and where that is unknown."""
    own, then = of_study(study), sorted({run.code for run in runs if run.code})
    if own is None or {own, here, *then} == {own}:
        return ""
    return f"code: {here} here, recorded under {' and '.join(then) or 'unknown'}; the study's is {own}"


def _changes(trial: TrialRecord, device: str, code: str) -> tuple[str, ...]:
    """What may explain a difference."""
    versions = trial.result.get("versions") or {}
    rows = [
        ("reprtune", reprtune.__version__, versions.get("reprtune")),
        ("torch", TORCH_VERSION, versions.get("torch")),
        ("code", code, trial.result.get("code")),
        ("device", device, trial.result.get("device")),
        ("host", platform.node(), trial.result.get("host")),
    ]
    return tuple(f"{what}: {now}, recorded {then}" for what, now, then in rows if then not in (None, now))


@contextlib.contextmanager
def _scratch(settings: Settings, *, keep: bool) -> Iterator[Path]:
    """A folder of its own below the runs, which goes away. What a killed process has left goes away first: the lock
    in it is free."""
    above = settings.runs_dir / "recomputed"
    above.mkdir(parents=True, exist_ok=True)
    _clear(above)
    folder = Path(tempfile.mkdtemp(dir=above))
    lock = FileLock(folder / IN_USE)
    whole = False
    try:
        lock.acquire()
        yield folder
        whole = True
    finally:
        if keep and whole:
            (folder / IN_USE).unlink()
        else:
            shutil.rmtree(folder, ignore_errors=True)
        lock.release()
        with contextlib.suppress(OSError):
            above.rmdir()  # when it is empty


def _clear(above: Path) -> None:
    for path in above.glob(f"*/{IN_USE}"):
        with contextlib.suppress(Timeout, OSError), FileLock(path, timeout=0):
            shutil.rmtree(path.parent, ignore_errors=True)
