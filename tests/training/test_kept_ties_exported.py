"""A network whose ties are kept is exported in that form, and another trial begins from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from reprtune.spec.edit import changed
from reprtune.states.store import StateStore
from reprtune.training.export.network import from_chain, from_state
from reprtune.training.surgery.tied_conv import TiedConv2d
from tests.training.ended import export
from tests.training.test_export import ELSEWHERE, assert_same_weights, run_elsewhere
from tests.training.test_tied_trial import MAPS, ONE_PHASE, trial
from tests.training.tiny import finish, trial_networks


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(ONE_PHASE, id="weights", marks=pytest.mark.slow),  # the same paths of the code
        pytest.param(MAPS, id="features"),
    ],
)
def test_kept_ties_are_exported_and_trained_on(tmp_path: Path, method: dict[str, Any]) -> None:
    """It answers in another process without reprtune as the network that was trained, holds only the parameters of the
    kept filters, comes out of its stored end the same, and goes on tied in a trial that begins from it."""
    store, spec = StateStore(tmp_path / "states", "me"), trial(**method)
    run = finish(spec, store)
    folder = export(run, tmp_path / "n")
    about = json.loads((folder / "description.json").read_text())
    assert [form["kind"] for form in about["forms"]] == ["keep-tied"] and about["program"] == "network.pt2"
    task, network = run.networks.task, run.networks.model.eval()
    torch.save(task.val.x, f"{folder}.pixels")
    run_elsewhere(ELSEWHERE, folder, cwd=tmp_path)
    x = (task.val.x.float() / 255 - task.mean[0]) / task.std[0]
    torch.testing.assert_close(torch.load(f"{folder}.logits")[-1], network(x).detach(), rtol=1e-5, atol=1e-5)
    weights = torch.load(folder / "weights.pt", weights_only=True)
    parameters = {name for name, _ in network.named_parameters()}
    assert about["params"] == sum(weights[name].numel() for name in parameters)
    payload = store.get(run.last_name)
    assert payload is not None
    direct = from_chain(run)
    stored = from_state(payload, spec, direct.facts, run.last_name)
    assert_same_weights(direct, stored)
    assert stored.networks[0].numbers == direct.networks[0].numbers
    begun = changed(spec, {"model.weights": str(folder), "method": "standard"})
    assert any(isinstance(module, TiedConv2d) for module in trial_networks(begun).model.modules())
    assert from_chain(finish(begun)).networks[0].forms == direct.networks[0].forms
