"""A person's own code: found, imported, and named by the digest of what its sources say.

`MODULE:NAME` and `FILE.py:NAME` are imported as `reprtune.importing` says. The digest is over the sources of the
module or file and of every module of the person's that it imports, directly or through others, also inside
functions: what is neither of Python nor installed as a package. They are found by reading the sources, so that
the digest depends on nothing that runs, nor on where the folder lies; modules that are only imported by a
computed name are not seen. It is over their meaning (see `sources`): a comment renames nothing.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.machinery
import sys
import sysconfig
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from reprtune.errors import DataError, ModelError, PartError, ReprtuneError
from reprtune.importing import PREFIX, Place, first_on_path, imported, parse
from reprtune.spec.parts.part import Own
from reprtune.spec.trial import TrialSpec
from reprtune.training.platform.device import is_out_of_memory
from reprtune.training.platform.sources import digest_of, imported_names

OURS = "reprtune"  # has a digest of its own


@dataclass(frozen=True)
class UserCode:
    """A function or factory and what it is made of.

    Attributes:
        target: "module:name" or "file.py:name". factory: what it names.
        folder: where modules are looked for first.
        digest: hex SHA-256 of the names and the meaning of `files`.
        files: module -> its file, sorted by module; a file that was named as one is called as it is there.
        error: what goes wrong in it is raised as this kind of error.
    """

    target: str
    factory: Callable[..., Any]
    folder: Path
    digest: str
    files: Mapping[str, Path]
    error: type[ReprtuneError] = ReprtuneError

    def call(self, *arguments: object) -> Any:
        """What the factory returns.

        Raises:
            ReprtuneError: of the kind `error`, when it fails, unless it raises one of ours or is out of memory.
        """
        return self._call(f"when called with {arguments}", arguments, {})

    def call_with(self, options: Mapping[str, Any], *arguments: object) -> Any:
        """What a part returns for the arguments of its place, which may be large and are not shown.

        Raises:
            ReprtuneError: as `call`.
        """
        said = ", ".join(f"{name}={value!r}" for name, value in options.items())
        return self._call(f"with {said}" if said else "", arguments, options)

    def _call(self, how: str, arguments: tuple[object, ...], options: Mapping[str, Any]) -> Any:
        _check_loaded(self.files, f"{PREFIX}{self.target}")
        try:
            with first_on_path(self.folder):
                return self.factory(*arguments, **options)
        except ReprtuneError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise  # an outcome of its own, whoever asked for memory
            raise self.error(
                f"{PREFIX}{self.target} failed {how}".rstrip() + f": {type(error).__name__}: {error}",
                f"It is in {self._where(error)}.",
            ) from error

    def _where(self, error: Exception) -> str:
        """The last of the person's own lines that ran; the files where none did."""
        own = {str(path) for path in self.files.values()}
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in own]
        return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else ", ".join(sorted(own))


@dataclass(frozen=True)
class _Loaded:
    """What lies at a place, imported once for the life of this process."""

    module: ModuleType
    digest: str
    files: Mapping[str, Path]


def load(target: str, error: type[ReprtuneError]) -> UserCode:
    """Import what `target` names, "module:name" or "file.py:name", once for the life of this process.

    Raises:
        ReprtuneError: of the kind `error`: no such file, module or name, an import that fails, a name that is
            nothing to call, another module of that name.
    """
    try:
        place, name = parse(target, f"{PREFIX}{target}")
        loaded = _loaded(place)
        found = _named(loaded.module, name, place)
    except ReprtuneError as failure:
        raise error(failure.message, failure.hint) from failure.__cause__
    return UserCode(target, found, place.folder, loaded.digest, loaded.files, error)


@functools.cache
def _loaded(place: Place) -> _Loaded:
    with first_on_path(place.folder):
        files = dict(sorted(_sources(place).items()))
        _check_loaded(files, place.written)
        digest = _digest(files)  # before the import: what is imported is not newer than what is named
        module = imported(place)
    if not files:  # of Python itself, or no source
        files[place.module] = Path(str(module.__file__))
    return _Loaded(module, digest, files)


def _named(module: ModuleType, name: str, place: Place) -> Callable[..., Any]:
    found = getattr(module, name, None)
    if callable(found):
        return found
    known = ", ".join(sorted(k for k, v in vars(module).items() if callable(v) and k[0] != "_")) or "nothing"
    what = "has no" if not hasattr(module, name) else "cannot call its"
    where = f"{place} ({module.__file__})" if place.file is None else str(place)
    raise ReprtuneError(f"{place.written}: {where} {what} {name!r}.", f"It can call {known}.")


def digests(spec: TrialSpec) -> dict[str, str]:
    """The digest of every network, data set and part of the person's own that a trial uses, by the name the
    specification gives it.

    Raises:
        ModelError, DataError, PartError: one cannot be imported.
    """
    kinds: dict[str, type[ReprtuneError]] = {spec.model.name: ModelError, spec.task.dataset: DataError}
    kinds |= {part.name: PartError for _, part in spec.method.parts() if isinstance(part, Own)}
    used = {name: kind for name, kind in sorted(kinds.items()) if name.startswith(PREFIX)}
    return {name: load(name.removeprefix(PREFIX), kind).digest for name, kind in used.items()}


# -- sources --------------------------------------------------------------------------------------


def _digest(files: Mapping[str, Path]) -> str:
    sha = hashlib.sha256()
    for name, path in files.items():
        sha.update(f"{name} {digest_of(path)}\n".encode())
    return sha.hexdigest()


def _sources(place: Place) -> dict[str, Path]:
    """Module -> file, of the place and of all modules of the person's that it leads to."""
    files: dict[str, Path] = {}
    top, waiting = place.module.partition(".")[0], [place.module]
    if place.file is not None:
        waiting = []
        if place.file.is_file():  # else its import will say so
            files[place.file.name] = place.file
            waiting += imported_names("", place.file)
    while waiting:
        name = waiting.pop()
        for part in _with_parents(name):
            if part in files or (path := _find(part, top)) is None:
                continue
            files[part] = path
            waiting += imported_names(part, path)
    return files


def _check_loaded(files: Mapping[str, Path], what: str) -> None:
    """A process has one module of each name: raise ReprtuneError where it is not the one that was found."""
    for name, path in files.items():
        there = getattr(sys.modules.get(name), "__file__", None)
        if there is not None and Path(there).resolve() != path.resolve():
            raise ReprtuneError(
                f"{what} imports {name} from {path}, but another {name} has been imported already, from {there}.",
                "Rename one of them.",
            )


def _with_parents(name: str) -> list[str]:
    """`a.b.c` -> a, a.b, a.b.c: importing the last runs them all."""
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _find(name: str, top: str) -> Path | None:
    """The source file of a module of the person's; None of any other, and of what is no module."""
    spec = _spec(name, top)
    if spec is None or not spec.has_location or not str(spec.origin).endswith(".py"):
        return None
    return Path(str(spec.origin))


def _spec(name: str, top: str) -> importlib.machinery.ModuleSpec | None:
    """Where a module is, found without running anything; one of the module `top` wherever it is installed."""
    first, *rest = name.split(".")
    spec = _spec_on_path(first)
    if spec is None or (first != top and _is_foreign(first, spec)):
        return None
    for i in range(len(rest)):
        if spec is None or spec.submodule_search_locations is None:
            return None
        whole = ".".join([first, *rest[: i + 1]])
        spec = importlib.machinery.PathFinder.find_spec(whole, list(spec.submodule_search_locations))
    return spec


def _spec_on_path(name: str) -> importlib.machinery.ModuleSpec | None:
    """The same as `importlib.util.find_spec`, whatever has been imported already."""
    found = (finder.find_spec(name, None) for finder in sys.meta_path)
    return next((spec for spec in found if spec is not None), None)


def _is_foreign(name: str, spec: importlib.machinery.ModuleSpec) -> bool:
    """Is the module of Python, of an installed package, or ours?"""
    if name == OURS or (spec.origin in ("built-in", "frozen")):
        return True
    places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or [])
    return any(_is_installed(Path(place).resolve()) for place in places)


def _is_installed(path: Path) -> bool:
    folders = _installed_folders()
    return bool({"site-packages", "dist-packages"} & set(path.parts)) or any(
        f in path.parents for f in folders
    )


@functools.cache
def _installed_folders() -> frozenset[Path]:
    paths = sysconfig.get_paths()
    return frozenset(Path(paths[key]).resolve() for key in ("stdlib", "platstdlib", "purelib", "platlib"))
