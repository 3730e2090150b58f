"""Cheap spatial transforms against what numpy and torch do to pictures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reprtune.errors import ModelError
from reprtune.training.surgery import spatial

SIZES = ((3, 3), (5, 5), (2, 2), (1, 7), (4, 3), (1, 1))


def picture(size: spatial.Size) -> Tensor:
    """Every tap another number."""
    return torch.arange(1.0, 1 + math.prod(size), dtype=torch.float64).reshape(size)


def all_made(name: str, size: spatial.Size) -> list[tuple[float, ...]]:
    """What every transform of a set makes of the picture."""
    made = spatial.matrices(name, size) @ picture(size).flatten()
    return [tuple(one) for one in made.tolist()]


def flat(pictures: list[np.ndarray]) -> set[tuple[float, ...]]:
    return {tuple(one.flatten().tolist()) for one in pictures}


@pytest.mark.parametrize("name", spatial.SETS)
@pytest.mark.parametrize("size", SIZES)
def test_each_transform_is_there_once(name: str, size: spatial.Size) -> None:
    """Every set begins with the identity, has nothing twice and nothing that is 0."""
    made = all_made(name, size)
    assert made[0] == tuple(picture(size).flatten().tolist())
    assert len(set(made)) == len(made) and all(map(any, made))


def test_the_symmetries_of_the_square_are_numpys() -> None:
    """Of a square the four rotations, each with and without a flip: eight."""
    seen = picture((3, 3)).numpy()
    expected = [np.rot90(one, quarter) for one in (seen, seen[:, ::-1]) for quarter in range(4)]
    assert len(all_made("symmetries", (3, 3))) == 8
    assert set(all_made("symmetries", (3, 3))) == flat(expected)


def test_the_symmetries_of_a_rectangle_keep_its_sides() -> None:
    """Of other rectangles both flips, half a turn and the identity: a quarter turn would not fit."""
    seen = picture((4, 3)).numpy()
    expected = [seen, seen[::-1], seen[:, ::-1], seen[::-1, ::-1]]
    assert set(all_made("symmetries", (4, 3))) == flat(expected)


def test_signs_double_a_set() -> None:
    """`symmetries+sign` is the symmetries and their negatives."""
    plain = all_made("symmetries", (3, 3))
    both = {*plain, *(tuple(-tap for tap in one) for one in plain)}
    assert set(all_made("symmetries+sign", (3, 3))) == both


@pytest.mark.parametrize(("size", "n"), [((3, 3), 9), ((5, 5), 25), ((1, 7), 7)])
def test_shifts_move_whole_taps_and_fill_with_0(size: spatial.Size, n: int) -> None:
    """Up to half the kernel each way; what comes in is 0."""
    expected = []
    for down in range(-(size[0] // 2), size[0] // 2 + 1):
        for right in range(-(size[1] // 2), size[1] // 2 + 1):
            moved = np.zeros(size)
            for i in range(size[0]):
                for j in range(size[1]):
                    if 0 <= i - down < size[0] and 0 <= j - right < size[1]:
                        moved[i, j] = picture(size)[i - down, j - right]
            expected.append(moved)
    assert len(all_made("shifts", size)) == n
    assert set(all_made("shifts", size)) == flat(expected)


@pytest.mark.parametrize("size", [(3, 3), (5, 5), (4, 3)])
def test_an_affine_warp_is_torchs(size: spatial.Size) -> None:
    """Any warp, translation included, does what `affine_grid` and `grid_sample` do, to kernels and to maps."""
    theta = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    grid = F.affine_grid(theta[None], [1, 1, *size], align_corners=True)
    expected = F.grid_sample(picture(size).expand(1, 1, *size), grid, align_corners=True)
    warp = spatial.Transform(theta=tuple(map(tuple, theta.tolist())))  # type: ignore[arg-type]
    torch.testing.assert_close(warp(picture(size).expand(1, 1, *size)), expected, rtol=1e-12, atol=1e-12)
    made = warp.matrix(size) @ picture(size).flatten()
    torch.testing.assert_close(made, expected.flatten(), rtol=1e-10, atol=1e-10)


def test_a_quarter_turn_needs_square_maps() -> None:
    """Said with both sides and a way out."""
    with pytest.raises(ModelError, match="needs square maps, but these have 4 x 6") as caught:
        spatial.Transform(turns=1)(torch.zeros(1, 1, 4, 6))
    assert "method.placement = weights" in str(caught.value.hint)


def test_the_grid_of_warps_holds_the_rotations() -> None:
    """72 warps of a square kernel, among them exactly the four rotations by quarters."""
    seen = picture((3, 3)).numpy()
    made = all_made("affine", (3, 3))
    assert len(made) == 8 * 3 * 3
    assert flat([np.rot90(seen, quarter) for quarter in range(4)]) <= set(made)


@pytest.mark.parametrize("name", spatial.SETS)
def test_one_tap_has_no_place_to_go(name: str) -> None:
    """Of a 1 x 1 kernel the identity is left, and its negative where the set has signs."""
    signed = {(1.0,), (-1.0,)} if name in ("symmetries+sign", "all") else {(1.0,)}
    assert set(all_made(name, (1, 1))) == signed


@pytest.mark.parametrize(
    ("name", "expected"), [("symmetries+sign", True), ("shifts", True), ("affine", False), ("all", False)]
)
def test_what_only_moves_taps_is_told_apart(name: str, expected: bool) -> None:
    """Permutations, signs and shifts choose taps; warps mix them."""
    assert spatial.is_monomial(spatial.matrices(name, (3, 3))) is expected
