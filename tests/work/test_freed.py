"""Networks go when their trials end: on a GPU each would keep its graph's memory from the slots that follow."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import OutOfMemoryError, nn

from reprtune.settings import Settings
from reprtune.spec.levels import level
from reprtune.spec.space import Choice
from reprtune.spec.study import Arm
from reprtune.states.store import StateStore
from reprtune.training.chain import branching, dropping, member
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.train_one import train_one
from reprtune.training.descent import cuda_graph
from reprtune.work.process import WorkerMessage
from tests.training.recorded import Capture
from tests.training.tiny import spec
from tests.work.tiny_worker import LOADED_DATA, create, read, work

pytestmark = pytest.mark.usefixtures("short_lease")
SPACE = {
    "training.lr": Choice(options=(0.05, 1e30)),
    "method.criterion": Choice(options=("l2", "random")),
}


class Networks:
    """Which networks there are, while no garbage collector helps.

    Attributes:
        at_build: how many there were whenever another one was built.
    """

    def __init__(self) -> None:
        self._known: list[weakref.ref[nn.Module]] = []
        self.at_build: list[int] = []

    def note(self, network: nn.Module) -> None:
        self.at_build.append(self.n_alive)
        self._known.append(weakref.ref(network))

    @property
    def n_alive(self) -> int:
        return sum(ref() is not None for ref in self._known)


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Networks]:
    """Of those that are trained; a restore rule builds others for their weights."""
    found, original = Networks(), member.new_network

    def build(*given: Any) -> nn.Module:
        model = original(*given)
        found.note(model)
        return model

    monkeypatch.setattr(member, "new_network", build)
    gc.collect()
    gc.disable()
    yield found
    gc.enable()


@pytest.fixture
def no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where our code asks for it."""
    monkeypatch.setattr(gc, "collect", lambda *_: 0)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials of `random` fail: when their name is made, at a drop, for want of memory, in turn; the errors are
    kept by somebody. Of the others every second is hopeless."""
    drop, name = dropping.drop_filters, branching.root_name
    errors = [ValueError("no name"), OutOfMemoryError("CUDA out of memory."), RuntimeError("no kernel")]

    def drop_filters(network: Any, trial: Any, *rest: Any) -> Any:
        if level(trial, "method.criterion") == "random":
            raise errors[-1]
        return drop(network, trial, *rest)

    def root_name(trial: Any, *rest: Any) -> str:
        if level(trial, "method.criterion") == "random" and trial.training.lr < 1:
            errors.append(errors.pop(0))
            if isinstance(errors[-1], ValueError):
                raise errors[-1]
        return name(trial, *rest)

    monkeypatch.setattr(dropping, "drop_filters", drop_filters)
    monkeypatch.setattr(branching, "root_name", root_name)

    def is_hopeless(_queue: Any, trial: Any, *_: Any) -> bool:
        return bool(trial.user_attrs["slot"] % 2)

    monkeypatch.setattr("reprtune.work.attempt.is_hopeless", is_hopeless)


@pytest.mark.usefixtures("no_collection", "failing")
@pytest.mark.parametrize(("seeds", "captured"), [(1, False), (1, True), (2, False)])
def test_a_trial_that_ended_leaves_no_network(
    tmp_path: Path, networks: Networks, monkeypatch: pytest.MonkeyPatch, seeds: int, captured: bool
) -> None:
    """Whatever its outcome, by counting references alone; and before another is built, of its next seed too."""
    if captured:
        monkeypatch.setattr(cuda_graph, "why_eager", lambda *_: None)
        monkeypatch.setattr(cuda_graph, "capture_on_cuda", Capture())
    controls = (Arm(name="base"),)
    settings = create(
        tmp_path, space=SPACE, slots=14, seeds=seeds, controls=controls, control_seeds=(0,),
        objectives=("val_error",),
    )  # fmt: skip
    study = work(settings)
    ends = {t.outcome for t in (*study.final(), *study.controls)}
    assert ends == {"complete", "stopped", "diverged", "error", "out-of-memory"} and study.pending() == 0
    said = {t.result.get("error", "").split(":")[0] for t in study.final()}
    assert said == {"", "ValueError", "RuntimeError", "CUDA out of memory."}
    assert set(networks.at_build) == {0} and networks.n_alive == 0
    assert len(networks.at_build) >= 15 + (seeds > 1)


@pytest.mark.usefixtures("no_collection")
def test_a_worker_has_only_the_networks_that_it_holds(tmp_path: Path, networks: Networks) -> None:
    """One that waits for a segment of somebody else, and one that is trained; and none after it has left."""
    settings = create(tmp_path, slots=1)
    first = Chain(read(settings).spec.arm_cells()[0][2], LOADED_DATA).names[1]
    assert networks.n_alive == 0
    claim = StateStore(settings.states, "elsewhere:1:0").claim(first)
    assert claim is not None
    ended: list[str] = []

    def heard(what: WorkerMessage) -> None:
        if what.kind == "end":
            ended.append(what.title)

    work(settings, heard=heard, leaving=lambda: len(ended) == 1)
    assert networks.at_build == [0, 0, 1] and networks.n_alive == 0 and ended == ["standard, seed 1"]


def test_a_network_that_refers_to_itself_goes_before_the_next_is_built(
    tmp_path: Path, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person's own may; the collector is asked then, and need not come by itself."""
    build = member.new_network

    def itself(*given: Any) -> nn.Module:
        model = build(*given)
        model.__dict__["me"] = model
        return model

    monkeypatch.setattr(member, "new_network", itself)
    work(create(tmp_path, slots=3, controls=()))
    assert set(networks.at_build) == {0} and networks.n_alive == 1


@pytest.mark.usefixtures("no_collection")
def test_training_one_network_leaves_none(tmp_path: Path, networks: Networks) -> None:
    """For whoever calls it again and again in one process."""
    trial = spec(training__total="2ep", method__cycles=0)
    settings = Settings(runs_dir=tmp_path, device="cpu")
    assert train_one(trial, settings, lambda *_: None, test=True)["outcome"] == "complete"
    assert networks.at_build == [0] and networks.n_alive == 0
