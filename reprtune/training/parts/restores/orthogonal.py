"""The restore rule of RePr: orthogonal to what is there and to what was (arXiv 1811.07275, section 4).

Each dropped filter, in the order of the layer, becomes a random direction of the first of these that
leaves one free:

    mutual      orthogonal to every survivor, to its own old value, and to the filters of its layer
                restored before it in this cycle
    survivors   orthogonal to every survivor and to its own old value
    relaxed     no direction is: orthogonal to its own old value and to the survivors that overlap most
                with it (largest |cosine|), as many as leave at least half of the dimensions free
                (one dimension has no half: there, a random sign)

Its norm is the mean norm of the survivors (of all filters where the survivors are 0, and 1 where all are).

Notations
    J, d        filters of the layer, numbers of a filter
    S           survivors, rows of norm 1, zeros left out (m, d)
    o, v        old and new direction of one filter (d,)
    Q           orthonormal basis of what v must be orthogonal to (d, r)
    TOLERANCE   a direction whose part outside span Q is shorter than this share counts as inside;
                what that neglects turns no cosine by more than this
"""

from __future__ import annotations

import torch
from torch import Tensor

from reprtune.training.parts.filter_rows import filter_rows
from reprtune.training.parts.restores import Restored, RuleContext
from reprtune.training.parts.restores.lengths import mean_norm

TOLERANCE = 1e-6


def restore(weight: Tensor, dropped: Tensor, context: RuleContext) -> Restored:
    """New weights of the filters in `dropped`, found in float64 on the CPU.

    |cos| < 1e-5 to every survivor and to the old value, in float32, wherever such a direction exists.
    """
    rows = filter_rows(weight)
    dropped = dropped.cpu()
    assert not dropped.all(), "a layer keeps at least one filter"
    survivors = _unit(rows[~dropped])
    fixed = row_basis(survivors)  # of the survivors
    taken = fixed  # of the survivors and the filters restored so far
    new, levels = [], []
    for old in _unit_or_zero(rows[dropped]):
        level, basis = _constraints(old, survivors, fixed, taken)
        direction = _draw(basis, context.generator)
        taken = _extend(taken, direction)
        new.append(direction)
        levels.append(level)
    directions = torch.stack(new) if new else rows[:0]
    restored = (mean_norm(rows, dropped) * directions).reshape(-1, *weight.shape[1:])
    return Restored(restored.to(weight.device, weight.dtype), tuple(levels))


def row_basis(rows: Tensor) -> Tensor:
    """Orthonormal basis (d, r) of the space that rows of norm 1 (m, d) span."""
    m, d = rows.shape
    if m <= d:
        basis, triangle = torch.linalg.qr(rows.T)
        if m == 0 or triangle.diagonal().abs().min() > TOLERANCE:  # each row adds a dimension
            return basis
    _, values, directions = torch.linalg.svd(rows, full_matrices=False)
    return directions[values > TOLERANCE].T


def _constraints(old: Tensor, survivors: Tensor, fixed: Tensor, taken: Tensor) -> tuple[str, Tensor]:
    """The level of one filter and the basis it must be orthogonal to, with a dimension left free."""
    for level, others in (("mutual", taken), ("survivors", fixed)):
        basis = _extend(others, old)
        if basis.shape[1] < len(old):
            return level, basis
    order = (survivors @ old).abs().argsort(descending=True, stable=True)
    basis = fixed[:, :0]
    for row in (old, *survivors[order]):
        longer = _extend(basis, row)
        if longer.shape[1] > len(old) // 2:
            break
        basis = longer
    return "relaxed", basis


def _extend(basis: Tensor, row: Tensor) -> Tensor:
    """The basis with the part of `row` outside its span added, if there is any."""
    rest = _project_out(basis, row)
    norm = torch.linalg.vector_norm(rest)
    if basis.shape[1] == len(row) or norm <= TOLERANCE:
        return basis
    rest = _project_out(basis, rest / norm)
    return torch.cat([basis, (rest / torch.linalg.vector_norm(rest))[:, None]], dim=1)


def _draw(basis: Tensor, generator: torch.Generator) -> Tensor:
    """A direction uniformly random among those orthogonal to the basis."""
    noise = torch.randn(len(basis), generator=generator, dtype=torch.float64)
    rest = _project_out(basis, noise)
    rest = _project_out(basis, rest / torch.linalg.vector_norm(rest))  # twice is enough (Kahan, Parlett)
    return rest / torch.linalg.vector_norm(rest)


def _project_out(basis: Tensor, row: Tensor) -> Tensor:
    return row - basis @ (basis.T @ row)


def _unit(rows: Tensor) -> Tensor:
    """Rows of norm 1, without those that are 0."""
    rows = rows[torch.linalg.vector_norm(rows, dim=1) > 0]
    return rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)


def _unit_or_zero(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows, dim=1, eps=torch.finfo(torch.float64).tiny)
