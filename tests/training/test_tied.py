"""Training with tied filters against torch's autograd and optimizers on what these filters are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reprtune.spec.training import TrainingSpec
from reprtune.training.descent.optimizers import Optimizer
from reprtune.training.parts.drops.tied_weights import TiedWeights
from reprtune.training.surgery import spatial
from reprtune.training.surgery.subnetwork import SubNetwork
from tests.training.test_subnetwork import batch, build, choose

STEPS, WARM = 6, 3
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.9, "weight_decay": 0.01},
    "nesterov": {"momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
    "adam": {"optimizer": "adam", "weight_decay": 0.01},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.01},
    "adam, per filter": {"optimizer": "adam", "weight_decay": 0.01, "bias_correction": "filter"},
}
LR = 0.05


@dataclass
class Setting:
    name: str
    network: SubNetwork
    tied: TiedWeights
    optimizer: Optimizer

    def train(self, numbers: range) -> None:
        """As `Step` does, but for its loss, which is in float32."""
        for number in numbers:
            x, y = batch(number, torch.float64)
            self.optimizer.zero_grad()
            F.cross_entropy(self.network.forward(x), y).backward()
            self.tied.gradients(self.optimizer.named_gradients())
            self.optimizer.step()
            self.tied.hold()

    def tie(self) -> None:
        self.tied.drop(~choose(self.network.filters))

    def states(self) -> dict[str, Tensor]:
        """All numbers there are, by name."""
        optimizer = {f"{kind}/{n}": t for kind, group in self.network.state.items() for n, t in group.items()}
        state = {**self.network.model.state_dict(), **optimizer}
        return {name: tensor.clone() for name, tensor in state.items()}

    def take_over(self, other: Setting) -> None:
        """All numbers, and the tensors of the ties, as a stored state has them."""
        states = other.states()
        self.network.model.load_state_dict(states, strict=False)
        for kind, group in self.network.state.items():
            for name, tensor in group.items():
                tensor.copy_(states[f"{kind}/{name}"])
        self.network.set_keep(other.network.keep)
        self.tied.load({name: tensor.clone() for name, tensor in other.tied.tensors().items()})

    def logits(self) -> Tensor:
        self.network.model.eval()
        with torch.no_grad():
            found = self.network.forward(batch(99, torch.float64)[0])
        self.network.model.train()
        return found


def setting(optimizer: str = "sgd", name: str = "convnet-3", static: bool = False, **options: Any) -> Setting:
    """With momentum and statistics that are not those of a new network."""
    model, filters = build(name, torch.float64)
    spec = TrainingSpec(**OPTIMIZERS[optimizer])
    rule = Optimizer(spec, model.named_parameters(), torch.tensor(LR, dtype=torch.float64))
    network = SubNetwork(model, filters, rule.state, "tied", static)
    tied = TiedWeights(network, static, **{"transforms": "all", "fit_scale": True, **options})
    made = Setting(name, network, tied, rule)
    made.train(range(-WARM, 0))
    return made


class MadeOf:
    """The network written as what its filters are made of: kept filters and all else are its parameters, the
    others are made by hand in every forward pass; trained by torch."""

    def __init__(self, of: Setting, optimizer: str) -> None:
        self.ties = of.tied.ties
        self.model, _ = build(of.name, torch.float64)
        self.model.load_state_dict(of.network.model.state_dict())
        self.free = {
            n: p.detach()[self.rows(n)].clone().requires_grad_() for n, p in self.model.named_parameters()
        }
        options = {
            k: v for k, v in OPTIMIZERS[optimizer].items() if k not in ("optimizer", "bias_correction")
        }
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "adam, per filter": torch.optim.Adam}
        self.optimizer = kind.get(optimizer, torch.optim.SGD)(self.free.values(), lr=LR, **options)
        for name, parameter in self.free.items():
            own = {
                k: group[name][self.rows(name)].clone()
                for k, group in of.network.state.items()
                if k != "count"
            }
            if "momentum" in own:
                own = {"momentum_buffer": own["momentum"]}
            else:
                own["step"] = torch.tensor(float(WARM))
            self.optimizer.state[parameter] = own

    def rows(self, name: str) -> Tensor | slice:
        ties = self.ties.get(name.removesuffix(".weight"))
        return slice(None) if ties is None else ties.source == torch.arange(len(ties.source))

    def made(self, name: str) -> Tensor:
        ties, own = self.ties.get(name.removesuffix(".weight")), self.free[name]
        if ties is None:
            return own
        kept = torch.arange(len(ties.source))[self.rows(name)].tolist()
        rows = []
        for j in range(len(ties.source)):
            source = own[kept.index(int(ties.source[j]))]
            transform = spatial.transforms("all", (3, 3))[int(ties.transform[j])]
            rows.append(float(ties.scale[j]) * transform(source[None])[0])
        return torch.stack(rows)

    def train(self, numbers: range) -> None:
        for number in numbers:
            x, y = batch(number, torch.float64)
            self.optimizer.zero_grad()
            weights = {name: self.made(name) for name in self.free}
            F.cross_entropy(torch.func.functional_call(self.model, weights, (x,)), y).backward()
            self.optimizer.step()


@pytest.mark.parametrize("name", ["convnet-3", "resnet-8"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_it_trains_as_the_network_of_what_filters_are_made_of(optimizer: str, name: str) -> None:
    """After several steps every weight, every number of BatchNorm and the optimizer's state of every kept filter
    are those of torch on the explicit network."""
    ours = setting(optimizer, name)
    ours.tie()
    assert sum(int(ties.tied.sum()) for ties in ours.tied.ties.values()) > 5
    theirs = MadeOf(ours, optimizer)
    ours.train(range(STEPS))
    theirs.train(range(STEPS))
    expected = {n: theirs.made(n).detach() for n in theirs.free} | dict(theirs.model.named_buffers())
    for key, tensor in expected.items():
        torch.testing.assert_close(
            ours.network.model.state_dict()[key], tensor, rtol=1e-8, atol=1e-10, msg=key
        )
    for key, parameter in theirs.free.items():
        for kind, group in ours.network.state.items():
            state = theirs.optimizer.state[parameter].get({"momentum": "momentum_buffer"}.get(kind, kind))
            if state is not None:
                torch.testing.assert_close(
                    group[key][theirs.rows(key)], state, rtol=1e-8, atol=1e-10, msg=key
                )


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_the_optimizer_holds_of_tied_filters_stays(optimizer: str) -> None:
    """Not a bit of it moves while they are tied, and each goes on from there when they are not."""
    ours = setting(optimizer)
    before = ours.states()
    ours.tie()
    ours.train(range(STEPS))
    after = ours.states()
    for name, ties in ours.tied.ties.items():
        for kind in ours.network.state:
            key = f"{kind}/{name}.weight"
            assert torch.equal(after[key][ties.tied], before[key][ties.tied])
            assert not torch.equal(after[key][~ties.tied], before[key][~ties.tied])
    tied = ours.tied.ties
    ours.tied.release()
    ours.train(range(1))
    for name, ties in tied.items():
        for kind in ours.network.state:
            key = f"{kind}/{name}.weight"
            assert not torch.equal(ours.states()[key][ties.tied], after[key][ties.tied])


@pytest.mark.parametrize("static", [False, True])
def test_untying_changes_no_number(static: bool) -> None:
    """Logits and states are the same to the bit before and after; then the filters move apart."""
    ours = setting(static=static)
    ours.tie()
    ours.train(range(2))
    logits, states, ties = ours.logits(), ours.states(), ours.tied.ties["conv2"]
    ours.tied.release()
    assert torch.equal(ours.logits(), logits)
    assert all(torch.equal(tensor, states[name]) for name, tensor in ours.states().items())
    assert ours.network.is_full and not ours.tied.is_active
    ours.train(range(2, 4))
    weight = ours.network.parameters["conv2.weight"].detach()
    made = ties.maps(spatial.matrices("all", (3, 3))) @ weight[ties.source].flatten(2).mT
    assert (made.mT.reshape(weight.shape) - weight)[ties.tied].abs().max() > 1e-3


def test_static_is_the_same() -> None:
    """With all that acts in a step there from the start, before, during and after ties, every number is."""
    one, other = setting(), setting(static=True)
    for each in (one, other):
        each.tie()
        each.train(range(3))
        each.tied.release()
        each.train(range(3, 5))
        each.tied.drop(choose(each.network.filters, 1) == 0)
        each.train(range(5, 7))
    states = other.states()
    for name, tensor in one.states().items():
        torch.testing.assert_close(states[name], tensor, rtol=1e-12, atol=1e-13, msg=name)


@pytest.mark.parametrize("optimizer", ["sgd", "adam, per filter"])
def test_it_goes_on_from_a_state(optimizer: str) -> None:
    """Another network that takes over all numbers and the tensors of the ties trains on to the same bits."""
    ours, other = setting(optimizer), setting(optimizer)
    ours.tie()
    ours.train(range(3))
    other.take_over(ours)
    assert other.tied.numbers() == ours.tied.numbers()
    for each in (ours, other):
        each.train(range(3, 6))
    assert all(torch.equal(tensor, ours.states()[name]) for name, tensor in other.states().items())
    other.tied.load({})
    assert not other.tied.ties and other.tied.tensors() == {} and other.tied.numbers() == {}


def test_a_tie_tells_what_it_changed() -> None:
    """The length of the change of all tied filters together, relative to theirs; with no transforms but the
    identity more than with all."""
    changed = []
    for transforms in ("identity", "all"):
        ours = setting(transforms=transforms)
        before = ours.states()
        ours.tie()
        old, new = ([], [])
        for name, ties in ours.tied.ties.items():
            old.append(before[f"{name}.weight"][ties.tied].flatten())
            new.append(ours.states()[f"{name}.weight"][ties.tied].flatten())
        expected = float((torch.cat(new) - torch.cat(old)).norm() / torch.cat(old).norm())
        assert ours.tied.numbers() == {"tied_distance": pytest.approx(expected, rel=1e-12)}
        changed.append(expected)
    assert changed[0] > changed[1] > 0
