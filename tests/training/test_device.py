"""The device of a trial: chosen, described, and set up."""

from __future__ import annotations

import pytest
import torch

from reprtune.errors import ReprtuneError
from reprtune.training import device
from reprtune.training.device import choose_device, describe, keep_freed_memory, threads


def with_gpus(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: n > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n)


@pytest.mark.parametrize(
    ("name", "n_gpus", "worker", "chosen"),
    [
        ("auto", 0, 0, "cpu"),
        ("auto", 1, 0, "cuda:0"),
        ("auto", 2, 3, "cuda:1"),
        ("cuda", 2, 1, "cuda:1"),
        ("cuda:0", 2, 1, "cuda:0"),
        ("cpu", 2, 1, "cpu"),
    ],
)
def test_the_device_that_is_chosen(
    monkeypatch: pytest.MonkeyPatch, name: str, n_gpus: int, worker: int, chosen: str
) -> None:
    """A GPU where there is one; workers spread over several; who names one gets that one."""
    with_gpus(monkeypatch, n_gpus)
    assert choose_device(name, worker) == torch.device(chosen)


@pytest.mark.parametrize(("name", "n_gpus"), [("cuda", 0), ("cuda:1", 1)])
def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch, name: str, n_gpus: int) -> None:
    """Says how many there are and what to do instead."""
    with_gpus(monkeypatch, n_gpus)
    with pytest.raises(ReprtuneError, match=f"device {name} is not there: .* sees {n_gpus} CUDA") as caught:
        choose_device(name)
    assert caught.value.hint is not None and "--device cpu" in caught.value.hint


@pytest.mark.parametrize(("fast", "words"), [(True, "bf16 in hardware"), (False, "bf16 emulated, slow")])
def test_a_cpu_says_whether_bf16_is_fast(monkeypatch: pytest.MonkeyPatch, fast: bool, words: str) -> None:
    """The decision and its reason together."""
    monkeypatch.setattr(device, "has_fast_bf16", lambda: fast)
    assert describe(torch.device("cpu")).endswith(words)
    assert describe(torch.device("cpu")).startswith("CPU ")


def test_threads_are_put_back() -> None:
    """Also when the block fails."""
    before, seen = torch.get_num_threads(), []

    def fail() -> None:
        with threads(before + 1):
            seen.append(torch.get_num_threads())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert seen == [before + 1] and torch.get_num_threads() == before


def test_memory_setting_changes_no_result() -> None:
    """It may be called again and again."""
    keep_freed_memory()
    keep_freed_memory()
    assert torch.ones(1 << 20).sum() == 1 << 20
