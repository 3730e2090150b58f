"""What parameters put into a linear model: by hand, and by numpy's own least squares."""

from __future__ import annotations

import numpy as np
import pytest

from reprtune.analysis import terms
from reprtune.spec.space import Choice, FloatRange, IntRange


def test_a_choice_is_indicators_of_all_levels_but_the_first():
    """Of the options that were drawn, in the order of the range; the same in products and alone."""
    range_ = Choice(options=("a", "b", "c", "d"))
    columns = [[0, 0], [1, 0], [0, 1], [0, 1]]
    assert terms.linear(range_, ["a", "b", "d", "d"]).tolist() == columns
    assert terms.main(range_, ["a", "b", "d", "d"]).tolist() == columns


def test_few_values_are_steps_alone_and_straight_in_products():
    """1 to 3 on [-1, 1] in products; indicators of 2 and 3 alone."""
    range_ = IntRange(low=1, high=3)
    assert terms.linear(range_, [1, 2, 3]).tolist() == [[-1], [0], [1]]
    assert terms.main(range_, [1, 2, 3]).tolist() == [[0, 0], [1, 0], [0, 1]]


def test_many_values_are_a_line_and_its_square():
    """Seven values over a logarithmic range: z is the logarithm from -1 to 1."""
    values = [10 ** (-i / 2) for i in range(7)]
    z = np.linspace(1, -1, 7)
    found = terms.main(FloatRange(low=1e-3, high=1.0, log=True), values)
    assert found == pytest.approx(np.column_stack([z, z**2]))


def test_one_value_has_no_column():
    """A parameter that never varies adds nothing."""
    assert terms.linear(IntRange(low=1, high=3), [2, 2]).shape == (2, 0)
    assert terms.main(Choice(options=("a", "b")), ["b", "b"]).shape == (2, 0)


def test_an_absent_parameter_is_0_with_a_column_of_presence():
    """Trials without it have 0 everywhere, and alone those with it have a 1 besides."""
    range_ = IntRange(low=1, high=3)
    assert terms.linear(range_, [1, None, 3]).tolist() == [[-1], [0], [1]]
    assert terms.main(range_, [1, None, 3]).tolist() == [[1, 0], [0, 0], [1, 1]]


def test_what_a_basis_leaves_is_what_least_squares_leaves():
    """Also where columns repeat each other, of which the basis has as many as numpy's rank says."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 4))
    X = np.column_stack([X, X[:, 0] + X[:, 1]])
    y = rng.normal(size=20)
    of = terms.basis(X)
    beta, _, rank, _ = np.linalg.lstsq(X, y, rcond=None)
    assert of.shape == (20, rank)
    assert terms.without(of, y) == pytest.approx(y - X @ beta)


def test_products_are_all_of_them():
    """Two columns with three give six."""
    a, b = np.arange(4.0).reshape(2, 2), np.arange(6.0).reshape(2, 3)
    expected = [[x * y for x in a[i] for y in b[i]] for i in range(2)]
    assert terms.products(a, b).tolist() == expected
