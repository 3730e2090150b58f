"""Cheap spatial transforms of a kernel or of a feature map, and of a kernel as matrices that act on its taps.

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
                        turned by multiples of 45 degrees, scaled by 1, 0.75 or 1.25, sheared by 0, 0.5 or
                        -0.5; read between the taps by bilinear interpolation, 0 outside
    all                 symmetries, shifts and affine, and the negative of each

Every set begins with the identity and has no matrix twice, and none that is 0. So of a 1 x 1 kernel, whose taps
have no place to go, the identity is left, and the negative where the set has signs.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from reprtune.errors import ModelError

Size = tuple[int, int]
Row = tuple[float, float, float]

ANGLES = tuple(range(0, 360, 45))  # degrees
SCALES = (1.0, 0.75, 1.25)
SHEARS = (0.0, 0.5, -0.5)
DECIMALS = 12  # a quarter of a turn is a permutation, not one with cosines of 6e-17


@dataclass(frozen=True, kw_only=True)
class Transform:
    """A flip from left to right, then quarter turns against the clock, a shift (down, right) by whole places, a
    warp theta (2, 3) as in `F.affine_grid` with align_corners=True, and a sign."""

    flip: bool = False
    turns: int = 0
    shift: tuple[int, int] = (0, 0)
    theta: tuple[Row, Row] | None = None
    sign: int = 1

    def __call__(self, maps: Tensor) -> Tensor:
        """Of maps (B, C, H, W), all alike.

        Raises:
            ModelError: it is a quarter turn, and the maps are not square.
        """
        if self.turns % 2 and maps.shape[-1] != maps.shape[-2]:
            raise ModelError(
                f"A quarter turn needs square maps, but these have {maps.shape[-2]} x {maps.shape[-1]}.",
                "Take shifts, or method.placement = weights.",
            )
        maps = maps.flip(-1) if self.flip else maps
        maps = torch.rot90(maps, self.turns, (-2, -1)) if self.turns else maps
        maps = _shifted(maps, self.shift) if any(self.shift) else maps
        maps = _warped(maps, self.theta) if self.theta is not None else maps
        return -maps if self.sign < 0 else maps

    def matrix(self, size: Size) -> Tensor:
        """T for kernels of this size: (t, t), float64 on the CPU."""
        taps = torch.eye(math.prod(size), dtype=torch.float64).reshape(1, -1, *size)
        return self(taps)[0].flatten(1).T.round(decimals=DECIMALS) + 0.0  # -0 is 0


@functools.cache
def transforms(name: str, size: Size) -> tuple[Transform, ...]:
    """The transforms of a set for kernels of this size (h, w)."""
    found: dict[bytes, Transform] = {}
    for transform in SETS[name](size):
        matrix = transform.matrix(size)
        if matrix.any():
            found.setdefault(matrix.contiguous().numpy().tobytes(), transform)
    return tuple(found.values())


@functools.cache
def matrices(name: str, size: Size) -> Tensor:
    """Their matrices: (n, t, t), float64 on the CPU; not to be changed."""
    return torch.stack([transform.matrix(size) for transform in transforms(name, size)])


def is_monomial(maps: Tensor) -> bool:
    """Has every tap at most one source? Then a transform is a choice of taps and needs no product."""
    return bool(((maps != 0).sum(-1) <= 1).all())


def _shifted(maps: Tensor, shift: tuple[int, int]) -> Tensor:
    """What comes in is 0."""
    (down, right), (height, width) = shift, maps.shape[-2:]
    padded = F.pad(maps, (max(right, 0), max(-right, 0), max(down, 0), max(-down, 0)))
    top, left = max(-down, 0), max(-right, 0)
    return padded[..., top : top + height, left : left + width]


def _warped(maps: Tensor, theta: tuple[Row, Row]) -> Tensor:
    """`F.grid_sample` on the grid of `F.affine_grid`; a side of one place lies at 0."""
    y, x = (
        torch.linspace(-1, 1, side, dtype=maps.dtype, device=maps.device) * (side > 1)
        for side in maps.shape[-2:]
    )
    grid = torch.stack([a * x + b * y[:, None] + c for a, b, c in theta], dim=-1)
    grid = grid.expand(len(maps), *grid.shape)
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=True)


def _identity(_size: Size) -> Iterable[Transform]:
    return [Transform()]


def _symmetries(size: Size) -> Iterable[Transform]:
    quarters = range(4) if size[0] == size[1] else (0, 2)
    return (Transform(flip=flip, turns=turns) for flip in (False, True) for turns in quarters)


def _shifts(size: Size) -> Iterable[Transform]:
    moves = itertools.product(*(range(-(side // 2), side // 2 + 1) for side in size))
    return (
        Transform(shift=(down, right)) for down, right in sorted(moves, key=lambda m: abs(m[0]) + abs(m[1]))
    )


def _affine(_size: Size) -> Iterable[Transform]:
    """theta = scale (rotation) (shear), where the new kernel's places read the old one."""
    for angle, scale, shear in itertools.product(ANGLES, SCALES, SHEARS):
        cos, sin = scale * math.cos(math.radians(angle)), scale * math.sin(math.radians(angle))
        yield Transform(theta=((cos, shear * cos - sin, 0.0), (sin, shear * sin + cos, 0.0)))


def _with_signs(*sets: Callable[[Size], Iterable[Transform]]) -> Callable[[Size], Iterable[Transform]]:
    def signed(size: Size) -> Iterable[Transform]:
        found = [transform for each in sets for transform in each(size)]
        return [*found, *(replace(transform, sign=-1) for transform in found)]

    return signed


SETS: dict[str, Callable[[Size], Iterable[Transform]]] = {
    "identity": _identity,
    "symmetries": _symmetries,
    "symmetries+sign": _with_signs(_symmetries),
    "shifts": _shifts,
    "affine": _affine,
    "all": _with_signs(_symmetries, _shifts, _affine),
}
