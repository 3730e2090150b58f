"""Trials whose filters are tied: untied in cycles, and kept tied in the end."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch

from reprtune.spec.parts.restores import RestoreRules
from reprtune.spec.presets import TRANSFORMS, compose
from reprtune.spec.trial import TrialSpec
from reprtune.states.store import StateStore
from reprtune.training.chain import chain as module
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.member import Member
from reprtune.training.chain.plan import Segment
from reprtune.training.descent import cuda_graph
from reprtune.training.surgery.tied_conv import TiedConv2d
from tests.training.tiny import LOADED_DATA, SPEC, STEPS, assert_same_end, finish, in_turns

ONE_PHASE = {"schedule": "phase", "start": 0.5, "restore": "none", "ending": "keep-tied"}
MAPS = {**ONE_PHASE, "placement": "features"}


def trial(**words: Any) -> TrialSpec:
    """Two cycles of an epoch with and an epoch without ties, then two epochs."""
    cycles = {} if words.get("schedule") == "phase" else {"cycles": 2, "s1": "1ep", "s2": "1ep"}
    return replace(SPEC, method=compose(TRANSFORMS, **{**cycles, **words}))


@pytest.mark.parametrize("transforms", ["symmetries+sign", "all"])
def test_untying_leaves_what_the_network_says(transforms: str) -> None:
    """The error and the loss before and after each restore are the same to the bit, and every filter that was
    taken is back by the rule `untied`; what each drop has changed is told."""
    run = Chain(trial(transforms=transforms), LOADED_DATA)
    restores = 0
    for update in run:
        networks = run.networks
        if update.kind == "segment":
            before, was_tied = networks.evaluate(networks.task.val), not networks.network.is_full
        elif was_tied:
            assert networks.evaluate(networks.task.val) == before and networks.network.is_full
            restores += 1
    assert restores == 2
    told = [one for one in run.history.happenings if one.kind == "drop"]
    assert [one.step for one in told] == [8, 24]
    assert all(0 < one.numbers["tied_distance"] < 2 for one in told)
    for drop, restore in zip(run.history.drops, run.history.restores, strict=True):
        assert sum(map(len, drop.dropped.values())) > 0
        assert restore.levels == {name: {"untied": len(numbers)} for name, numbers in drop.dropped.items()}


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_tied_trials_go_on_where_they_stopped(
    optimizer: str, store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted in the middle of a segment with ties, and at its ends, they end as the same run."""
    monkeypatch.setattr(module, "STORE_SECONDS", 0.0)
    spec = trial(fit_scale=True, restore_rules=RestoreRules(restore_bn="keep"))
    spec = replace(spec, training=replace(spec.training, optimizer=optimizer, lr=0.01))
    assert_same_end(in_turns(spec, store, 11), finish(spec))


def test_the_optimizers_state_follows_the_restore_rules() -> None:
    """Momentum of filters that were tied is what it was at the drop, or 0 where it is reset."""
    found = {}
    for rule in ("keep", "reset"):
        run = Chain(trial(restore_rules=RestoreRules(restore_bn="keep", restore_optimizer=rule)), LOADED_DATA)
        for update in run:
            momentum = run.networks.network.state["momentum"]
            if update.kind == "event" and not run.networks.network.is_full:
                at_drop = {name: tensor.clone() for name, tensor in momentum.items()}
            elif update.kind == "event":
                break
        (drop,) = run.history.drops
        found[rule] = [
            torch.equal(momentum[f"{n}.weight"][list(j)], at_drop[f"{n}.weight"][list(j)])
            for n, j in drop.dropped.items()
        ]
        zeros = [not momentum[f"{n}.weight"][list(j)].any() for n, j in drop.dropped.items()]
        assert all(zeros) == (rule == "reset")
    assert all(found["keep"]) and not any(found["reset"])


KEPT = {"in cycles": {"ending": "keep-tied"}, "from the start": {**ONE_PHASE, "start": 0.0}, "of maps": MAPS}


@pytest.mark.parametrize("name", KEPT)
def test_what_is_tied_in_the_end_is_kept(name: str, store: StateStore) -> None:
    """After the last step the network has tied layers, says what it said, and is smaller by the weights of the
    filters that the last drop took; its state is found again by another process."""
    run = finish(trial(**KEPT[name]), store, keep="all")
    networks = run.networks
    (end,) = [one for one in run.history.happenings if one.kind == "end"]
    assert (end.step, networks.step_done) == (STEPS, STEPS)
    assert end.numbers["gap"] < 1e-5
    taken = run.history.drops[-1].dropped
    reads = {"conv1": 1, "conv2": 6, "conv3": 6}
    assert end.numbers["params_before"] - end.numbers["params"] == sum(
        9 * reads[layer] * len(numbers) for layer, numbers in taken.items()
    )
    saves = end.numbers["inference_gflops_before"] - end.numbers["inference_gflops"]
    assert (saves > 0) == (name == "of maps")
    layers = [n for n, module in networks.model.named_modules() if isinstance(module, TiedConv2d)]
    assert layers == list(taken)
    again = Chain(run.spec, LOADED_DATA, store)
    assert [update.kind for update in again] == ["found"]
    assert_same_end(again, run)
    assert again.networks.evaluate(again.networks.task.val) == networks.evaluate(networks.task.val)


def test_the_last_restore_is_left_out() -> None:
    """With two cycles one restore is left, and the ties of the second drop last to the end."""
    run = Chain(trial(ending="keep-tied"), LOADED_DATA)
    kinds = [item.kind for item in run.items if not isinstance(item, Segment)]
    assert kinds == ["drop", "restore", "drop", "end"]


@pytest.mark.parametrize("name", KEPT)
def test_kept_ties_go_on_where_they_stopped(
    name: str, store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the trial is interrupted, it ends as the same run; and loading an earlier state into a network
    that is tied, or has ended, is loading it into a new one."""
    monkeypatch.setattr(module, "STORE_SECONDS", 0.0)
    spec = trial(**KEPT[name])
    assert_same_end(in_turns(spec, store, 11, keep="all"), finish(spec))


def test_maps_are_trained_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a device would have its steps captured, and the trial says why."""
    on_gpu = partial(cuda_graph.why_eager, LOADED_DATA.batches(SPEC), torch.device("cuda"))
    monkeypatch.setattr(cuda_graph, "why_eager", lambda _batches, _device, *given: on_gpu(*given))
    member = Member(
        trial(**MAPS), 0, LOADED_DATA.task(SPEC.task), LOADED_DATA.batches(SPEC), torch.device("cpu")
    )
    assert member.stepper.how == "eager: a drop changes what a step computes"
