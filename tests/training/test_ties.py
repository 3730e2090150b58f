"""Which filter a dropped one is made of, and how, against trying everything; gradients against autograd."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from reprtune.training.platform.seeds import generator
from reprtune.training.surgery import spatial, ties

N, C = 7, 3
DROPPED = torch.tensor([True, False, True, False, False, True, False])


def kernels(size: spatial.Size = (3, 3), n: int = N) -> Tensor:
    return torch.randn(n, C, *size, generator=generator(0, "ties"), dtype=torch.float64)


def best_by_trying(
    weight: Tensor, dropped: Tensor, transforms: Tensor, fit_scale: bool
) -> dict[int, tuple[float, int, int, float]]:
    """Dropped filter -> (least distance, transform, source, scale), one candidate after the other."""
    rows = weight.numpy().reshape(len(weight), weight.shape[1], -1)
    found = {}
    for j in np.flatnonzero(dropped.numpy()):
        tried = []
        for number, matrix in enumerate(transforms.numpy()):
            for i in np.flatnonzero(~dropped.numpy()):
                made = np.stack([matrix @ channel for channel in rows[i]])
                scale = 1.0
                if fit_scale:
                    scale = np.linalg.lstsq(made.reshape(-1, 1), rows[j].flatten(), rcond=None)[0][0]
                tried.append((float(((rows[j] - scale * made) ** 2).sum()), number, int(i), float(scale)))
        found[int(j)] = min(tried)
    return found


@pytest.mark.parametrize("fit_scale", [False, True])
@pytest.mark.parametrize("name", spatial.SETS)
@pytest.mark.parametrize("size", [(3, 3), (1, 1), (2, 3)])
def test_the_nearest_tie_is_chosen(name: str, size: spatial.Size, fit_scale: bool) -> None:
    """Of all kept filters, transforms and scales, each dropped filter has those with the least distance."""
    weight, transforms = kernels(size), spatial.matrices(name, size)
    found = ties.nearest(weight, DROPPED, transforms, fit_scale)
    expected = best_by_trying(weight, DROPPED, transforms, fit_scale)
    assert torch.equal(found.tied, DROPPED)
    made = ties.made(weight, found.source, found.maps(transforms))
    for j, (distance, number, source, scale) in expected.items():
        assert math.isclose(float((weight[j] - made[j]).square().sum()), distance, rel_tol=1e-9)
        if not fit_scale:  # with a scale, a transform and its negative are one
            assert (int(found.transform[j]), int(found.source[j])) == (number, source)
        else:
            assert math.isclose(abs(float(found.scale[j])), abs(scale), rel_tol=1e-9)
    assert torch.equal(made[~DROPPED], weight[~DROPPED])


@pytest.mark.parametrize("name", ["symmetries+sign", "shifts", "affine", "all"])
def test_what_is_a_transform_is_found_exactly(name: str) -> None:
    """A filter that is a transform of a kept one is made again, of that one."""
    weight, transforms = kernels(), spatial.matrices(name, (3, 3))
    for j, number in zip(DROPPED.nonzero().flatten().tolist(), (3, 5, 8), strict=True):
        rows = weight[4].reshape(C, 9) @ transforms[number].T
        weight[j] = rows.reshape(C, 3, 3)
    found = ties.nearest(weight, DROPPED, transforms)
    assert found.source[DROPPED].tolist() == [4, 4, 4]
    assert found.transform[DROPPED].tolist() == [3, 5, 8]
    assert ties.squares(weight, found, transforms)[0] < 1e-24


def test_a_scale_is_found() -> None:
    """A filter that is -2.5 times a kept one, turned, has that scale, and without it is left at a distance."""
    weight, transforms = kernels(), spatial.matrices("symmetries", (3, 3))
    weight[2] = -2.5 * torch.rot90(weight[6], 1, (1, 2))
    dropped = torch.arange(N) == 2
    fitted = ties.nearest(weight, dropped, transforms, fit_scale=True)
    assert (int(fitted.source[2]), round(float(fitted.scale[2]), 12)) == (6, -2.5)
    assert ties.squares(weight, fitted, transforms)[0] < 1e-24
    change, own = ties.squares(weight, ties.nearest(weight, dropped, transforms), transforms)
    assert change > 0.25 * own and math.isclose(own, float(weight[2].square().sum()))


def test_the_first_of_equals_is_taken() -> None:
    """A kernel that looks the same from all sides has many ties as near: then the identity, and the first
    filter, so that a choice is not one of rounding."""
    weight = torch.ones(4, 1, 3, 3) * torch.tensor([2.0, 1.0, 1.0, 1.0])[:, None, None, None]
    found = ties.nearest(weight, torch.arange(4) == 3, spatial.matrices("symmetries+sign", (3, 3)))
    assert (int(found.source[3]), int(found.transform[3])) == (1, 0)


def test_nothing_dropped_is_nothing_tied() -> None:
    """Every filter is then its own source."""
    found = ties.nearest(kernels(), torch.zeros(N, dtype=torch.bool), spatial.matrices("all", (3, 3)))
    assert found.source.tolist() == list(range(N)) and not found.tied.any()


def test_a_kept_filter_of_zeros_does_no_harm() -> None:
    """Its fitted scale is 0, not a number divided by 0."""
    weight = kernels(n=2)
    weight[0] = 0
    found = ties.nearest(weight, torch.tensor([False, True]), spatial.matrices("all", (3, 3)), fit_scale=True)
    assert found.scale.tolist() == [1, 0]


@pytest.mark.parametrize("name", spatial.SETS)
def test_the_gradient_goes_to_the_sources(name: str) -> None:
    """It is autograd's of the layer written as what it is made of, and 0 for what is made."""
    weight, transforms = kernels(), spatial.matrices(name, (3, 3))
    found = ties.nearest(weight, DROPPED, transforms, fit_scale=True)
    outer = torch.randn(weight.shape, dtype=torch.float64, generator=generator(1, "ties"))
    leaf = weight.clone().requires_grad_()
    rows = []
    for j in range(N):
        matrix = float(found.scale[j]) * transforms[found.transform[j]]
        rows.append(torch.einsum("tu,cu->ct", matrix, leaf[int(found.source[j])].flatten(1)).reshape(C, 3, 3))
    (torch.stack(rows) * outer).sum().backward()
    pulled = ties.pulled_back(outer, found.source, found.maps(transforms))
    torch.testing.assert_close(pulled, leaf.grad, rtol=1e-12, atol=1e-12)
    assert not pulled[DROPPED].any()
