"""The orthogonal restore against null spaces found by scipy, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import null_space
from torch import Tensor

from reprtune.training.parts.restores import Restored, RuleContext
from reprtune.training.platform.seeds import generator
from tests.training.parts import restored

LIMIT = 1e-5


def layer(*shape: int, name: str = "w") -> Tensor:
    return torch.randn(shape, generator=generator(0, name, *shape)) * 0.2


def dropped(n: int, *which: int) -> Tensor:
    mask = torch.zeros(n, dtype=torch.bool)
    mask[list(which)] = True
    return mask


def restore(weight: Tensor, mask: Tensor, seed: int = 0) -> Restored:
    return restored("orthogonal", weight, mask, context(generator(seed, "restore")))


def context(draw: torch.Generator) -> RuleContext:
    """For rules that look at no initial weights."""
    return RuleContext(draw, lambda: torch.empty(0))


def rows(weight: Tensor) -> np.ndarray:
    return weight.double().reshape(len(weight), -1).numpy()


def cosines(a: np.ndarray, others: np.ndarray) -> np.ndarray:
    """|cos| of one row with others, leaving out others of norm 0."""
    lengths = np.linalg.norm(others, axis=1)
    others = others[lengths > 0] / lengths[lengths > 0, None]
    return np.abs(others @ a) / np.linalg.norm(a)


def check(weight: Tensor, mask: Tensor) -> Restored:
    """Every restored filter has the best level there is, and keeps what its level promises."""
    result = restore(weight, mask)
    old, survivors, new = rows(weight[mask]), rows(weight[~mask]), rows(result.weight)
    d = old.shape[1]
    for i, level in enumerate(result.levels):
        fixed = np.vstack([survivors, old[i]])
        mutual = np.vstack([fixed, new[:i]])
        best = next(
            (n for n, m in (("mutual", mutual), ("survivors", fixed)) if null_space(m).size), "relaxed"
        )
        assert level == best
        if level == "mutual":
            assert cosines(new[i], mutual).max() < LIMIT
        elif level == "survivors":
            assert cosines(new[i], fixed).max() < LIMIT
        else:
            order = np.argsort(-cosines(old[i], survivors))
            kept = np.vstack([old[i], survivors[order[: d // 2 - 1]]])
            assert cosines(new[i], kept).max() < LIMIT
    return result


SHAPES = {
    "room for all": (32, 16, 3, 3),
    "a stem: 32 filters in 27 dimensions": (32, 3, 3, 3),
    "a 1x1 expansion: 64 filters of 16 numbers": (64, 16, 1, 1),
    "as many filters as dimensions": (27, 3, 3, 3),
    "depthwise": (12, 1, 3, 3),
    "a matrix": (10, 12),
}


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_restored_filters_are_orthogonal_wherever_a_null_space_exists(
    shape: tuple[int, ...], share: float
) -> None:
    """|cos| < 1e-5 in float32 to survivors, old value and earlier restored ones; else the stated fallback."""
    n = max(1, round(share * shape[0]))
    which = torch.randperm(shape[0], generator=generator(1, "which"))[:n]
    result = check(layer(*shape), dropped(shape[0], *which.tolist()))
    assert result.weight.shape == (n, *shape[1:]) and len(result.levels) == n


def test_levels_follow_from_counting_dimensions() -> None:
    """3 survivors of 8 dimensions: the first 4 find 8 - 3 - 1 - (0..3) >= 1 left, the fifth only survivors' room."""
    result = check(layer(8, 8, 1, 1), dropped(8, 0, 1, 2, 3, 4))
    assert result.levels == ("mutual",) * 4 + ("survivors",)


def test_the_stem_of_the_paper_has_no_direction_left() -> None:
    """32 filters of 27 numbers, 3 dropped: 29 survivors fill all dimensions, so every filter is relaxed."""
    result = check(layer(32, 3, 3, 3), dropped(32, 4, 11, 30))
    assert result.levels == ("relaxed",) * 3


def test_relaxed_leaves_half_of_the_dimensions_to_chance() -> None:
    """In 4 dimensions: orthogonal to the old value and the one survivor nearest to it, not to the others."""
    weight = torch.cat([torch.eye(4), torch.tensor([[3.0, 2, 1, 0.5]])]).reshape(5, 4, 1, 1)
    mask = dropped(5, 4)
    found = np.array([rows(restore(weight, mask, seed).weight)[0] for seed in range(50)])
    assert np.abs(found @ [3, 2, 1, 0.5]).max() < 1e-5
    assert np.abs(found[:, 0]).max() < 1e-5
    assert (np.abs(found[:, 1:]).max(0) > 0.3).all()
    assert np.linalg.matrix_rank(found, tol=1e-4) == 2


def test_duplicate_and_dead_survivors_take_no_dimensions() -> None:
    """Nine survivors that span two dimensions leave room for mutual restores in nine."""
    base = layer(2, 1, 3, 3)
    weight = torch.cat(
        [base, base * 2, -base, base.flip(0), torch.zeros(1, 1, 3, 3), layer(6, 1, 3, 3, name="d")]
    )
    result = check(weight, dropped(15, *range(9, 15)))
    assert result.levels == ("mutual",) * 6


def test_survivors_that_differ_by_rounding_count_as_one() -> None:
    """Copies after one part in 10^7 take one dimension, and the limit still holds for each of them."""
    base = layer(8, 8, 1, 1)
    copies = base[:7] * (1 + 1e-7 * layer(7, 8, 1, 1, name="noise"))
    weight = torch.cat([base[:7], copies, base[7:]])
    mask = dropped(15, 14)
    base64 = rows(base)
    assert null_space(np.vstack([base64[:7], base64[7:]])).size == 0
    assert restore(weight, mask).levels == ("relaxed",)
    weight[14] = weight[0] + weight[1]  # the old value inside the span of the survivors leaves one direction
    result = restore(weight, mask)
    assert result.levels == ("mutual",)
    assert cosines(rows(result.weight)[0], rows(weight)).max() < LIMIT


def test_an_old_value_of_zero_asks_for_nothing() -> None:
    """A dead filter comes back orthogonal to the survivors alone."""
    weight = layer(5, 4, 1, 1)
    weight[[0, 1]] = 0
    result = check(weight, dropped(5, 0, 1))
    assert result.levels == ("mutual", "survivors")


def test_the_norm_is_the_mean_norm_of_the_survivors() -> None:
    """Survivors of norms 1 and 3 give 2, whatever the dropped ones were."""
    weight = torch.zeros(4, 2, 3, 3)
    weight[0, 0, 0, 0], weight[1, 1, 1, 1] = 1, -3
    weight[2:] = 50
    new = rows(restore(weight, dropped(4, 2, 3)).weight)
    assert np.linalg.norm(new, axis=1) == pytest.approx([2, 2], rel=1e-6)


@pytest.mark.parametrize(("old", "norm"), [(6.0, 2.0), (0.0, 1.0)])
def test_dead_survivors_have_no_norm_to_take(old: float, norm: float) -> None:
    """Then it is the mean norm of all filters, (0 + 0 + 6) / 3 = 2, and 1 where the whole layer is dead."""
    weight = torch.zeros(3, 1, 3, 3)
    weight[2, 0, 1, 1] = old
    new = rows(restore(weight, dropped(3, 2)).weight)
    assert np.linalg.norm(new) == pytest.approx(norm, rel=1e-6)


def test_filters_of_one_number_get_a_random_sign() -> None:
    """In one dimension nothing is orthogonal: plus or minus the mean norm, both in a few draws."""
    weight = torch.tensor([2.0, -4.0, 1.0]).reshape(3, 1, 1, 1)
    drawn = [restore(weight, dropped(3, 2), seed) for seed in range(20)]
    assert {r.levels for r in drawn} == {("relaxed",)}
    assert {r.weight.item() for r in drawn} == {3.0, -3.0}


def test_directions_are_random_over_all_that_is_free() -> None:
    """Two survivors and the old value of 5 dimensions leave a plane, filled evenly over 400 seeds."""
    weight = layer(3, 5, 1, 1)
    free = null_space(rows(weight))
    drawn = np.vstack([rows(restore(weight, dropped(3, 1), seed).weight) for seed in range(400)]) @ free
    angles = np.arctan2(drawn[:, 1], drawn[:, 0])
    assert np.histogram(angles, bins=4, range=(-np.pi, np.pi))[0] == pytest.approx([100] * 4, abs=35)


def test_the_generator_decides_and_the_weights_stay() -> None:
    """The same generator gives the same bits, another one others; the given tensor does not change."""
    weight, mask = layer(10, 2, 3, 3), dropped(10, 1, 5)
    before, state = weight.clone(), torch.random.get_rng_state()
    one, again, other = restore(weight, mask), restore(weight, mask), restore(weight, mask, seed=1)
    assert torch.equal(one.weight, again.weight) and not torch.equal(one.weight, other.weight)
    assert torch.equal(weight, before) and torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_memory_format_changes_nothing_and_the_type_is_kept(dtype: torch.dtype) -> None:
    """Channels-last weights, also with gradients, give the same bits, in the type of the layer."""
    weight, mask = layer(10, 2, 3, 3).to(dtype), dropped(10, 1, 5)
    last = weight.contiguous(memory_format=torch.channels_last).requires_grad_()
    one, other = restore(weight, mask), restore(last, mask)
    assert torch.equal(one.weight, other.weight)
    assert other.weight.dtype == dtype and not other.weight.requires_grad


def test_a_layer_without_dropped_filters_gets_nothing() -> None:
    """No rows, no levels, and no draw from the generator."""
    draw = generator(0, "restore")
    before = draw.get_state()
    result = restored("orthogonal", layer(4, 2, 3, 3), dropped(4), context(draw))
    assert result.weight.shape == (0, 2, 3, 3) and result.levels == ()
    assert torch.equal(draw.get_state(), before)
