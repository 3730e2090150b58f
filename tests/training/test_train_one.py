"""One trial on its own, where memory is short."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from reprtune.errors import ReprtuneError
from reprtune.settings import Settings
from reprtune.training.chain.chain import Chain, LoadedData
from reprtune.training.chain.train_one import train_one
from reprtune.training.chain.trial_networks import TrialNetworks
from tests.training.tiny import SPEC, STEPS

FULL = RuntimeError("[enforce fail at alloc_cpu.cpp] . DefaultCPUAllocator: can't allocate memory: you tried")


def train(folder: Path, *, test: bool = False) -> dict[str, Any]:
    settings = Settings(runs_dir=folder, device="cpu")
    return train_one(SPEC, settings, lambda *_: None, test=test)


def failing(error: Exception) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


@pytest.mark.parametrize("error", [FULL, MemoryError(), torch.OutOfMemoryError("CUDA out of memory.")])
@pytest.mark.parametrize(
    ("where", "method", "steps"),
    [(LoadedData, "task", 0), (TrialNetworks, "__init__", 0), (TrialNetworks, "evaluate", 8)],
)
def test_too_little_memory_is_an_outcome_wherever_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: type, method: str, steps: int, error: Exception
) -> None:
    """While data load, while the network is built, while it is evaluated; and what was done is said."""
    monkeypatch.setattr(where, method, failing(error))
    result = train(tmp_path)
    assert result["outcome"] == "out-of-memory"
    assert (result["steps"], result["steps_spent"], result["val_error"]) == (steps, steps, None)


def test_too_little_memory_in_the_test_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trained network is stored; with memory the same call only tests."""
    with monkeypatch.context() as patch:
        patch.setattr(Chain, "test", failing(FULL))
        first = train(tmp_path, test=True)
    assert first["outcome"] == "out-of-memory" and "test_error" not in first
    assert first["steps"] == STEPS and Path(first["state"]).exists()
    second = train(tmp_path, test=True)
    assert second["outcome"] == "complete" and second["steps_spent"] == 0
    assert 0 <= second["test_error"] <= 1


def test_the_next_trial_of_the_process_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the one that had too little memory stands in its way."""
    with monkeypatch.context() as patch:
        patch.setattr(TrialNetworks, "__init__", failing(FULL))
        assert train(tmp_path)["outcome"] == "out-of-memory"
    assert train(tmp_path)["outcome"] == "complete"


def test_another_error_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect keeps its traceback; an operation that --deterministic refuses is named."""
    monkeypatch.setattr(TrialNetworks, "__init__", failing(RuntimeError("a kernel is missing")))
    with pytest.raises(RuntimeError, match="a kernel is missing"):
        train(tmp_path)
    text = "max_unpool2d does not have a deterministic implementation, but you set"
    monkeypatch.setattr(TrialNetworks, "__init__", failing(RuntimeError(text)))
    with pytest.raises(ReprtuneError, match="cannot be trained with --deterministic: max_unpool2d"):
        train(tmp_path)
