"""The files and the commands of docs/parts.md, for the tests that take them as they stand there."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import Any

import pytest

from reprtune.spec.edit import parse_assignment
from tests.conftest import ROOT
from tests.documented import blocks, lines
from tests.training.own_code import Folder, folder

__all__ = ["folder"]

PAGE = ROOT / "docs" / "parts.md"


@pytest.fixture
def page(folder: Folder) -> Folder:
    """The files of the page are in the current folder."""
    for block in blocks(PAGE, "python"):
        name = re.match(r"# (\w+\.py)\n", block)
        assert name is not None
        folder.write(name[1], block)
    return folder


def commands(words: Iterable[str]) -> list[tuple[str, ...]]:
    """Those of the page that have all of these words."""
    return [line.words for line in lines(PAGE) if {*words} <= {*line.words}]


def settings(command: Iterable[str]) -> dict[str, Any]:
    """Path -> value of what a command sets."""
    return dict(parse_assignment(word) for before, word in itertools.pairwise(command) if before == "--set")
