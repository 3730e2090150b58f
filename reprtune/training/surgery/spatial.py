"""Cheap spatial transforms of a kernel, as matrices that act on its taps.

A design of our own after the idea of arXiv 2110.12844, of which nothing beyond the abstract is public.

Notations
    h, w        height and width of a kernel
    t           taps, h w, row by row
    T           (t, t): the transformed kernel is T v, v the taps of one input channel; all channels alike
    n           transforms of a set

    identity            T = 1
    symmetries          of the rectangle that the taps form: of a square the four rotations, each with and
                        without a flip; otherwise the flips and half a turn
    symmetries+sign     the same, and the negative of each
    shifts              by whole taps, up to half the kernel each way; what comes in is 0
    affine              a grid of warps in the kernel's own coordinates, -1 to 1 each way, about its middle:
                        turned by multiples of 45 degrees, scaled by 0.75, 1 or 1.25, sheared by -0.5, 0 or
                        0.5; read between the taps by bilinear interpolation, 0 outside
    all                 symmetries, shifts and affine, and the negative of each

Every set begins with the identity and has no matrix twice, and none that is 0. So of a 1 x 1 kernel, whose taps
have no place to go, the identity is left, and the negative where the set has signs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

Size = tuple[int, int]

ANGLES = tuple(range(0, 360, 45))  # degrees
SCALES = (1.0, 0.75, 1.25)
SHEARS = (0.0, 0.5, -0.5)
DECIMALS = 12  # a quarter of a turn is a permutation, not one with cosines of 6e-17


def matrices(name: str, size: Size) -> Tensor:
    """The transforms of a set for kernels of this size (h, w): (n, t, t), float64 on the CPU."""
    return _distinct(SETS[name](size))


def is_monomial(maps: Tensor) -> bool:
    """Has every tap at most one source? Then a transform is a choice of taps and needs no product."""
    return bool(((maps != 0).sum(-1) <= 1).all())


def affine_map(theta: Tensor, size: Size) -> Tensor:
    """The matrices (n, t, t) of affine warps theta (n, 2, 3), which say where each tap reads: what
    `F.affine_grid` and `F.grid_sample` do with align_corners=True. A side of one tap lies at 0."""
    n, (height, width) = len(theta), size
    y, x = (torch.linspace(-1, 1, side, dtype=theta.dtype) * (side > 1) for side in size)
    places = torch.stack(torch.broadcast_tensors(x, y[:, None], torch.ones(())), dim=-1).reshape(-1, 3)
    grid = (places @ theta.transpose(1, 2)).reshape(n, height, width, 2)
    taps = torch.eye(height * width, dtype=theta.dtype).reshape(1, -1, height, width).expand(n, -1, -1, -1)
    warped = F.grid_sample(taps, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    return warped.flatten(2).transpose(1, 2)


def thetas() -> Tensor:
    """The warps of the set `affine`: (n, 2, 3), float64."""
    found = []
    for angle, scale, shear in itertools.product(ANGLES, SCALES, SHEARS):
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        turn = torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)
        slant = torch.tensor([[1, shear], [0, 1]], dtype=torch.float64)
        found.append(torch.cat([turn @ slant * scale, torch.zeros(2, 1, dtype=torch.float64)], dim=1))
    return torch.stack(found)


def _identity(size: Size) -> Tensor:
    return torch.eye(size[0] * size[1], dtype=torch.float64)[None]


def _symmetries(size: Size) -> Tensor:
    numbers = torch.arange(size[0] * size[1]).reshape(size)
    quarters = range(4) if size[0] == size[1] else (0, 2)
    placed = [
        torch.rot90(taps, quarter) for taps in (numbers, numbers.flip(1)) for quarter in quarters
    ]  # tap t of the new kernel is tap placed[t] of the old one
    return torch.stack([_identity(size)[0][place.flatten()] for place in placed])


def _shifts(size: Size) -> Tensor:
    (height, width), taps = size, _identity(size)[0].reshape(-1, *size)
    reach = [range(-(side // 2), side // 2 + 1) for side in (height, width)]
    moves = sorted(itertools.product(*reach), key=lambda move: abs(move[0]) + abs(move[1]))
    return torch.stack([shifted(taps, move).flatten(1).T for move in moves])


def shifted(maps: Tensor, move: tuple[int, int]) -> Tensor:
    """Maps (..., H, W) moved down and to the right by whole places; what comes in is 0."""
    (down, right), (height, width) = move, maps.shape[-2:]
    padded = F.pad(maps, (max(right, 0), max(-right, 0), max(down, 0), max(-down, 0)))
    top, left = max(-down, 0), max(-right, 0)
    return padded[..., top : top + height, left : left + width]


def _affine(size: Size) -> Tensor:
    return affine_map(thetas(), size)


def _with_signs(*sets: Callable[[Size], Tensor]) -> Callable[[Size], Tensor]:
    def signed(size: Size) -> Tensor:
        found = torch.cat([each(size) for each in sets])
        return torch.cat([found, -found])

    return signed


def _distinct(found: Iterable[Tensor]) -> Tensor:
    """Each once, in their order, without those that are 0."""
    seen: dict[bytes, Tensor] = {}
    for matrix in found:
        rounded = matrix.round(decimals=DECIMALS) + 0.0  # -0 is 0
        if rounded.any():
            seen.setdefault(rounded.contiguous().numpy().tobytes(), rounded)
    return torch.stack(list(seen.values()))


SETS: dict[str, Callable[[Size], Tensor]] = {
    "identity": _identity,
    "symmetries": _symmetries,
    "symmetries+sign": _with_signs(_symmetries),
    "shifts": _shifts,
    "affine": _affine,
    "all": _with_signs(_symmetries, _shifts, _affine),
}
