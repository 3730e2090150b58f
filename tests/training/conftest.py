"""A store of states, and the tiny trial as it ends without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from reprtune.states.store import StateStore
from reprtune.training.chain.chain import Chain
from tests.training.tiny import SPEC, finish


@pytest.fixture
def store(tmp_path: Path) -> StateStore:
    return StateStore(tmp_path / "states", "me")


@pytest.fixture(scope="session")
def alone() -> Chain:
    """The trial without any store."""
    return finish(SPEC)
