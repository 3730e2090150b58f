"""The restore rules besides RePr's, and the norms, against numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from reprtune.spec.parts.restores import SCALES
from reprtune.training.parts.restores import Restored, RuleContext
from reprtune.training.platform.seeds import generator
from tests.training.parts import restored

RULES = ("orthogonal", "as-released", "random", "old")  # those that have a norm to scale
MASK = torch.tensor([False, True, True, False, False, True, False, False])


def layer(*shape: int, name: str = "w") -> Tensor:
    return torch.randn(shape, generator=generator(0, name, *shape)) * 0.2


def restore(rule: str, weight: Tensor, mask: Tensor = MASK, scale: str = "own", seed: int = 0) -> Restored:
    context = RuleContext(generator(seed, "restore"), lambda: layer(*weight.shape, name="new network"))
    return restored(rule, weight, mask, context, None if scale == "own" else scale)


def rows(weight: Tensor) -> np.ndarray:
    return weight.double().reshape(len(weight), -1).numpy()


def gram_schmidt(vectors: np.ndarray) -> np.ndarray:
    """Each row less its shadow on those before it, one after another, at norm 1."""
    done: list[np.ndarray] = []
    for vector in vectors:
        rest = vector
        for before in done:
            rest = rest - (rest @ before) * before
        done.append(rest / np.linalg.norm(rest))
    return np.array(done)


@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (8, 8, 1, 1), (8, 1, 3, 3), (8, 12)])
def test_as_released_is_what_gram_schmidt_leaves_of_the_old_filter(shape: tuple[int, ...]) -> None:
    """Outside all filters before it, whether dropped or not, at norm 1; at an acute angle to the old one."""
    weight = layer(*shape)
    result = restore("as-released", weight)
    expected = gram_schmidt(rows(weight))[MASK.numpy()]
    assert rows(result.weight) == pytest.approx(expected, abs=1e-6)
    assert result.weight.shape == (3, *shape[1:]) and result.levels == ("released",) * 3
    assert ((expected * rows(weight[MASK])).sum(1) > 0).all()


def test_as_released_is_not_orthogonal_to_later_filters() -> None:
    """The second of (1, 0), (1, 1), (0, 1) becomes (0, 1): the survivor after it, for all the rule cares."""
    weight = torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, 1, 0]]).reshape(3, 3, 1, 1)
    result = restore("as-released", weight, torch.tensor([False, True, False]))
    assert rows(result.weight)[0] == pytest.approx([0, 1, 0], abs=1e-7)


@pytest.mark.parametrize("shape", [(8, 1, 2, 3), (8, 3, 2, 1), (8, 5)])
def test_as_released_scrambles_a_layer_of_more_filters_than_numbers(shape: tuple[int, ...]) -> None:
    """There the kernel in TensorFlow's order is read as J x d without transposing, column by column."""
    weight = layer(*shape)
    there = np.transpose(weight.double().numpy(), (*range(2, len(shape)), 1, 0))
    d = there.size // 8
    q = gram_schmidt(there.reshape(8, d).T)  # its rows are the columns of Q (8, d)
    expected = np.transpose(q.reshape(there.shape), (-1, -2, *range(len(shape) - 2)))[MASK.numpy()]
    result = restore("as-released", weight)
    assert result.weight.double().numpy() == pytest.approx(expected, abs=1e-6)
    assert result.levels == ("scrambled",) * 3


def test_as_released_leaves_a_dead_filter_dead() -> None:
    """Nothing is left of 0."""
    weight = layer(8, 4, 3, 3)
    weight[2] = 0
    new = rows(restore("as-released", weight).weight)
    assert np.linalg.norm(new, axis=1) == pytest.approx([1, 0, 1], abs=1e-6)


def test_random_is_a_new_network_zero_is_zero_and_old_is_old() -> None:
    """The same rows of the layer in a new network; 0; the rows as they are: not a bit else."""
    weight = layer(8, 2, 3, 3)
    assert torch.equal(restore("random", weight).weight, layer(8, 2, 3, 3, name="new network")[MASK])
    assert torch.equal(restore("zero", weight).weight, torch.zeros(3, 2, 3, 3))
    assert torch.equal(restore("old", weight).weight, weight[MASK])
    for rule in ("random", "zero", "old"):
        assert restore(rule, weight).levels == (rule,) * 3


@pytest.mark.parametrize("rule", [*RULES, "zero"])
def test_rules_leave_what_they_look_at_and_draw_from_their_generator_alone(rule: str) -> None:
    """Also of channels-last weights with gradients; the result has their type, and shares no memory."""
    weight = layer(8, 2, 3, 3).contiguous(memory_format=torch.channels_last).requires_grad_()
    before, state = weight.detach().clone(), torch.random.get_rng_state()
    new = restore(rule, weight).weight
    assert torch.equal(new, restore(rule, before.contiguous()).weight)
    assert new.dtype == torch.float32 and not new.requires_grad
    new += 1
    assert torch.equal(weight, before) and torch.equal(torch.random.get_rng_state(), state)


def norms(weight: Tensor) -> np.ndarray:
    return np.linalg.norm(rows(weight), axis=1)


@pytest.mark.parametrize("rule", RULES)
def test_norms_are_those_asked_for(rule: str) -> None:
    """own: the rule's; survivors: their mean; old: each its own; the direction stays the rule's."""
    weight = layer(8, 4, 3, 3) * torch.arange(1.0, 9).reshape(8, 1, 1, 1)
    own = restore(rule, weight).weight
    mean = norms(weight[~MASK]).mean()
    expected = {
        "orthogonal": [mean] * 3,
        "as-released": [1] * 3,
        "random": norms(layer(8, 4, 3, 3, name="new network")[MASK]),
        "old": norms(weight[MASK]),
    }
    assert norms(own) == pytest.approx(expected[rule], rel=1e-6)
    for scale, lengths in (("survivors", [mean] * 3), ("old", norms(weight[MASK]))):
        new = restore(rule, weight, scale=scale).weight
        assert norms(new) == pytest.approx(lengths, rel=1e-6)
        assert rows(new) / norms(new)[:, None] == pytest.approx(rows(own) / norms(own)[:, None], abs=1e-6)
    assert set(SCALES) == {"own", "survivors", "old", "clip"}


@pytest.mark.parametrize("rule", RULES)
def test_clip_cuts_weights_to_the_largest_of_the_survivors(rule: str) -> None:
    """A random vector in 36 dimensions has norm 6, so most weights of 0.2 are cut; signs are the rule's."""
    weight = layer(8, 4, 3, 3)
    limit = weight[~MASK].abs().max().item()
    own, new = (rows(restore(rule, weight, scale=scale).weight) for scale in ("own", "clip"))
    assert np.abs(new).max() == pytest.approx(limit) and limit < 1
    assert (np.sign(new) == np.sign(own)).all()
    whole = np.abs(new) < limit * (1 - 1e-6)
    assert (~whole).any()
    for one, direction, free in zip(new, own, whole, strict=True):  # what was not cut shows the length
        ratio = one[free] / direction[free]
        assert ratio == pytest.approx(np.full(len(ratio), ratio.mean()), rel=1e-4)
        assert 3 < ratio.mean() * np.linalg.norm(direction) < 9


def test_clip_has_the_length_of_a_random_vector() -> None:
    """Where a survivor is large nothing is cut: the squared norm has mean d = 4 and variance 2 d = 8 (chi
    square); 300 draws give the mean within 5 deviations of it, 0.82."""
    weight = layer(8, 4, 1, 1)
    weight[0, 0] = 100
    lengths = np.array([norms(restore("old", weight, scale="clip", seed=s).weight) for s in range(100)])
    assert (lengths**2).mean() == pytest.approx(4, abs=5 * (8 / 300) ** 0.5)
    assert (lengths**2).var() == pytest.approx(8, rel=0.6)


@pytest.mark.parametrize("scale", ["survivors", "old", "clip"])
def test_norms_of_dead_layers(scale: str) -> None:
    """A filter without direction stays 0; a dead layer gives norm 1, old norms 0, and weights cut to 1."""
    weight = torch.zeros(8, 2, 3, 3)
    assert not restore("old", weight, scale=scale).weight.any()
    new = restore("orthogonal", weight, scale=scale).weight
    expected = {"survivors": 1, "old": 0}
    if scale in expected:
        assert norms(new) == pytest.approx([expected[scale]] * 3, rel=1e-6, abs=1e-12)
    else:
        assert new.abs().max() <= 1 and norms(new).min() > 1
