"""Which filters are dropped, against taking the worst one by one."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import fx

from reprtune.errors import SpecError
from reprtune.spec.parts.selections import SCOPES, Share
from reprtune.training.parts.selections.share import candidates, n_dropped, select
from reprtune.training.surgery.filter_map import FilterMap


def network(*sizes: int, shortcuts: str = "") -> FilterMap:
    """Layers a, b, c ... of so many filters; a reads the input."""
    layers = dict(zip("abcdef", sizes, strict=False))
    return FilterMap(
        layers, frozenset("a"), {}, (), (), (), fx.Graph(),
        taps={}, norms={}, shortcuts=frozenset(shortcuts), counted=frozenset(),
    )  # fmt: skip


def one_by_one(
    scores: dict[str, list[float]], layers: list[str], n: int, cap: Fraction = Fraction(1)
) -> set[tuple[str, int]]:
    """Drop n times the filter with the highest score, of equal ones the first, that is not its
    layer's last and with which no more than the share `cap` of the layer is gone; fewer where there is none."""
    left = {name: list(range(len(scores[name]))) for name in layers}
    dropped = set()
    for _ in range(n):
        ranking = [
            (-scores[f][i], layers.index(f), i)
            for f in layers
            for i in left[f]
            if len(left[f]) > 1 and len(scores[f]) - len(left[f]) + 1 <= cap * len(scores[f])
        ]
        if ranking:
            _, layer, i = min(ranking)
            left[layers[layer]].remove(i)
            dropped.add((layers[layer], i))
    return dropped


def chosen(scores: dict[str, list[float]], filters: FilterMap, selection: Share) -> set[tuple[str, int]]:
    tensors = {name: torch.tensor(values, dtype=torch.float64) for name, values in scores.items()}
    drop = select(tensors, filters, selection)
    return {(name, int(i)) for name, part in filters.slices().items() for i in drop[part].nonzero().flatten()}


@given(
    scores=st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=7), min_size=1, max_size=4),
    ratio=st.floats(0.01, 0.99),
    percent=st.integers(1, 100),
    scope=st.sampled_from(SCOPES),
    exclude_first=st.booleans(),
    excluded=st.sets(st.sampled_from("abcd")),
    shortcuts=st.sets(st.sampled_from("abcd")),
    exclude_shortcuts=st.booleans(),
)
def test_selection_is_that_of_taking_the_worst_one_by_one(
    scores: list[list[int]],
    ratio: float,
    percent: int,
    scope: str,
    exclude_first: bool,
    excluded: set[str],
    shortcuts: set[str],
    exclude_shortcuts: bool,
) -> None:
    """Exactly so many, over all candidates or in each layer, whatever ties there are; no layer is emptied, or
    loses more than the cap; and as many as were promised."""
    filters = network(*(len(s) for s in scores), shortcuts="".join(shortcuts & set("abcd"[: len(scores)])))
    excluded &= set(filters.layers)
    selection = Share(
        prune_ratio=ratio, scope=scope, layer_cap=percent / 100, exclude_first=exclude_first,
        exclude=tuple(sorted(excluded)), exclude_shortcuts=exclude_shortcuts,
    )  # fmt: skip
    named = {name: [float(v) for v in s] for name, s in zip(filters.layers, scores, strict=True)}
    ranked = [n for n in named if not (exclude_first and n == "a" and len(named) > 1)]
    ranked = [n for n in ranked if n not in excluded and not (exclude_shortcuts and n in shortcuts)]
    if not ranked:
        with pytest.raises(SpecError, match="At least one layer must be left to rank"):
            n_dropped(filters, selection)
        return
    groups = [ranked] if scope == "global" else [[name] for name in ranked]
    expected: set[tuple[str, int]] = set()
    for group in groups:
        n = round(ratio * sum(len(named[name]) for name in group))
        expected |= one_by_one(named, group, n, Fraction(percent, 100))
    assert chosen(named, filters, selection) == expected
    assert n_dropped(filters, selection) == len(expected)
    for name, size in filters.layers.items():
        assert sum(layer == name for layer, _ in expected) < size


@pytest.mark.parametrize(
    ("ratio", "scope", "cap", "number"),
    [
        (0.3, "global", 1.0, 30),
        (0.3, "global", 0.25, 24 + 1),  # 24 of 96 and 1 of 4, where 30 are asked for
        (0.9, "global", 0.29, 27 + 1),  # floor(0.29 * 96) = 27 and floor(1.16) = 1
        (0.3, "layer", 0.25, 24 + 1),  # of 29 and 1
        (0.1, "layer", 0.25, 10),  # 9.6 and 0.4: 10 and 0, below the cap
        (0.5, "global", 0.01, 0),
        (0.99, "layer", 1.0, 95 + 3),  # 95.04 and 3.96
    ],
)
def test_counts_with_a_cap_by_hand(ratio: float, scope: str, cap: float, number: int) -> None:
    """Where more is asked than the layers may give, all that they may give is dropped."""
    selection = Share(prune_ratio=ratio, scope=scope, layer_cap=cap, exclude_first=False)
    assert n_dropped(network(96, 4), selection) == number


def test_a_share_of_100_filters_is_exact() -> None:
    """0.29 of 100 is 29, although 0.29 * 100 is below it in floating point."""
    selection = Share(prune_ratio=0.9, layer_cap=0.29, exclude_first=False)
    assert n_dropped(network(100), selection) == 29


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
    selection = Share(prune_ratio=ratio, scope=scope, exclude_first=exclude_first)
    assert n_dropped(network(32, 32, 32), selection) == number


def test_the_last_filter_of_a_layer_is_passed_over() -> None:
    """All of a score above all of b: of 2 + 4 filters, half are one of a, its worst, and two of b."""
    scores = {"a": [9.0, 8.0], "b": [1.0, 4.0, 3.0, 2.0]}
    selection = Share(prune_ratio=0.5, exclude_first=False)
    assert chosen(scores, network(2, 4), selection) == {("a", 0), ("b", 1), ("b", 2)}


def test_ties_go_by_position() -> None:
    """Equal scores everywhere: the first filters of the first layer, up to its last one, then of the next."""
    scores = {"a": [1.0] * 3, "b": [1.0] * 3}
    selection = Share(prune_ratio=0.5, exclude_first=False)
    assert chosen(scores, network(3, 3), selection) == {("a", 0), ("a", 1), ("b", 0)}


def test_the_first_layer_is_left_out_where_there_is_another() -> None:
    """A network with only one layer ranks that one."""
    selection = Share(exclude_first=True)
    assert candidates(network(4, 4), selection) == ["b"]
    assert candidates(network(4), selection) == ["a"]
    assert candidates(network(4, 4), Share(exclude_first=False)) == ["a", "b"]


def test_layers_are_left_out_by_pattern_and_as_shortcuts() -> None:
    """Patterns are those of a shell, case matters; the three ways to leave out add up."""
    filters = network(4, 4, 4, 4, shortcuts="c")
    ways = {
        ("b",): ["a", "c", "d"],
        ("[b-c]",): ["a", "d"],
        ("a", "d"): ["b", "c"],
        ("?",): None,
        ("[!d]*",): ["d"],
    }
    for exclude, layers in ways.items():
        selection = Share(exclude_first=False, exclude=exclude)
        if layers is None:
            with pytest.raises(SpecError, match="leave out all of them"):
                candidates(filters, selection)
        else:
            assert candidates(filters, selection) == layers
    assert candidates(filters, Share(exclude_first=False, exclude_shortcuts=True)) == ["a", "b", "d"]
    assert candidates(filters, Share(exclude_shortcuts=True, exclude=("d",))) == ["b"]


@pytest.mark.parametrize("pattern", ["e", "A", "a.*", ""])
def test_a_pattern_that_matches_nothing_is_refused(pattern: str) -> None:
    """The error names the field and the pattern; its hint lists the layers."""
    with pytest.raises(SpecError, match=r"method.exclude must match droppable layers, but '") as caught:
        n_dropped(network(4, 4), Share(exclude=("b", pattern), exclude_first=False))
    assert repr(pattern) in caught.value.message
    assert caught.value.hint == "The droppable layers are a, b."


def test_leaving_out_everything_is_refused() -> None:
    """Each field that left a layer out is named with its value, and the layers too."""
    selection = Share(exclude_first=True, exclude_shortcuts=True, exclude=("b",))
    with pytest.raises(
        SpecError, match=r"method.exclude_first = True, method.exclude_shortcuts = True"
    ) as caught:
        candidates(network(4, 4, 4, shortcuts="c"), selection)
    assert "method.exclude = ('b',)" in caught.value.message
    assert caught.value.hint == "Leave out fewer of a, b, c."
