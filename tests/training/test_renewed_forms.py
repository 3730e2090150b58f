"""A network of another structure than its specification builds begins anew in its own."""

from __future__ import annotations

import pytest
import torch

from reprtune.spec.method import MethodSpec
from reprtune.spec.presets import KNOWLEDGE_EVOLUTION, LATER_LAYER_FORGETTING, compose
from reprtune.training.chain.member import Member
from reprtune.training.chain.renewing import renew
from reprtune.training.models import build_model
from reprtune.training.parts.schedules import Event
from reprtune.training.platform.seeds import derive
from reprtune.training.surgery.forms import all_reformed
from tests.training import hand_trim
from tests.training.tiny import CPU, LOADED_DATA, spec

ALL = compose(LATER_LAYER_FORGETTING, selection="everything", restore_bn="reset")
SHARE = compose(KNOWLEDGE_EVOLUTION, fixed_share=0.5)


@pytest.mark.parametrize(("method", "purpose"), [(ALL, "renew"), (SHARE, "restore")], ids=["all", "a share"])
def test_what_is_new_is_a_new_network_in_the_same_form(
    method: MethodSpec, purpose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of six filters three were trimmed away: those that stayed are as in a new network trimmed alike; of the drawn
    share, that much."""
    hand_trim.register(monkeypatch)
    form, trial = hand_trim.form(conv1=[1, 3, 5], conv2=[0, 4]), spec(method=method)
    task = LOADED_DATA.task(trial.task)
    member = Member(trial, 0, task, LOADED_DATA.batches(trial), CPU, forms=(form,))
    assert list(member.filters.layers.values()) == [3, 2, 6]
    before = {name: t.clone() for name, t in member.model.state_dict().items()}
    told = renew(member, task, Event("renew", 0, 0))
    new = build_model(trial.model, 1, (8, 8), 10, derive(trial.seed, purpose, 0, 0))
    fresh = all_reformed(new, [form], torch.zeros(1, 1, 8, 8)).state_dict()
    after = member.model.state_dict()
    for name, tensor in after.items():
        expected = (
            fresh[name] if method == ALL else torch.where(tensor == fresh[name], fresh[name], before[name])
        )
        assert torch.equal(tensor, expected), name
    assert (told.numbers["renewed"] > 0.9) == (method == ALL) and told.numbers["renewed"] > 0.4
