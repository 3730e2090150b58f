"""A person's own folder with modules in it, from which the tests load factories."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reprtune.training.platform import sources, user_code


class Folder:
    """The current folder of one test; `forget` makes this process one that has imported nothing of it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, text: str) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def forget(self) -> None:
        for cached in (user_code._loaded, sources.digest_of, sources.imported_names):
            cached.cache_clear()
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            places = [file] if file else list(getattr(module, "__path__", []))
            if any(str(place).startswith(f"{self.path}{os.sep}") for place in places):
                del sys.modules[name]
        importlib.invalidate_caches()

    def digest(self, target: str) -> str:
        self.forget()
        return user_code.load(target, user_code.ModelError).digest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # edits within a second would not be seen
    path = tmp_path / "own"
    path.mkdir()
    monkeypatch.chdir(path)
    found = Folder(path)
    yield found
    found.forget()
