"""Numbers of dropped filters that are kept aside while 0 stands in their place."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from reprtune.training.chain.plan import Segment
from reprtune.training.chain.state import bits_equal, decode
from reprtune.training.chain.trial_networks import TrialNetworks
from reprtune.training.descent import cuda_graph
from reprtune.training.parts.criteria import ScoreContext
from reprtune.training.parts.overlaps import detached
from reprtune.training.parts.schedules import Event
from reprtune.training.platform.seeds import generator
from reprtune.training.surgery.filter_map import FilterMap
from reprtune.training.surgery.subnetwork import SubNetwork
from tests.training.dropping import shaken
from tests.training.parts import DROPS, scored
from tests.training.small_net import context, network
from tests.training.test_dropping import AFTER, DROP, FIRST, RESTORE, SUB, method, train
from tests.training.test_subnetwork import SGD, batch, build, choose
from tests.training.tiny import spec, trial_networks

NAMES = ("convnet-3", "convnet-3-bias", "convnet-3-flat", "resnet-8")
Bits = dict[str, Tensor]


def sub_network(name: str, drop: str = "exact", static: bool = False) -> SubNetwork:
    """Nothing in it is 0 by chance, but for some weights that are -0."""
    model, filters = build(name, torch.float32)
    sprinkle(shaken(model).parameters(), -0.0)
    momentum = {n: torch.randn_like(p) for n, p in model.named_parameters()}
    return SubNetwork(model, filters, {"momentum": momentum}, drop, static)


@torch.no_grad()
def sprinkle(tensors: Iterable[Tensor], value: float) -> None:
    """A fifth of their numbers become this one."""
    draw = generator(0, "sprinkle")
    for tensor in tensors:
        tensor.masked_fill_(torch.rand(tensor.shape, generator=draw) < 0.2, value)


def everything(filters: FilterMap) -> Tensor:
    return torch.ones(filters.n_filters, dtype=torch.bool)


def copied(state: Bits) -> Bits:
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def different(one: Bits, other: Bits) -> list[str]:
    """Names of the tensors that are not the same bit for bit."""
    assert list(one) == list(other)
    return [name for name in one if not bits_equal(one[name], other[name])]


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("drop", DROPS)
@pytest.mark.parametrize("name", NAMES)
def test_0_stands_where_the_forward_pass_takes_0_and_the_numbers_come_back(
    name: str, drop: str, static: bool
) -> None:
    """In the weights of the filters and, dropped exactly, in what follows them and would not be 0; every other
    number stays. The numbers that are aside are in the whole state, and back when the filters are: bit for
    bit, for the sign of a 0 too."""
    one = sub_network(name, drop, static)
    before, keep = copied(one.model.state_dict()), choose(one.filters)
    one.set_keep(keep)
    expected = copied(before)
    for layer, numbers in one.filters.slices().items():
        silenced = [f"{layer}.weight"]
        if drop == "exact":
            silenced = [f"{layer}.bias", *silenced] if name.endswith("bias") else norm_of(layer)
        for key in silenced:
            expected[key][~keep[numbers]] = 0.0
    assert different(one.model.state_dict(), expected) == [] and different(expected, before) != []
    assert different(one.whole_state(), before) == []
    with one.whole():
        assert different(one.model.state_dict(), before) == []
    assert different(one.model.state_dict(), expected) == []
    one.set_keep(choose(one.filters, 1))
    assert different(one.whole_state(), before) == []
    one.set_keep(everything(one.filters))
    assert different(one.model.state_dict(), before) == []


def norm_of(layer: str) -> list[str]:
    return [f"{layer.replace('conv', 'bn')}.{key}" for key in ("weight", "bias")]


@pytest.mark.parametrize("drop", DROPS)
def test_what_is_changed_inside_whole_is_kept(drop: str) -> None:
    """Numbers of dropped filters are new inside, 0 again after it, and new when the filters are back; also
    after an error."""
    one = sub_network("convnet-3-bias", drop)
    keep = choose(one.filters)
    one.set_keep(keep)
    weight, gone = one.parameters["conv2.weight"], ~keep[one.filters.slices()["conv2"]]
    with contextlib.suppress(KeyError), torch.no_grad(), one.whole():
        weight[gone] = 7.0
        raise KeyError
    assert not weight[gone].any() and (one.whole_state()["conv2.weight"][gone] == 7).all()
    one.set_keep(everything(one.filters))
    assert (weight[gone] == 7).all()


class Interrupting(TorchDispatchMode):
    """Somebody presses Ctrl-C just before or just after an operation, which are counted."""

    def __init__(self, which: int, late: bool) -> None:
        super().__init__()
        self.left, self.late = which, late

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.left -= 1
        if self.left < 0 and not self.late:
            raise KeyboardInterrupt
        result = func(*args, **(kwargs or {}))
        if self.left < 0:
            raise KeyboardInterrupt
        return result


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("drop", DROPS)
def test_no_number_is_lost_at_whatever_moment_it_is_interrupted(drop: str, late: bool) -> None:
    """From the full network to a sub-network, another one and back: around every single operation the whole
    state is that of before, and the filters can be set again."""
    one = sub_network("convnet-3-bias", drop, static=True)
    full, some, others = everything(one.filters), choose(one.filters), choose(one.filters, 1)
    before = copied(one.model.state_dict())
    for origin, goal in itertools.pairwise((full, some, others, full)):
        for n_done in itertools.count():
            one.set_keep(origin)
            try:
                with Interrupting(n_done, late):
                    one.set_keep(goal)
            except KeyboardInterrupt:
                assert different(one.whole_state(), before) == []
            else:
                break
        assert n_done > 20 and different(one.whole_state(), before) == []


@pytest.mark.parametrize("drop", DROPS)
@pytest.mark.parametrize("name", ["convnet-3", "convnet-3-bias"])
def test_a_state_of_a_sub_network_is_loaded_into_any_phase(name: str, drop: str) -> None:
    """Saved in the middle of a sub-network phase, into a new network, one with other filters dropped, and one
    whose filters are back: the same bytes again, and the same training from there."""
    changes = {"drop": drop, "model__batch_norm": name == "convnet-3"}
    one = train(method(**changes), FIRST, DROP, Segment(8, 12, "sub", 0))
    payload = one.save(pause_after=2)
    later = (FIRST, DROP, SUB, RESTORE, AFTER, Event("drop", 24, 1))
    others = [method(**changes), train(method(**changes), *later), train(method(**changes), *later[:4])]
    assert [other.network.is_full for other in others] == [True, False, True]
    assert not torch.equal(others[1].network.keep, one.network.keep)
    rest = (Segment(12, 16, "sub", 0), RESTORE, AFTER)
    train(one, *rest)
    for other in others:
        other.load(payload)
        assert different(tensors_in(other), tensors_of(payload)) == []
        train(other, *rest)
        assert different(tensors_in(other), tensors_in(one)) == []


def tensors_of(payload: bytes) -> Bits:
    return {name: t for name, t in sorted(decode(payload)[0].items()) if name.startswith(("net", "step"))}


def tensors_in(one: TrialNetworks) -> Bits:
    return tensors_of(one.save())


@pytest.mark.parametrize("broken", [False, True])
def test_the_oracle_leaves_every_bit(broken: bool) -> None:
    """It silences one filter after the other; also when the last images cannot be read."""
    one = network()
    sprinkle(one.parameters.values(), -0.0)
    before = copied(one.model.state_dict())
    images = list(context(one).batches())
    calls = itertools.count()

    def batches() -> list[tuple[Tensor, Tensor]]:
        bad = (torch.zeros(60, 1, 8, 8), torch.zeros(60, dtype=torch.int64))
        return [*images, bad] if broken and next(calls) == 5 else images

    of = ScoreContext(0, 0, one, batches)
    if broken:
        with pytest.raises(RuntimeError):
            scored("oracle", detached(one), of)
        assert next(calls) == 6
    else:
        scored("oracle", detached(one), of)
    assert different(one.model.state_dict(), before) == []


@pytest.mark.parametrize("criterion", ["l2", "bn-gamma", "activation", "oracle", "taylor", "hessian"])
def test_a_drop_while_others_are_dropped_ranks_the_whole_network(criterion: str) -> None:
    """With their numbers, as when all are there; afterwards the new ones are dropped, and nothing is lost."""
    one, other = (method(criterion=criterion) for _ in range(2))
    train(one, FIRST)
    other.load(one.save())
    other.network.set_keep(choose(other.filters, 2))
    before = copied(one.model.state_dict())
    for trial in (one, other):
        train(trial, DROP)
        assert different(trial.network.whole_state(), before) == []
    assert one.drops == other.drops and torch.equal(one.network.keep, other.network.keep)


# -- what a step holds -----------------------------------------------------------------------------


def is_fast(*lists: list[Tensor]) -> bool:
    """Does torch take such lists in a few kernels, and not in one for each tensor? If all are of one device and
    type, without holes, and those at one place of one shape and of the same strides."""
    first = lists[0][0]
    return all(
        t.device == first.device
        and t.dtype == first.dtype
        and torch.ops.aten.is_non_overlapping_and_dense(t)
        and (t.shape, t.stride()) == (row[0].shape, row[0].stride())
        for row in zip(*lists, strict=True)
        for t in row
    )


BY_FILTER = {"training.optimizer": "adam", "training.bias_correction": "filter"}


@pytest.mark.parametrize("name", ["convnet-3", "resnet-20", "densenet-10-4"])
@pytest.mark.parametrize(("optimizer", "n_each"), [({}, 2), (BY_FILTER, 4)], ids=["sgd", "adam"])
def test_holding_is_fast_in_a_graph(
    name: str, optimizer: dict[str, Any], n_each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounds are as their tensors are, also those of kernels in channels-last format and of Adam's counts; before
    and after steps in each phase, in their places."""
    monkeypatch.setattr(cuda_graph, "why_eager", lambda *_: None)
    one = trial_networks(spec(**{"model.name": name, "model.width": None, **optimizer}))
    held = one.network._held
    n_parameters = sum(1 for n in one.network.parameters if n != "fc.bias")
    assert len(held.tensors) >= n_each * n_parameters
    places = [t.data_ptr() for t in (*held.tensors, *held.low, *held.high)]
    for keep in (everything(one.filters), choose(one.filters), everything(one.filters)):
        one.network.set_keep(keep)
        for _ in range(2):
            one.step(torch.randn(4, 1, 8, 8), torch.arange(4))
        assert one.network._held is held
        assert is_fast(held.tensors, held.low) and is_fast(held.tensors, held.high)
    assert [t.data_ptr() for t in (*held.tensors, *held.low, *held.high)] == places


@pytest.mark.parametrize("value", [-0.0, 3.5, torch.inf, -torch.inf])
def test_holding_changes_no_bit_of_what_may_move(value: float) -> None:
    """Whatever number stands there: a captured step of the full network is the eager one."""
    one = sub_network("convnet-3", static=True)
    tensors = {**one.model.state_dict(), **{f"{n}, momentum": t for n, t in one.state["momentum"].items()}}
    sprinkle((tensor for tensor in tensors.values() if tensor.dim() > 0), value)
    before = copied(tensors)
    one.hold()
    assert different(tensors, before) == []


@pytest.mark.parametrize("static", [False, True])
def test_what_may_not_move_comes_back_from_infinity(static: bool) -> None:
    """A step that overflowed in a dropped filter alone has done nothing."""
    one = sub_network("convnet-3-bias", static=static)
    one.set_keep(choose(one.filters))
    before, momentum = copied(one.whole_state()), copied(one.state["momentum"])
    with torch.no_grad():
        for name, mask in one.absent_regions().items():
            gone = (mask == 0).expand_as(one.parameters[name])
            one.parameters[name][gone] = torch.inf
            one.state["momentum"][name][gone] = -torch.inf
    one.hold()
    assert all(torch.equal(tensor, before[name]) for name, tensor in one.whole_state().items())
    assert all(torch.equal(tensor, momentum[name]) for name, tensor in one.state["momentum"].items())


@pytest.mark.parametrize("drop", DROPS)
def test_gradients_of_dropped_filters_move_nothing(drop: str) -> None:
    """They are not all 0 where 0 stands in a parameter: a step moves these, and `hold` puts them back."""
    one = sub_network("resnet-8", drop)
    keep = choose(one.filters)
    one.set_keep(keep)
    before = copied(one.whole_state())
    x, y = batch(0, torch.float32)
    optimizer = torch.optim.SGD(one.model.parameters(), **SGD)
    F.cross_entropy(one.forward(x), y).backward()
    optimizer.step()
    names = {
        layer: f"{layer}.weight" if drop == "weights-only" else norm_of(layer)[0]
        for layer in one.filters.layers
    }
    rows = [(name, one.parameters[name], keep[one.filters.slices()[layer]]) for layer, name in names.items()]
    assert any(parameter[~kept].any() for _, parameter, kept in rows)
    one.hold()
    after = one.whole_state()
    for name, parameter, kept in rows:
        assert not parameter[~kept].any() and torch.equal(after[name][~kept], before[name][~kept])
        assert not torch.equal(after[name][kept], before[name][kept])
