"""Which filters are dropped, against taking the worst one by one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import fx, nn

from reprtune.spec.method import SCOPES, MethodSpec
from reprtune.training.filter_map import FilterMap
from reprtune.training.select import candidates, n_dropped, select


def network(*sizes: int) -> FilterMap:
    """Layers a, b, c ... of so many filters; a reads the input."""
    layers = dict(zip("abcdef", sizes, strict=False))
    graph = fx.GraphModule(nn.Module(), fx.Graph())
    return FilterMap(layers, frozenset("a"), {}, (), (), (), graph, taps={}, norms={}, shortcuts=frozenset())


def one_by_one(scores: dict[str, list[float]], layers: list[str], n: int) -> set[tuple[str, int]]:
    """Drop n times the filter with the highest score, of equal ones the first, that is not its layer's last."""
    left = {name: list(range(len(scores[name]))) for name in layers}
    dropped = set()
    for _ in range(n):
        ranking = [(-scores[f][i], layers.index(f), i) for f in layers for i in left[f] if len(left[f]) > 1]
        _, layer, i = min(ranking)
        left[layers[layer]].remove(i)
        dropped.add((layers[layer], i))
    return dropped


def chosen(scores: dict[str, list[float]], filters: FilterMap, method: MethodSpec) -> set[tuple[str, int]]:
    tensors = {name: torch.tensor(values, dtype=torch.float64) for name, values in scores.items()}
    drop = select(tensors, filters, method)
    return {(name, int(i)) for name, part in filters.slices().items() for i in drop[part].nonzero().flatten()}


@given(
    scores=st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=7), min_size=1, max_size=4),
    ratio=st.floats(0.01, 0.99),
    scope=st.sampled_from(SCOPES),
    exclude_first=st.booleans(),
)
def test_selection_is_that_of_taking_the_worst_one_by_one(
    scores: list[list[int]], ratio: float, scope: str, exclude_first: bool
) -> None:
    """Exactly so many, over all candidates or in each layer, whatever ties there are; no layer is emptied."""
    filters = network(*(len(s) for s in scores))
    method = MethodSpec(prune_ratio=ratio, scope=scope, exclude_first=exclude_first)
    named = {name: [float(v) for v in s] for name, s in zip(filters.layers, scores, strict=True)}
    ranked = [n for n in named if not (exclude_first and n == "a" and len(named) > 1)]
    groups = [ranked] if scope == "global" else [[name] for name in ranked]
    expected: set[tuple[str, int]] = set()
    for group in groups:
        sizes = [len(named[name]) for name in group]
        n = min(round(ratio * sum(sizes)), sum(sizes) - len(sizes))
        expected |= one_by_one(named, group, n)
    assert chosen(named, filters, method) == expected
    assert n_dropped(filters, method) == len(expected)
    for name, size in filters.layers.items():
        assert sum(layer == name for layer, _ in expected) < size


@pytest.mark.parametrize(
    ("ratio", "scope", "exclude_first", "number"),
    [
        (0.3, "global", False, 29),  # of 96: 28.8
        (0.3, "global", True, 19),  # of 64: 19.2
        (0.3, "layer", True, 20),  # of 32 and 32: 9.6 each
        (0.3, "layer", False, 30),
        (0.99, "global", True, 62),  # 63.36, but one of each layer stays
        (0.01, "global", True, 1),
        (0.01, "layer", True, 0),
    ],
)
def test_counts_by_hand(ratio: float, scope: str, exclude_first: bool, number: int) -> None:
    """Three layers of 32 filters, as in the paper's C3(32)."""
    method = MethodSpec(prune_ratio=ratio, scope=scope, exclude_first=exclude_first)
    assert n_dropped(network(32, 32, 32), method) == number


def test_the_last_filter_of_a_layer_is_passed_over() -> None:
    """All of a score above all of b: of 2 + 4 filters, half are one of a, its worst, and two of b."""
    scores = {"a": [9.0, 8.0], "b": [1.0, 4.0, 3.0, 2.0]}
    method = MethodSpec(prune_ratio=0.5, exclude_first=False)
    assert chosen(scores, network(2, 4), method) == {("a", 0), ("b", 1), ("b", 2)}


def test_ties_go_by_position() -> None:
    """Equal scores everywhere: the first filters of the first layer, up to its last one, then of the next."""
    scores = {"a": [1.0] * 3, "b": [1.0] * 3}
    method = MethodSpec(prune_ratio=0.5, exclude_first=False)
    assert chosen(scores, network(3, 3), method) == {("a", 0), ("a", 1), ("b", 0)}


def test_the_first_layer_is_left_out_where_there_is_another() -> None:
    """A network with only one layer ranks that one."""
    method = MethodSpec(exclude_first=True)
    assert candidates(network(4, 4), method) == ["b"]
    assert candidates(network(4), method) == ["a"]
    assert candidates(network(4, 4), MethodSpec(exclude_first=False)) == ["a", "b"]
