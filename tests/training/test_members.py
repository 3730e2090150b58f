"""Trials of several networks: draws of their own, advancing together, one state, averages that are one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reprtune.spec.trial import TrialSpec
from reprtune.states.store import StateStore
from reprtune.training.chain import chain as running
from reprtune.training.chain import state
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.member import Interrupted
from reprtune.training.platform.seeds import derive
from tests.training.tiny import (
    LOADED_DATA,
    SPEC,
    STEPS,
    Killed,
    assert_same_end,
    finish,
    go,
    same_bits,
    spec,
    until,
)

AVERAGING = spec(**{"method": "averaging", "method.period": "1ep"})
ENSEMBLE = spec(method="ensemble")


def network(run: Chain, which: int) -> dict[str, Tensor]:
    """Parameters and statistics of a member at the end."""
    tensors, _ = state.decode(run.networks.save())
    return {k.partition("/")[2]: t for k, t in tensors.items() if k.startswith(f"net{which}/")}


def test_a_member_does_not_depend_on_the_others() -> None:
    """The first of an ensemble ends in the bits of standard training; the second is another network; with
    three, the second is the same as with two."""
    alone, two = finish(spec(method="standard")), finish(ENSEMBLE)
    three = finish(spec(**{"method": "ensemble", "method.n_members": 3}))
    for name, tensor in network(alone, 0).items():
        assert same_bits(tensor, network(two, 0)[name])
        assert same_bits(network(two, 1)[name], network(three, 1)[name])
    assert not same_bits(network(two, 0)["conv1.weight"], network(two, 1)["conv1.weight"])


def test_members_of_an_ensemble_see_orders_of_their_own_unless_they_are_to_share_one() -> None:
    """Only then is a member with the same weights the same network in the end."""

    def ends(**changes: Any) -> list[Tensor]:
        run = Chain(spec(method="ensemble", **changes), LOADED_DATA)
        first, second = run.networks.members
        second.model.load_state_dict(first.model.state_dict())
        go(run)
        return [network(run, k)["conv1.weight"] for k in (0, 1)]

    assert same_bits(*ends(**{"method.same_order": True}))
    assert not same_bits(*ends())


def test_random_layers_draw_anew_for_every_member_and_segment() -> None:
    """Networks with dropout that are equal and see the same images in the same order end differently; and a
    trial interrupted between two segments draws in the second what it would have drawn."""
    drawn: list[tuple[int, int, float]] = []
    run = Chain(spec(method="ensemble", **{"method.same_order": True}), LOADED_DATA)
    for which, member in enumerate(run.networks.members):

        def draw(model: nn.Module, *_: Any, which: int = which) -> None:
            if model.training:
                drawn.append((which, run.networks.members[which].step_done, float(torch.rand(()))))

        member.model.register_forward_hook(draw)
    go(run)
    first = {(which, step): number for which, step, number in drawn if step % 8 == 0}
    assert len(first) == 12 and len(set(first.values())) == 12
    for (which, step), number in first.items():
        seed = derive(SPEC.seed, "layers", which, step)
        assert number == float(torch.rand((), generator=torch.Generator().manual_seed(seed)))


def test_averaged_members_are_equal_at_the_end_of_every_period() -> None:
    """And between two exchanges they are not; the last exchange is after the last step."""
    run, unequal = Chain(AVERAGING, LOADED_DATA), 0
    for _ in run:
        one, two = ({**m.model.state_dict()} for m in run.networks.members)
        assert all(same_bits(t, two[name]) for name, t in one.items() if t.is_floating_point())
    assert [e.step for e in run.history.exchanges] == list(range(8, STEPS + 1, 8))
    for told in run.history.exchanges:
        unequal += told.before[0] != told.before[1]
        assert told.after[0] == told.after[1]
    assert unequal


def test_what_is_recorded_of_a_trial_is_the_mean_after_the_exchange() -> None:
    """Of a point: the mean of its members' errors; costs are sums, and a tenth of the way is a rung."""
    run, alone = finish(AVERAGING), finish(spec(method="standard"))
    history = run.history
    assert [p.val_error for p in history.points] == [sum(e) / 2 for e in history.member_errors]
    assert [e.after for e in history.exchanges] == [*history.member_errors]
    assert [p.gflops for p in history.points] == [2 * p.gflops for p in alone.history.points]
    assert (run.steps_spent, run.gflops_spent) == (2 * STEPS, pytest.approx(2 * alone.gflops_spent))
    assert history.rungs == (8, 16, 24, 32, 40)
    assert len(history.ensemble_errors) == len(history.points)


def test_an_ensemble_is_wrong_where_the_mean_of_its_probabilities_is() -> None:
    """By hand from the members' logits over the validation part."""
    run = finish(ENSEMBLE)
    task, members = run.networks.task, run.networks.members
    x = (task.val.x.float() / 255 - task.mean[0]) / task.std[0]
    with torch.no_grad():
        logits = [m.model.eval()(x).double() for m in members]
    wrong = [float((z.argmax(1) != task.val.y).double().mean()) for z in logits]
    together = torch.stack([z.softmax(1) for z in logits]).mean(0)
    assert run.history.member_errors[-1] == pytest.approx(wrong)
    expected = float((together.argmax(1) != task.val.y).double().mean())
    assert run.history.ensemble_errors[-1] == pytest.approx(expected)


@pytest.mark.parametrize("trial", [AVERAGING, ENSEMBLE], ids=["averaging", "ensemble"])
@pytest.mark.parametrize("asked", [1, 5, 8, 9, 12, 16, 17, 60, 95])
def test_an_interrupted_trial_ends_in_the_same_bits(store: StateStore, trial: TrialSpec, asked: int) -> None:
    """In the first member's segment, in the second's, and between the two."""
    with pytest.raises(Interrupted):
        go(Chain(trial, LOADED_DATA, store, should_stop=until(asked)))
    assert_same_end(finish(trial, store), finish(trial))


@pytest.mark.parametrize("n_items", range(1, 12))
def test_a_killed_trial_ends_in_the_same_bits(
    store: StateStore, monkeypatch: pytest.MonkeyPatch, n_items: int
) -> None:
    """Killed after so many segments and exchanges, also between a segment and its exchange: of the step only
    what the members are after it is ever stored."""
    monkeypatch.setattr(running, "STORE_SECONDS", 0.0)
    happened = iter(range(n_items))
    do = Chain._do

    def killed(self: Chain, item: Any) -> None:
        do(self, item)
        if next(happened, None) is None:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Chain, "_do", killed)
        with pytest.raises(Killed):
            go(Chain(AVERAGING, LOADED_DATA, store))
    assert_same_end(finish(AVERAGING, store), finish(AVERAGING))


def test_another_worker_goes_on_from_every_exchange(store: StateStore) -> None:
    """Two that train the same trial take turns, and neither trains again what the other has stored."""
    one, other = iter(Chain(AVERAGING, LOADED_DATA, store)), iter(Chain(AVERAGING, LOADED_DATA, store))
    found = [next(one), next(other), next(other), next(one), next(one), next(other)]
    assert [(u.kind, u.step) for u in found] == [
        ("segment", 8), ("found", 8), ("segment", 16), ("found", 16), ("segment", 24), ("found", 24),
    ]  # fmt: skip
    one.close()
    other.close()
