"""C-SGD in successive trials, each of which begins from the export of the one before (arXiv 1904.03837, section 4.1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from reprtune.spec.objectives import OBJECTIVES, read
from reprtune.states.store import StateStore
from reprtune.training.chain.chain import Chain
from reprtune.training.export.network import from_chain, from_state
from tests.training.ended import EXAMPLE, export
from tests.training.test_export import ELSEWHERE, assert_same_weights, run_elsewhere
from tests.training.tiny import LOADED_DATA, assert_same_end, finish, spec, trial_networks

NETWORKS = ("convnet-3", "resnet-8")


def c_sgd(model: str, **fields: Any) -> Any:
    changes = {"method": "c-sgd", "method.kept_share": 0.7, "model.name": model, "training.total": "2ep"}
    return spec(**{**changes, **fields})


@pytest.mark.parametrize("model", NETWORKS)
def test_each_width_begins_from_the_one_before(tmp_path: Path, model: str) -> None:
    """Two trims, one after the other: the second export has both forms, is smaller than the first, answers elsewhere as
    the network that was trained, and says what torch counts in it; so does the trial's objective."""
    first = finish(c_sgd(model))
    export(first, tmp_path / "first")
    trial = c_sgd(model, **{"model.weights": str(tmp_path / "first")})
    assert same_weights(trial_networks(trial), first)
    second = finish(trial)
    folder = export(second, tmp_path / "second")
    about = [json.loads((tmp_path / k / "description.json").read_text()) for k in ("first", "second")]
    assert [[form["kind"] for form in a["forms"]] for a in about] == [["trim"], ["trim", "trim"]]
    assert about[1]["params"] < about[0]["params"] and about[1]["history"]["steps_before"] == 16
    task, network = second.networks.task, second.networks.model.eval()
    torch.save(task.val.x, f"{folder}.pixels")
    run_elsewhere(ELSEWHERE, folder, cwd=tmp_path)
    x = (task.val.x.float() / 255 - task.mean[0]) / task.std[0]
    answer = torch.load(f"{folder}.logits")[-1]
    torch.testing.assert_close(answer, network(x).detach(), rtol=1e-5, atol=1e-5)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(EXAMPLE)
    expected = {
        "params": sum(p.numel() for p in network.parameters()),
        "inference_gflops": counter.get_total_flops() / 1e9,
    }
    assert {k: about[1][k] for k in expected} == expected
    measured = read(second.networks.measured())
    assert measured.keys() == OBJECTIVES.keys() and {k: measured[k] for k in expected} == expected


def same_weights(networks: Any, run: Chain) -> bool:
    ours, theirs = networks.model.state_dict(), run.networks.model.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("model", NETWORKS)
def test_the_stored_end_is_found_again_and_exported(tmp_path: Path, model: str) -> None:
    """A trial that began from a trimmed network and was trimmed again: its last state alone gives the same network,
    to whoever runs it again and to whoever exports it."""
    export(finish(c_sgd(model, **{"training.total": "1ep"})), tmp_path / "first")
    store = StateStore(tmp_path / "states", "me")
    trial = c_sgd(model, **{"model.weights": str(tmp_path / "first")})
    run = finish(trial, store)
    again = Chain(trial, LOADED_DATA, store)
    assert [update.kind for update in again] == ["found"]
    assert_same_end(run, again)
    payload = store.get(run.last_name)
    assert payload is not None
    direct = from_chain(run)
    stored = from_state(payload, trial, direct.facts, run.last_name)
    assert_same_weights(direct, stored)
    assert [n.numbers for n in stored.networks] == [n.numbers for n in direct.networks]
    assert (stored.steps_before, [n.forms for n in stored.networks]) == (
        8,
        [n.forms for n in direct.networks],
    )
