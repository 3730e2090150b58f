"""New generations: what begins anew, what stays, and trials that consist of several."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from reprtune.errors import SpecError
from reprtune.spec.duration import Duration
from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.restores import RestoreRules
from reprtune.spec.presets import KNOWLEDGE_EVOLUTION, LATER_LAYER_FORGETTING, REDO, STANDARD, compose
from reprtune.states.store import StateStore
from reprtune.training.chain.plan import Item, Segment, learning_rates, plan, restarts, rungs
from reprtune.training.chain.trial_networks import TrialNetworks
from reprtune.training.models import build_model
from reprtune.training.parts.schedules import Event
from reprtune.training.platform.seeds import derive
from tests.training.tiny import (
    SPEC,
    assert_same_end,
    finish,
    in_turns,
    names,
    spec,
    trial_networks,
)

KE = compose(KNOWLEDGE_EVOLUTION, generations=3)
LLF = compose(LATER_LAYER_FORGETTING, generations=3)
ALL = compose(LATER_LAYER_FORGETTING, generations=3, selection="everything", restore_bn="reset")
OPTIMIZERS = {
    "sgd": {},
    "adam": {"training__optimizer": "adam", "training__lr": 0.003},
    "adam, per filter": {
        "training__optimizer": "adam", "training__lr": 0.003, "training__bias_correction": "filter",
    },
}  # fmt: skip


def trained(method: MethodSpec, **changes: Any) -> TrialNetworks:
    """After one epoch, with momentum."""
    networks = trial_networks(spec(method=method, **changes))
    networks.train(Segment(0, 8, "full", 0), learning_rates(networks.spec.training, 8), lambda: False)
    return networks


def renew(networks: TrialNetworks, cycle: int = 0) -> None:
    networks.apply_event(Event("renew", networks.step_done, cycle))
    assert networks.network.is_full


def state(networks: TrialNetworks) -> dict[str, Tensor]:
    return {name: t.clone() for name, t in networks.model.state_dict().items()}


def new(networks: TrialNetworks, purpose: str, cycle: int = 0, member: int = 0) -> dict[str, Tensor]:
    """A network that is built from that seed."""
    seed = derive(networks.spec.seed, purpose, member, cycle)
    return dict(build_model(networks.spec.model, 1, (8, 8), 10, seed, member).state_dict())


def optimizer(networks: TrialNetworks, member: int = 0) -> dict[str, Tensor]:
    return networks.members[member].step.optimizer.tensors()


# -- everything -------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_everything_is_a_new_network_with_a_new_optimizer(changes: dict[str, Any]) -> None:
    """Bit for bit the network that is built from the seed of this generation: statistics and counts of batches
    too; and no state of the optimizer, as before its first step."""
    networks = trained(ALL, **changes)
    assert all(t.any() for t in optimizer(networks).values())
    for cycle in (0, 1):
        renew(networks, cycle)
        found, expected = state(networks), new(networks, "renew", cycle)
        assert set(found) == set(expected)
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert not any(t.any() for t in optimizer(networks).values())
    assert [h.numbers["renewed"] > 0.9 for h in networks.happenings] == [True, True]


def test_each_member_begins_anew_as_itself() -> None:
    """Seeds are of the member; the second network is not the first one."""
    networks = trained(compose(ALL, n_members=2))
    renew(networks)
    for number in (0, 1):
        found, expected = networks.members[number].model.state_dict(), new(networks, "renew", member=number)
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert [h.member for h in networks.happenings] == [0, 1]


def test_everything_may_keep_batch_norm_or_all() -> None:
    """restore_bn = keep leaves its numbers; restore = old leaves everything, and the optimizer alone begins anew."""
    networks = trained(compose(ALL, restore_bn="keep"))
    before = state(networks)
    renew(networks)
    after, fresh = state(networks), new(networks, "renew")
    for name in before:
        assert torch.equal(
            after[name], before[name] if ".running" in name or "bn" in name else fresh[name]
        ), name
    networks = trained(compose(ALL, restore="old"))
    before = state(networks)
    renew(networks)
    assert all(torch.equal(t, before[name]) for name, t in state(networks).items())
    assert not any(t.any() for t in optimizer(networks).values())
    assert networks.happenings[-1].numbers == {"tensors": len(before), "renewed": 0.0}


def test_the_optimizer_may_go_on() -> None:
    """restore_optimizer = keep leaves all of its state."""
    networks = trained(compose(ALL, restore_optimizer="keep"))
    before = {name: t.clone() for name, t in optimizer(networks).items()}
    renew(networks)
    assert all(torch.equal(t, before[name]) for name, t in optimizer(networks).items())


def test_recalibrated_statistics_are_of_the_new_network() -> None:
    """Weights as with reset; the running statistics are others than a new network's 0 and 1."""
    networks = trained(compose(ALL, restore_bn="recalibrate"))
    renew(networks)
    found, fresh = state(networks), new(networks, "renew")
    different = {name for name in fresh if not torch.equal(found[name], fresh[name])}
    assert different == {f"bn{i}.running_{what}" for i in (1, 2, 3) for what in ("mean", "var")}


def test_nothing_but_the_optimizer_and_the_learning_rate_may_begin_anew() -> None:
    """Without a selection no number of the network changes: the control of all that begins anew."""
    rules = {"restore_lr": "restart", "restore_bn": "keep"}
    networks = trained(compose(STANDARD, schedule="generations", restore_rules=RestoreRules(**rules)))
    before = state(networks)
    renew(networks)
    assert all(torch.equal(t, before[name]) for name, t in state(networks).items())
    assert not any(t.any() for t in optimizer(networks).values())
    assert networks.happenings[0].numbers == {"tensors": 0, "renewed": 0.0}


# -- later layers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_later_layers_are_new_and_early_ones_stay(changes: dict[str, Any]) -> None:
    """Of conv1, conv2, conv3 and fc the last two, from the seed of this generation; BatchNorm stays as it is (as
    in the paper's code), all of the optimizer's state is gone."""
    networks = trained(LLF, **changes)
    before = state(networks)
    renew(networks)
    after, fresh = state(networks), new(networks, "renew")
    renewed = {"conv3.weight", "fc.weight", "fc.bias"}
    for name in before:
        assert torch.equal(after[name], fresh[name] if name in renewed else before[name]), name
    assert not any(t.any() for t in optimizer(networks).values())
    numbers = sum(before[n].numel() for n in renewed)
    of = sum(p.numel() for p in networks.model.parameters())
    assert networks.happenings[0].numbers == {"tensors": 8, "renewed": pytest.approx(numbers / of, abs=1e-3)}


def test_later_layers_with_batch_norm_reset() -> None:
    """Then the BatchNorm between them is a new network's, the earlier ones stay."""
    networks = trained(compose(LLF, restore_bn="reset"))
    before = state(networks)
    renew(networks)
    after, fresh = state(networks), new(networks, "renew")
    for name in before:
        late = name.startswith(("conv3.", "bn3.", "fc."))
        assert torch.equal(after[name], fresh[name] if late else before[name]), name


# -- a fixed share ----------------------------------------------------------------------------------


def masks(networks: TrialNetworks, before: dict[str, Tensor], after: dict[str, Tensor]) -> dict[str, Tensor]:
    """Layer -> which of its filters are another network's in every weight that reads the input or a kept one."""
    changed = {n: before[f"{n}.weight"] != after[f"{n}.weight"] for n in networks.filters.layers}
    return {name: part.flatten(1).all(1) for name, part in changed.items()}


def test_the_same_filters_begin_anew_in_every_generation() -> None:
    """Three of six in each layer, as a new network of this generation has them; so are the kernels that read them, in
    the linear layer too. What joins two that stay is equal bit for bit, and so is all of BatchNorm."""
    networks = trained(KE)
    first: dict[str, Tensor] = {}
    for cycle in (0, 1):
        before = state(networks)
        renew(networks, cycle)
        after, fresh = state(networks), new(networks, "restore", cycle)
        renewed = masks(networks, before, after)
        first = first or renewed
        assert all(torch.equal(renewed[n], first[n]) and renewed[n].sum() == 3 for n in renewed)
        for i, reader in ((1, "conv2"), (2, "conv3"), (3, "fc")):
            mine, reading = renewed[f"conv{i}"], after[f"{reader}.weight"]
            assert torch.equal(after[f"conv{i}.weight"][mine], fresh[f"conv{i}.weight"][mine])
            assert torch.equal(reading[:, mine], fresh[f"{reader}.weight"][:, mine])
            kept = ~renewed[reader] if reader != "fc" else torch.ones(10, dtype=torch.bool)
            assert torch.equal(reading[kept][:, ~mine], before[f"{reader}.weight"][kept][:, ~mine])
        assert torch.equal(
            after["conv1.weight"][~renewed["conv1"]], before["conv1.weight"][~renewed["conv1"]]
        )
        for name in before:
            assert ("bn" not in name and name != "fc.bias") or torch.equal(after[name], before[name])
        assert not any(t.any() for t in optimizer(networks).values())
    assert [h.numbers["filters"] for h in networks.happenings] == [9, 9]


def test_a_kept_filter_may_keep_how_it_reads() -> None:
    """restore_next = keep changes rows alone."""
    networks = trained(compose(KE, restore_next="keep"))
    before = state(networks)
    renew(networks)
    after = state(networks)
    for name, renewed in masks(networks, before, after).items():
        assert renewed.sum() == 3
        assert torch.equal(after[f"{name}.weight"][~renewed], before[f"{name}.weight"][~renewed])
    assert torch.equal(after["fc.weight"], before["fc.weight"])


def test_ranked_filters_begin_anew_too() -> None:
    """Any selection of filters: here the smallest third of each layer, restored orthogonally."""
    method = compose(
        KE, selection="share", scope="layer", criterion="l2", restore="orthogonal", exclude_first=False
    )
    networks = trained(compose(method, prune_ratio=0.34))
    before = state(networks)
    renew(networks)
    after = state(networks)
    for name, renewed in masks(networks, before, after).items():
        norms = before[f"{name}.weight"].double().flatten(1).norm(dim=1)
        assert set(renewed.nonzero().flatten().tolist()) == set(norms.argsort()[:2].tolist())


# -- when -------------------------------------------------------------------------------------------


def written(items: tuple[Item, ...]) -> list[str]:
    return [
        f"renew@{i.stop} {i.cycle}" if isinstance(i, Event) else f"{i.start}-{i.stop} {i.cycle}"
        for i in items
    ]


def test_a_plan_by_hand() -> None:
    """30 steps in three generations of 10. A tenth of one is no whole segment of 4, so that every segment is a rung,
    counted from its beginning; segments are counted from step 0 too."""
    trial = spec(method=KE, training__total="30it", training__segment="4it")
    assert rungs(trial, 8) == (4, 8, 10, 14, 18, 20, 24, 28)
    assert written(plan(trial, 8)) == [
        "0-4 0", "4-8 0", "8-10 0", "renew@10 0", "10-12 1", "12-14 1", "14-16 1", "16-18 1", "18-20 1",
        "renew@20 1", "20-24 2", "24-28 2", "28-30 2",
    ]  # fmt: skip


@pytest.mark.parametrize(("total", "n", "ends"), [("30it", 3, [10, 20]), ("10it", 3, [3, 7]), ("9it", 1, [])])
def test_generations_are_of_equal_length(total: str, n: int, ends: list[int]) -> None:
    """Within half a step; one generation is plain training."""
    trial = spec(method=compose(KE, generations=n), training__total=total)
    assert [i.stop for i in plan(trial, 8) if isinstance(i, Event)] == ends
    assert restarts(trial, 8) == tuple(ends)


def test_each_generation_has_the_learning_rates_of_a_training_of_its_length() -> None:
    """With restart, which both papers do; with continue there is one schedule over the whole."""
    trial = spec(method=KE, training__total="30it", training__lr_schedule="cosine")
    whole = learning_rates(trial.training, 8, restarts(trial, 8))
    one = learning_rates(spec(training__total="10it", training__lr_schedule="cosine").training, 8)
    assert whole.tolist() == [*one, *one, *one]
    going_on = spec(method=compose(KE, restore_lr="continue"), training__total="30it")
    assert restarts(going_on, 8) == ()


# -- names ------------------------------------------------------------------------------------------


def common(one: list[str], other: list[str]) -> int:
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def test_methods_share_their_first_generation() -> None:
    """Whatever begins anew after it; and it is plain training of one generation's length, where that is cut at the
    same steps: 6 epochs in three are two each."""
    ke, llf, everything = (names(spec(method=method)) for method in (KE, LLF, ALL))
    short = names(spec(method="standard", training__total="2ep"))
    assert len(short) == 3
    assert ke[:3] == llf[:3] == everything[:3] == short
    assert common(ke, llf) == common(ke, everything) == 3


def test_of_a_schedule_with_an_end_the_short_training_is_shared_and_the_long_one_is_not() -> None:
    """A generation's cosine falls to 0 at its end, like that of plain training of its length; that of plain training
    of the whole length falls more slowly from the first step on."""
    cosine = {"training__lr_schedule": "cosine"}
    ke = names(spec(method=KE, **cosine))
    assert common(ke, names(spec(method="standard", training__total="2ep", **cosine))) == 3
    assert common(ke, names(spec(method="standard", **cosine))) == 1
    assert common(names(spec(method=KE)), names(spec(method="standard"))) == 3  # constant


@pytest.mark.parametrize(
    "change",
    [{"fixed_share": 0.34}, {"restore_bn": "reset"}, {"restore_next": "keep"}, {"restore_optimizer": "keep"}],
    ids=str,
)
def test_what_begins_anew_is_in_the_names_from_the_first_new_generation_on(change: dict[str, Any]) -> None:
    """Not before."""
    one, other = names(spec(method=KE)), names(spec(method=compose(KE, **change)))
    assert common(one, other) == 3 and not {*one[3:]} & {*other[3:]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": compose(LLF, renew_from=("layer4.*",))}, "method.renew_from must match a layer, but 'layer4"),
        ({"method": compose(LLF, keep_layers=0.95)}, "method.keep_layers = 0.95 renews none of 4 layers"),
        ({"method": compose(KE, fixed_share=0.05)}, "method.fixed_share = 0.05 takes none of the 18 filters"),
        ({"method": compose(KE, generations=99)}, "99 generations must fit training.total = 6ep, but are 51 steps"),
        ({"method": compose(REDO, selection="dormant", criterion="bn-gamma"), "model__batch_norm": False},
         "method.criterion = bn-gamma ranks filters by the BatchNorm after them"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_is_trained(changes: dict[str, Any], message: str) -> None:
    """When the trial is laid out, of this network and length."""
    with pytest.raises(SpecError) as caught:
        names(spec(**changes))
    assert caught.value.message.startswith(message) and caught.value.hint


# -- whole trials -----------------------------------------------------------------------------------

METHODS = {
    "knowledge evolution": KE,
    "later layers": LLF,
    "everything": ALL,
    "two members": compose(KE, n_members=2),
    "statistics anew": compose(ALL, restore_bn="recalibrate"),
}


@pytest.mark.parametrize("changes", [OPTIMIZERS["sgd"], OPTIMIZERS["adam"]], ids=["sgd", "adam"])
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_trial_that_is_interrupted_is_the_same(
    store: StateStore, method: MethodSpec, changes: dict[str, Any]
) -> None:
    """Every eleven steps in a new process's shoes; and the learning rate restarts."""
    trial = spec(method=method, training__lr_schedule="cosine", **changes)
    alone = finish(trial)
    assert [h.step for h in alone.history.happenings if h.member == 0] == [16, 32]
    assert_same_end(in_turns(trial, store, 11), alone)


def test_a_network_that_begins_anew_is_trained_like_one_that_is_new() -> None:
    """The last of two generations of everything is a plain training from its beginning, on the images of its own
    epochs: the same loss falls."""
    trial = spec(method=compose(ALL, generations=2))
    points = finish(trial).history.points
    assert [p.step for p in points] == [8, 16, 24, 32, 40, 48]
    assert points[3].train_loss > points[2].train_loss and points[5].train_loss < points[3].train_loss
    assert SPEC.training.total == Duration.parse("6ep")
