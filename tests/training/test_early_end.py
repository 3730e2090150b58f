"""A phase that ends by a criterion: the trial is then as long as it was, wherever it is taken up."""

from __future__ import annotations

from math import inf, isfinite
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from reprtune.states.store import StateStore
from reprtune.training.chain import ending
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.member import Interrupted, Member
from reprtune.training.parts.endings import trim
from tests.training.test_c_sgd import SHORT
from tests.training.tiny import LOADED_DATA, assert_same_end, finish, spec, until

BEGUN = {**SHORT, "method.start": 0.25}  # of 48 steps, with rungs at every eighth but the last
BOUND = {**BEGUN, "method.until_distance": 2e-3}


def rungs_seen(run: Chain) -> list[int]:
    return [advance.step for advance in run if advance.rung]


def test_it_is_a_trial_of_that_length() -> None:
    """Its history says so; the rung at which it ended is its end, at which nobody is compared as at a rung."""
    run, whole = Chain(spec(**BOUND), LOADED_DATA), Chain(spec(**BEGUN), LOADED_DATA)
    assert run.total_steps == whole.total_steps == 48
    seen, all_seen = rungs_seen(run), rungs_seen(whole)
    end = run.networks.step_done
    assert end < 48 and end in all_seen and seen == [step for step in all_seen if step < end]
    assert run.finished and run.total_steps == run.history.total_steps == end == run.history.points[-1].step
    assert run.history.rungs == tuple(seen) and run.history.happenings[-1].kind == "end"
    assert run.history.full_points()[-1] == (end, run.history.points[-1].val_error)


@pytest.mark.parametrize("stop", [4, 14, 22])
def test_it_is_taken_up_as_itself(tmp_path: Path, stop: int) -> None:
    """Before the begin, and after it; what has ended is found ended, and is not trained on."""
    trial, store = spec(**BOUND), StateStore(tmp_path / "states", "me")
    alone = finish(trial)
    with pytest.raises(Interrupted):
        finish(trial, store, should_stop=until(stop))
    again = finish(trial, store)
    assert 0 < again.steps_spent < alone.steps_spent
    found = finish(trial, store)
    assert found.steps_spent == 0 and found.total_steps == alone.total_steps
    for run in (again, found):
        assert_same_end(alone, run)
    assert found.last_name == again.last_name == found.names[-1] and store.has(found.last_name)


@pytest.mark.parametrize("first", [{}, {"method.until_distance": 7e-4}])
def test_a_trial_of_another_bound_is_another_one(tmp_path: Path, first: dict[str, Any]) -> None:
    """The longer one ends later and is stored; the shorter one ends where it would alone, and shares only what
    was before the begin."""
    store = StateStore(tmp_path / "states", "me")
    longer = finish(spec(**{**BEGUN, **first}), store, keep="all")
    shorter = finish(spec(**BOUND), store)
    assert shorter.total_steps < longer.total_steps
    assert_same_end(shorter, finish(spec(**BOUND)))
    begin = int(0.25 * 48)
    assert shorter.steps_spent == shorter.total_steps - begin


def test_a_trial_of_another_total_is_asked_elsewhere(tmp_path: Path) -> None:
    """The rungs are tenths of the total. What a longer trial has stored beyond a rung that it has not is no state of the
    shorter one, which would have ended there."""
    store = StateStore(tmp_path / "states", "me")
    bound = {**SHORT, "training.segment": "1it", "method.pull": 1.0, "method.until_distance": 0.3}
    short, long = (spec(**{**bound, "training.total": total}) for total in ("20it", "70it"))
    finish(long, store, keep="all")
    assert_same_end(finish(short, store), finish(short))


def test_a_bound_that_is_never_met_changes_nothing() -> None:
    """It is trained to its total, and trimmed as without one."""
    assert_same_end(finish(spec(**BEGUN, **{"method.until_distance": 1e-30})), finish(spec(**BEGUN)))


def test_without_an_ending_it_only_ends() -> None:
    """The network keeps its filters."""
    run = finish(spec(**BOUND, **{"method.ending": "none"}))
    assert run.total_steps == finish(spec(**BOUND)).total_steps
    assert run.networks.members[0].forms == () and run.history.happenings[-1].numbers == {}


def test_an_end_without_finite_logits_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that overflows as it is trimmed has diverged, and the state that says so can be read again: what is
    told of the end holds finite numbers only."""
    trial, store = spec(**{**SHORT, "training.total": "2ep"}), StateStore(tmp_path / "states", "me")
    monkeypatch.setattr(ending, "behaviour", lambda _: nothing_finite)
    run, again = finish(trial, store), finish(trial, store)
    assert run.diverged and again.diverged and again.steps_spent == 0
    told = again.history.happenings[-1]
    assert told.kind == "end" and "gap" not in told.numbers and all(map(isfinite, told.numbers.values()))


def nothing_finite(member: Member) -> tuple[nn.Module, dict[str, Any]]:
    model, form = trim.end(member)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(inf)
    return model, form
