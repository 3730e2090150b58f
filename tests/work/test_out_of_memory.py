"""A worker whose trial has too little memory: an outcome, and the study goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reprtune.spec.levels import level
from reprtune.spec.space import Choice
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.trial_networks import TrialNetworks
from reprtune.work.process import WorkerMessage
from tests.work.tiny_worker import Counted, create, work

pytestmark = pytest.mark.usefixtures("short_lease")
FULL = "[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.\nmore"


@pytest.mark.parametrize("method", ["__init__", pytest.param("evaluate", marks=pytest.mark.slow)])
def test_memory_that_runs_out_is_that_trials_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """While the network is built and while it is evaluated, also on a CPU, whose allocator raises a
    RuntimeError: used up, with the first line as the reason; the other trials are complete."""
    real = getattr(TrialNetworks, method)

    def fail(self: TrialNetworks, first: Any, *rest: Any, **more: Any) -> Any:
        spec = first if method == "__init__" else self.spec
        if level(spec, "method.criterion") == "random":
            raise RuntimeError(FULL)
        return real(self, first, *rest, **more)

    monkeypatch.setattr(TrialNetworks, method, fail)
    space = {"method.criterion": Choice(options=("l2", "random"))}
    study = work(create(tmp_path, slots=4, controls=(), space=space))
    ends = {(t.params["criterion"], t.outcome) for t in study.final()}
    assert ends == {("l2", "complete"), ("random", "out-of-memory")} and study.pending() == 0
    failed = [t for t in study.final() if t.outcome == "out-of-memory"]
    assert all(t.result["error"] == FULL.splitlines()[0] for t in failed)


def test_memory_that_runs_out_while_a_stopped_trial_is_saved_is_its_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once: it is told so, and its ticket is used."""

    def full(_: Chain) -> None:
        raise RuntimeError(FULL)

    monkeypatch.setattr("reprtune.work.attempt.is_hopeless", lambda *_: True)
    monkeypatch.setattr(Chain, "_keep", lambda _: None)
    monkeypatch.setattr(Chain, "keep_state", full)
    settings = create(tmp_path, slots=2, controls=(), space={"method.criterion": Choice(options=("l2",))})
    heard: list[WorkerMessage] = []
    tickets = Counted(2)
    study = work(settings, heard=heard.append, tickets=tickets)
    assert study.counts() == {"out-of-memory": 2} and tickets.n == 0
    assert [what.outcome for what in heard if what.kind == "end"] == ["out-of-memory"] * 2
