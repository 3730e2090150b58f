"""The device of a trial: chosen, described, and set up."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from reprtune.errors import ReprtuneError, SpecError
from reprtune.settings import Settings
from reprtune.training.platform import device
from reprtune.training.platform.device import (
    choose_device,
    describe,
    is_out_of_memory,
    keep_freed_memory,
    kind,
    open_device,
    refused,
    tf32,
    threads,
)


def with_gpus(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: n > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)


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


@pytest.mark.parametrize(("name", "chosen"), [("auto", "cuda:1"), ("cuda", "cuda:1"), ("cuda:0", "cuda:0")])
def test_the_device_of_a_process_is_its_current_one(
    monkeypatch: pytest.MonkeyPatch, numerics: None, name: str, chosen: str
) -> None:
    """What does not say which device it means then means this one, and not the first of the machine."""
    with_gpus(monkeypatch, 2)
    current: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    assert open_device(Settings(device=name), worker=1) == torch.device(chosen)
    assert current == [torch.device(chosen)]
    assert open_device(Settings(device="cpu")) == torch.device("cpu") and len(current) == 1


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


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("DefaultCPUAllocator: can't allocate memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, full: bool) -> None:
    """What allocators of the GPU, its libraries and the CPU say; and nothing else."""
    assert is_out_of_memory(error) is full


def test_torchs_own_allocator_is_understood() -> None:
    """The error that this torch raises when the CPU has too little memory."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.fixture
def numerics(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is set for the whole process is put back."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    backends = torch.backends
    before = torch.are_deterministic_algorithms_enabled(), backends.cudnn.benchmark
    tf32 = backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32
    filled = torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(before[0])
    backends.cudnn.benchmark = before[1]
    backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32 = tf32
    torch.utils.deterministic.fill_uninitialized_memory = filled


@pytest.mark.parametrize("deterministic", [True, False])
def test_how_a_gpu_computes(monkeypatch: pytest.MonkeyPatch, numerics: None, deterministic: bool) -> None:
    """fp32 without TF32; deterministic algorithms with cuBLAS' workspace fixed, or else those that cuDNN
    finds fastest. States of the one are not continued by the other."""
    with_gpus(monkeypatch, 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "GPU")
    gpu = open_device(Settings(device="cuda", deterministic=deterministic))
    assert torch.are_deterministic_algorithms_enabled() is deterministic
    assert torch.backends.cudnn.benchmark is not deterministic
    assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == (":4096:8" if deterministic else None)
    assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32
    assert kind(gpu) == ("cuda, deterministic" if deterministic else "cuda")
    words = "GPU (SM 90), deterministic, CUDA graph" if deterministic else "GPU (SM 90), CUDA graph"
    assert describe(gpu, "CUDA graph") == words


@pytest.mark.parametrize(("matmul", "cudnn"), [(False, False), (False, True), (True, True)])
def test_tf32_is_put_back(numerics: None, matmul: bool, cudnn: bool) -> None:
    """To what it was, also when the block fails; inside, both libraries have it."""
    flags, seen = (torch.backends.cuda.matmul, torch.backends.cudnn), []
    flags[0].allow_tf32, flags[1].allow_tf32 = matmul, cudnn

    def fail() -> None:
        with tf32():
            seen.extend(flag.allow_tf32 for flag in flags)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert seen == [True, True] and [flag.allow_tf32 for flag in flags] == [matmul, cudnn]


def test_a_cpu_is_deterministic_anyway(numerics: None) -> None:
    """Its states have one name, with and without the setting."""
    assert kind(open_device(Settings(device="cpu", deterministic=True))) == "cpu"


def test_an_operation_that_is_not_deterministic_is_named(numerics: None) -> None:
    """torch's own error becomes ours, with the way out; other errors do not."""
    words = refused(
        RuntimeError("adaptive_avg_pool2d_backward_cuda does not have a deterministic implementation, but")
    )
    assert words is not None and "adaptive_avg_pool2d_backward_cuda" in words.message
    assert words.hint is not None and "--deterministic" in words.hint
    assert refused(RuntimeError("a kernel is missing")) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [(None, False), ("", False), ("off", False), ("0", False), ("on", True), ("1", True), ("True", True)],
)
def test_deterministic_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, text: str | None, value: bool
) -> None:
    """REPRTUNE_DETERMINISTIC says on or off; an option comes first."""
    monkeypatch.delenv("REPRTUNE_DETERMINISTIC", raising=False)
    if text is not None:
        monkeypatch.setenv("REPRTUNE_DETERMINISTIC", text)
    assert Settings.from_environment().deterministic is value
    assert Settings.from_environment(deterministic=not value).deterministic is not value


def test_a_switch_in_the_environment_that_is_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable and both words."""
    monkeypatch.setenv("REPRTUNE_DETERMINISTIC", "yes please")
    with pytest.raises(SpecError, match="REPRTUNE_DETERMINISTIC must be on or off, but is 'yes please'"):
        Settings.from_environment()
