"""Exactly the network without the filters."""

from __future__ import annotations

from reprtune.training.parts.drops.filters import Filters


class Exact(Filters):
    """Nothing of theirs moves, and what reads them reads 0."""
