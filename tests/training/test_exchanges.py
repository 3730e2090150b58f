"""What goes around a ring of networks, against float64 by hand: averages and grafting."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from reprtune.errors import SpecError
from reprtune.spec.parts.members import Average, Ring
from reprtune.training.parts.exchanges.blending import blended
from reprtune.training.parts.exchanges.requirements import check_requirements
from reprtune.training.parts.exchanges.ring import entropy, information
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.preceding import Order, entries, order
from tests.training.dropping import EXAMPLE
from tests.training.exchanging import EveryNorm, apply, context_of, differing, members_of, networks
from tests.training.small_net import SmallNet

FOLLOWS = {  # of SmallNet, by hand
    "conv1": "conv1", "bn1": "conv1", "conv2": "conv2", "conv3": "conv3", "bn3": "conv3", "fc": "conv3",
}  # fmt: skip


def numpy_entropy(weight: Tensor) -> float:
    """By NumPy's histogram and SciPy's entropy."""
    counts, _ = np.histogram(weight.double().numpy().ravel(), bins=10)
    return float(stats.entropy(counts))


def share_of(own: float, before: float, a: float = 0.4, c: float = 500.0) -> float:
    return a / math.pi * math.atan(c * (own - before)) + 0.5


def expected(before: list[dict[str, Tensor]], k: int, name: str, share: Any) -> np.ndarray:
    """a W_k + (1 - a) W_(k-1) in float64, whole numbers to the nearest."""
    own, other = (before[i][name].double().numpy() for i in (k, (k - 1) % len(before)))
    mixed = share * own + (1 - share) * other
    return np.asarray(mixed if before[k][name].is_floating_point() else np.round(mixed))


# -- averages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("share", [Fraction(1, 2), Fraction(3, 4), Fraction(1)])
def test_an_average_by_hand(n: int, share: Fraction) -> None:
    """W_k = a W_k + (1 - a) W_(k-1), the first member reading the last, all as they were before."""
    models = networks(n)
    before = apply(Average(own_share=float(share)), models)
    for k, model in enumerate(models):
        for name, tensor in entries(model).items():
            value = expected(before, k, name, float(share))
            np.testing.assert_allclose(tensor.double().numpy(), value, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("part", [Ring(blend_a=0.0), Ring(blend_by="constant"), Ring(blend_c=0.0)])
def test_grafting_without_its_idea_is_averaging(part: Ring) -> None:
    """With A = 0, with c = 0 and with constant shares: bit for bit, also of three networks."""
    grafted, averaged = networks(3), networks(3)
    apply(part, grafted)
    apply(Average(), averaged)
    pairs = zip(members_of(grafted), members_of(averaged), strict=True)
    assert not any(differing(one, other) for one, other in pairs)


@pytest.mark.parametrize(
    ("own", "before", "share", "value"),
    [
        (3, 3, 0.7, 3), (2**62 + 1, 2**62 + 1, 0.7, 2**62 + 1), (10, 0, 0.7, 7), (10, 0, 0.74, 7), (10, 0, 0.76, 8),
        (0, 10, 0.7, 3), (True, True, 0.3, True), (True, False, 0.7, True), (True, False, 0.3, False),
    ],
)  # fmt: skip
def test_whole_numbers_by_hand(own: Any, before: Any, share: float, value: Any) -> None:
    """To the nearest; what is equal stays as it is, however large."""
    found = blended(torch.tensor(own), torch.tensor(before), share, 1 - share)
    assert found.item() == value and found.dtype == torch.tensor(own).dtype


# -- information ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(6, 3, 3, 3), (64, 16, 3, 3), (2, 1, 1, 1)])
def test_entropy_is_that_of_a_histogram(seed: int, shape: tuple[int, ...]) -> None:
    """Of 10 bins between smallest and largest, in nats; the size of the weights does not matter."""
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    assert entropy(weight) == pytest.approx(numpy_entropy(weight), abs=1e-12)
    assert entropy(1024 * weight) == entropy(weight)


def test_entropy_by_hand() -> None:
    """All in one bin: 0; half and half: ln 2; one in each of the ten: ln 10, the largest in the last."""
    assert entropy(torch.full((4, 3, 3, 3), 0.1)) == 0
    assert entropy(torch.tensor([[0.0, 0.0, 5.0, 5.0]])) == pytest.approx(math.log(2), abs=1e-15)
    assert entropy(torch.arange(10.0)) == pytest.approx(math.log(10), abs=1e-15)
    assert entropy(torch.tensor([1.0, math.inf])) == entropy(torch.tensor([math.nan, 1.0])) == 0


def test_size_is_the_mean_of_absolute_weights() -> None:
    """In float64; constant asks nothing of the weights."""
    weight = torch.tensor([[1.0, -2.0], [0.0, 4.0]])
    assert information(weight, "l1") == 1.75
    assert information(weight, "constant") == 0


# -- grafting by layer ----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("by", ["entropy", "l1", "constant"])
@pytest.mark.parametrize(("a", "c"), [(0.4, 500.0), (1.0, 3.0), (0.2, 1e6)])
def test_grafting_by_hand(n: int, by: str, a: float, c: float) -> None:
    """Each entry of each member, with the share of the convolution before it, from copies made before."""
    models = networks(n)
    before = apply(Ring(blend_by=by, blend_a=a, blend_c=c), models)
    ways = {
        "entropy": numpy_entropy,
        "l1": lambda w: float(w.double().abs().mean()),
        "constant": lambda _: 0.0,
    }
    for k, model in enumerate(models):
        for name, tensor in entries(model).items():
            layer = FOLLOWS[name.partition(".")[0]]
            own, other = (ways[by](before[i][f"{layer}.weight"]) for i in (k, (k - 1) % n))
            value = expected(before, k, name, share_of(own, other, a, c))
            np.testing.assert_allclose(tensor.double().numpy(), value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_the_member_with_more_information_keeps_more() -> None:
    """Between 0.3 and 0.7 with A = 0.4; a layer whose weights are all equal holds none."""
    models = networks(2)
    with torch.no_grad():
        models[0].get_parameter("conv1.weight").fill_(1.0)
        models[1].get_parameter("conv1.weight").copy_(torch.linspace(0, 9, 135).reshape(5, 3, 3, 3))
    before = apply(Ring(), models)
    kept = 0.5 - 0.4 / math.pi * math.atan(500 * numpy_entropy(before[1]["conv1.weight"]))
    assert kept == pytest.approx(0.3, abs=1e-3)
    for name in ("conv1.weight", "bn1.running_mean"):
        value = kept * before[0][name].double() + (1 - kept) * before[1][name].double()
        assert torch.allclose(entries(models[0])[name].double(), value, atol=1e-6)


def test_shares_are_rounded_as_released() -> None:
    """To two decimals, which changes the outcome, and leaves two members equal."""
    models, exact = networks(2), networks(2)
    before = apply(Ring(blend_rounded=True, blend_c=1.0), models)
    apply(Ring(blend_c=1.0), exact)
    for layer in ("conv1", "conv2", "conv3"):
        name = f"{layer}.weight"
        share = round(share_of(*(numpy_entropy(old[name]) for old in before), c=1.0), 2)
        assert share != 0.5
        value = expected(before, 0, name, share)
        np.testing.assert_allclose(entries(models[0])[name].double().numpy(), value, rtol=1e-5, atol=1e-6)
    assert differing(entries(models[0]), entries(exact[0]))
    assert not differing(*members_of(models))


# -- grafting by filter ---------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3])
def test_grafting_by_filter_by_hand(n: int) -> None:
    """Convolutions and their BatchNorm channel by channel, with the share of BatchNorm's scale; what is behind them,
    and counts, by the layer's mean share."""
    models = networks(n, EveryNorm)
    before = apply(Ring(blend_level="filter"), models)
    for k, model in enumerate(models):
        for name, tensor in entries(model).items():
            module = name.partition(".")[0]
            norm = {"conv1": "bn1", "conv2": "bn2", "hidden": "bn2", "fc": "bn2"}.get(module, module)
            own, other = (before[i][f"{norm}.weight"].double().abs().numpy() for i in (k, (k - 1) % n))
            share: Any = own / (own + other)
            if module in ("hidden", "fc") or tensor.dim() == 0:
                share = share.mean()
            else:
                share = share.reshape(-1, *[1] * (tensor.dim() - 1))
            value = expected(before, k, name, share)
            np.testing.assert_allclose(tensor.double().numpy(), value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_filters_without_any_scale_are_halved() -> None:
    """Where both scales are 0 there is nothing to weigh; constant halves everywhere."""
    models = networks(2, EveryNorm)
    for model in models:
        with torch.no_grad():
            model.get_parameter("bn1.weight")[0] = 0.0
    before = apply(Ring(blend_level="filter"), models)
    half = (before[0]["conv1.weight"][0] + before[1]["conv1.weight"][0]) / 2
    assert torch.allclose(entries(models[0])["conv1.weight"][0], half)
    halved, averaged = networks(3), networks(3)
    apply(Ring(blend_level="filter", blend_by="constant"), halved)
    apply(Average(), averaged)
    assert not any(differing(*pair) for pair in zip(members_of(halved), members_of(averaged), strict=True))


def order_in(kind: type[nn.Module]) -> Order:
    model = kind()
    return order(find_filters(model, EXAMPLE).graph, model)


def test_by_filter_every_convolution_needs_a_batchnorm() -> None:
    """Said before anything is trained, with the layers that have none; by layer, or in halves, none is needed."""
    with pytest.raises(SpecError) as caught:
        check_requirements(Ring(blend_level="filter"), order_in(SmallNet))
    assert caught.value.message == (
        "method.blend_level = filter takes its shares from the BatchNorm right after each convolution, but conv2 "
        "has none."
    )
    assert "method.blend_level=layer" in str(caught.value.hint)
    check_requirements(Ring(blend_level="filter"), order_in(EveryNorm))
    for rule in (Ring(), Average(), Ring(blend_level="filter", blend_by="constant")):
        check_requirements(rule, order_in(SmallNet))


def test_the_context_says_what_it_knows() -> None:
    """Of the small network, by hand; draws depend on seed, number, member and layer."""
    found = context_of(SmallNet())
    assert found.convolutions == ("conv1", "conv2", "conv3") and found.norms == {
        "conv1": "bn1",
        "conv3": "bn3",
    }
    assert {name.partition(".")[0]: layer for name, layer in found.follows.items()} == FOLLOWS
    assert [*found.follows] == [*entries(SmallNet())]
    draws = [
        context_of(SmallNet(), number, seed).generator(member, layer).initial_seed()
        for number, seed, member, layer in [(0, 7, 0, "a"), (1, 7, 0, "a"), (0, 8, 0, "a"), (0, 7, 1, "a"), (0, 7, 0, "b")]
    ]  # fmt: skip
    assert len({*draws}) == 5
