"""The tiny study as the matrix works on it: 8 slots, of which every draw fits and depends on its slot alone."""

from __future__ import annotations

from dataclasses import replace

from reprtune.spec.space import IntRange
from reprtune.spec.study import Arms, Search
from tests.tiny_study import STUDY as TINY

SLOTS = 6  # of the search; all are among the random ones at the beginning

_arms, _search = TINY.sections
assert isinstance(_arms, Arms)
assert isinstance(_search, Search)
STUDY = replace(
    TINY,
    sections=(
        replace(_arms, seeds=(0,)),
        replace(_search, slots=SLOTS, space={**_search.space, "method.cycles": IntRange(low=1, high=1)}),
    ),
)
