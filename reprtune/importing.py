"""Import a person's own code, as `python:MODULE:NAME` or `python:FILE.py:NAME` names it.

A module is found as `python -c "from MODULE import NAME"` would find it, from the current folder first; a file
runs as `python FILE.py` would run it, and what it imports is looked for in its own folder first. A file is a
module of its own, whatever it is called, so that files of one name in several folders do not meet.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from reprtune.errors import ReprtuneError

PREFIX = "python:"
FORM = f"Write {PREFIX}MODULE:NAME, or {PREFIX}FILE.py:NAME with a path from the current folder."
FROM_FOLDER = "A module is found from the current folder, or where Python finds its packages."
BESIDE = "A module is found beside the file, or where Python finds its packages."
RELATIVE = "A file that imports relative to its package is named as a module: python:PACKAGE.MODULE:NAME."


@dataclass(frozen=True)
class Place:
    """Where code of a person's lies.

    Attributes:
        folder: absolute; modules are looked for there first.
        module: its name; empty for a file. file: its absolute path; None for a module.
        written: what the person wrote, for messages.
    """

    folder: Path
    module: str
    file: Path | None
    written: str = field(compare=False)

    def __str__(self) -> str:
        return f"the module {self.module}" if self.file is None else f"the file {self.file}"


def parse(target: str, written: str) -> tuple[Place, str]:
    """The place and the name in `MODULE:NAME` or `FILE.py:NAME`; what ends in `.py` is a file.

    Raises:
        ReprtuneError: it is neither.
    """
    where, _, name = target.rpartition(":")
    is_file = where.endswith(".py")
    if not name.isidentifier() or not (is_file or all(word.isidentifier() for word in where.split("."))):
        raise ReprtuneError(f"{written} must name a module or a file, and what is in it.", FORM)
    if not is_file:
        return Place(Path.cwd(), where, None, written), name
    file = Path(where).resolve()
    return Place(file.parent, "", file, written), name


def imported(place: Place) -> ModuleType:
    """The module at a place. A file is run anew at each call.

    Raises:
        ReprtuneError: it is not there, or its import fails; one that the code itself raises goes on as it is.
    """
    if place.file is not None and not place.file.is_file():
        raise ReprtuneError(
            f"{place.written}: there is no file {place.file}.",
            "A file is named by its path, from the current folder or absolute.",
        )
    try:
        with first_on_path(place.folder):
            return importlib.import_module(place.module) if place.file is None else _run(place.file)
    except ReprtuneError:
        raise
    except ModuleNotFoundError as missing:
        raise _not_found(place, missing) from missing
    except (Exception, SystemExit) as failure:
        shows = f'python -c "import {place.module}"' if place.file is None else f"python {place.file}"
        is_relative = isinstance(failure, ImportError) and "relative import" in str(failure)
        raise ReprtuneError(
            f"{place.written} cannot be imported: {type(failure).__name__}: {failure}",
            RELATIVE if is_relative else f"{shows} shows where.",
        ) from failure


def _not_found(place: Place, missing: ModuleNotFoundError) -> ReprtuneError:
    hint = FROM_FOLDER if place.file is None else BESIDE
    if missing.name and f"{place.module}.".startswith(f"{missing.name}."):
        return ReprtuneError(
            f"{place.written}: there is no module {missing.name!r} in {place.folder} or among the packages.",
            hint,
        )
    return ReprtuneError(f"{place.written} imports {missing.name!r}, which is not there.", hint)


def _run(file: Path) -> ModuleType:
    """As a module whose name says the path, so that no two files share one."""
    path = hashlib.sha256(str(file).encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(
        f"own_{re.sub(r'[^a-zA-Z0-9]', '_', file.stem)}_{path}", file
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and inspect look for what is defined in it
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module


@contextlib.contextmanager
def first_on_path(folder: Path) -> Iterator[None]:
    """Modules are looked for in `folder` first; the path is as before afterwards."""
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))
