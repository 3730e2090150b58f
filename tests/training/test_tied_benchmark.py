"""The measurement of tied layers."""

from __future__ import annotations

import torch

from benchmarks.tied_layer import SIDES, rows, table


def test_what_a_tied_layer_saves_is_counted() -> None:
    """Half of eight filters tied: half of the parameters; and of the operations with feature maps, but for what
    the kernels themselves are made with. Times are of every round, against the whole layer."""
    found = rows("3x8x6x3", 0.5, 2, torch.device("cpu"), 4)
    assert [(row["placement"], row["transforms"]) for row in found] == [*SIDES]
    assert [row["params"] for row in found] == [0.5] * 4
    whole = 2 * 8 * 36 * 27
    made = 8 * 3 * 9 * 9  # matrices of warps, for every filter
    assert [row["macs"] for row in found] == [1.0, 1 + made / whole, 0.5, 0.5]
    assert all(row["time"]["n"] == 4 and 0 < row["time"]["low"] <= row["time"]["high"] for row in found)
    assert len(table(found).splitlines()) == 2 + 4
