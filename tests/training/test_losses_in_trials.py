"""Losses that keep something or vary, in whole trials: saved, loaded, captured."""

from __future__ import annotations

from typing import Any

import pytest

from reprtune.training.chain.plan import Segment
from reprtune.training.chain.trial_networks import TrialNetworks
from reprtune.training.descent import cuda_graph
from tests.training.recorded import Capture
from tests.training.test_together import RATES, networks
from tests.training.tiny import assert_same_end, finish, same_bits, spec

BORN_AGAIN = {
    "method": {"schedule": "generations", "losses": [{"kind": "distillation", "teachers": "generation"}]},
}


def generations(found: TrialNetworks) -> None:
    """An epoch, a renewal, another epoch."""
    found.train(Segment(0, 8, "full", 0), RATES, lambda: False)
    found.members[0].holdings["losses"].renew(found.model)  # type: ignore[attr-defined]
    found.train(Segment(8, 16, "full", 1), RATES, lambda: False)


def test_a_renewed_teacher_belongs_to_the_state() -> None:
    """A trial that is loaded goes on in the same bits: with the teacher, and back to where there was none; the first
    generation is plain training, at its cost."""
    found, plain = networks(spec(**BORN_AGAIN)), networks(spec(method="standard"))
    for one in (found, plain):
        one.train(Segment(0, 8, "full", 0), RATES, lambda: False)
    first = found.save()
    for name, tensor in plain.members[0].tensors().items():
        assert same_bits(tensor, found.members[0].tensors()[name])
    assert found.points[-1].gflops == plain.points[-1].gflops
    holding: Any = found.members[0].holdings["losses"]
    holding.renew(found.model)
    begun = found.save()
    found.train(Segment(8, 16, "full", 1), RATES, lambda: False)
    plain.train(Segment(8, 16, "full", 1), RATES, lambda: False)
    end = {name: t.clone() for name, t in found.members[0].tensors().items()}
    assert not same_bits(end["net0/conv1.weight"], plain.members[0].tensors()["net0/conv1.weight"])
    one, two = found.points
    assert two.gflops - one.gflops == pytest.approx(4 / 3 * one.gflops)
    for payload, reference in ((begun, end), (first, plain.members[0].tensors())):
        again = networks(spec(**BORN_AGAIN))
        generations(again)  # what it holds then is to be forgotten
        again.load(payload)
        again.train(Segment(8, 16, "full", 1), RATES, lambda: False)
        ours = again.members[0].tensors()
        assert all(same_bits(t, ours[name]) for name, t in reference.items())


@pytest.mark.parametrize("labels", ["whole", "rest"])
def test_one_captured_step_serves_every_generation(monkeypatch: pytest.MonkeyPatch, labels: str) -> None:
    """Captured when there was no teacher, it learns from the one that came later, as an eager step does."""
    loss = {"kind": "distillation", "teachers": "generation", "distill_weight": 0.5, "distill_labels": labels}
    trial = spec(method={"schedule": "generations", "losses": [loss]})
    eager = networks(trial)
    generations(eager)
    monkeypatch.setattr(cuda_graph, "why_eager", lambda *_: None)
    monkeypatch.setattr(cuda_graph, "capture_on_cuda", capture := Capture())
    captured = networks(trial)
    generations(captured)
    assert capture.n_captures == 1
    ours = captured.members[0].tensors()
    assert all(same_bits(t, ours[name]) for name, t in eager.members[0].tensors().items())


@pytest.mark.parametrize("loss", ["soft-orthogonality", "srip", "ortho-reg", "overlap"])
def test_a_captured_penalty_is_the_eager_one(monkeypatch: pytest.MonkeyPatch, loss: str) -> None:
    """Through drops and restores, and with a factor that falls after two epochs."""
    more = {"method.srip_until": "12it"} if loss == "srip" else {}
    trial = spec(**{"method.losses": loss, **more})
    eager = finish(trial)
    monkeypatch.setattr(cuda_graph, "why_eager", lambda *_: None)
    monkeypatch.setattr(cuda_graph, "capture_on_cuda", capture := Capture())
    assert_same_end(finish(trial), eager)
    assert capture.n_captures == 1
