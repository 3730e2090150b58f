"""Trials whose filters are tied: untied in cycles, and kept tied in the end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from reprtune.spec.parts.restores import RestoreRules
from reprtune.spec.presets import TRANSFORMS, compose
from reprtune.spec.trial import TrialSpec
from reprtune.states.store import StateStore
from reprtune.training.chain import chain as module
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.trial_networks import Interrupted
from tests.training.tiny import LOADED_DATA, SPEC, assert_same_end, finish, go, until


def trial(**words: Any) -> TrialSpec:
    """Two cycles of an epoch with and an epoch without ties, then two epochs."""
    return replace(SPEC, method=compose(TRANSFORMS, **{"cycles": 2, "s1": "1ep", "s2": "1ep", **words}))


@pytest.mark.parametrize("transforms", ["symmetries+sign", "all"])
def test_untying_leaves_what_the_network_says(transforms: str) -> None:
    """The error and the loss before and after each restore are the same to the bit, and every filter that was
    taken is back by the rule `untied`."""
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
    for _ in range(6):
        run = Chain(spec, LOADED_DATA, store, should_stop=until(11))
        try:
            go(run)
        except Interrupted:
            continue
        break
    assert run.finished
    assert_same_end(run, finish(spec))


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
