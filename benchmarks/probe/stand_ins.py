"""Two small packages that a machine may lack, as far as the probe needs them. For nothing else: a state written
with these is no state of reprtune's."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import types
from typing import Any

import torch
from torch import Tensor


def install() -> list[str]:
    """Names of the packages that are missing here and have a stand-in from now on."""
    missing = []
    for name, module, make in (
        ("safetensors", "safetensors.torch", _safetensors),
        ("filelock", "filelock", _filelock),
    ):
        try:
            importlib.import_module(module)
        except ImportError:
            sys.modules.update(make())
            missing.append(name)
    return missing


class SafetensorError(Exception):
    """These bytes are something else."""


def save(tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:  # noqa: ARG001
    """As `safetensors.torch.save`, in torch's own format."""
    file = io.BytesIO()
    torch.save(dict(tensors), file)
    return file.getvalue()


def load(data: bytes) -> dict[str, Tensor]:
    """The inverse of `save`."""
    try:
        tensors: dict[str, Tensor] = torch.load(io.BytesIO(data), weights_only=True)
    except Exception as error:
        raise SafetensorError(str(error)) from error
    return tensors


def _safetensors() -> dict[str, types.ModuleType]:
    outer: Any = types.ModuleType("safetensors")
    inner: Any = types.ModuleType("safetensors.torch")
    inner.save, inner.load = save, load
    outer.SafetensorError, outer.torch = SafetensorError, inner
    return {"safetensors": outer, "safetensors.torch": inner}


class FileLock(contextlib.AbstractContextManager[None]):
    """Locks nothing: the probe's processes write no file together."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def acquire(self, *_: object, **__: object) -> FileLock:
        return self

    def release(self, *_: object, **__: object) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def _filelock() -> dict[str, types.ModuleType]:
    module: Any = types.ModuleType("filelock")
    module.FileLock = module.SoftFileLock = module.UnixFileLock = FileLock
    module.Timeout = type("Timeout", (Exception,), {})
    return {"filelock": module}
