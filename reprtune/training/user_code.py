"""A person's own code: found, imported, and named by the digest of its sources.

`MODULE:FACTORY` is imported as `python -c "from MODULE import FACTORY"` would, from the current folder
first. The digest is over the sources of the module and of every module of the person's that it imports,
directly or through others, also inside functions: what is neither of Python nor installed as a package.
They are found by reading the sources, so that the digest depends on nothing that runs; modules that are
only imported by a computed name are not seen.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import importlib
import importlib.machinery
import importlib.util
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reprtune.errors import DataError, ModelError, ReprtuneError
from reprtune.spec.trial import TrialSpec

PREFIX = "python:"
OURS = "reprtune"  # has a digest of its own
HOW = "A module is found from the current folder, or where Python finds its packages."


@dataclass(frozen=True)
class UserCode:
    """A factory and what it is made of.

    Attributes:
        target: "module:name". factory: what it names.
        digest: hex SHA-256 of the names and the sources of `files`.
        files: module -> its file, sorted by module.
        error: what goes wrong in it is raised as this kind of error.
    """

    target: str
    factory: Callable[..., Any]
    digest: str
    files: Mapping[str, Path]
    error: type[ReprtuneError] = ReprtuneError

    def call(self, *arguments: object) -> Any:
        """What the factory returns.

        Raises:
            ReprtuneError: of the kind `error`, when it fails.
        """
        try:
            with _current_folder_first():
                return self.factory(*arguments)
        except Exception as error:
            raise self.error(
                f"{PREFIX}{self.target} failed when called with {arguments}: {type(error).__name__}: {error}",
                f"The factory is in {self.files[self.target.partition(':')[0]]}.",
            ) from error


def load(target: str, error: type[ReprtuneError]) -> UserCode:
    """Import the factory `target`, "module:name", once for the life of this process.

    Raises:
        ReprtuneError: of the kind `error`: no such module or name, an import that fails, a name that is
            nothing to call.
    """
    try:
        return replace(_load(target), error=error)
    except ReprtuneError as failure:
        raise error(failure.message, failure.hint) from failure.__cause__


@functools.cache
def _load(target: str) -> UserCode:
    module_name, _, name = target.partition(":")
    with _current_folder_first():
        files = dict(sorted(_sources(module_name).items()))
        digest = _digest(files)  # before the import: what is imported is not newer than what is named
        module = _import(module_name, target)
    found = getattr(module, name, None)
    if not callable(found):
        known = (
            ", ".join(sorted(k for k, v in vars(module).items() if callable(v) and k[0] != "_")) or "nothing"
        )
        what = "has no" if not hasattr(module, name) else "cannot call its"
        raise ReprtuneError(
            f"{PREFIX}{target}: the module {module_name} ({module.__file__}) {what} {name!r}.",
            f"It can call {known}.",
        )
    if module_name not in files:
        files[module_name] = Path(str(module.__file__))
    return UserCode(target, found, digest, files)


def digests(spec: TrialSpec) -> dict[str, str]:
    """The digest of every factory a trial uses, by the name the specification gives it."""
    kinds: dict[str, type[ReprtuneError]] = {spec.model.name: ModelError, spec.task.dataset: DataError}
    used = {name: kind for name, kind in sorted(kinds.items()) if name.startswith(PREFIX)}
    return {name: load(name.removeprefix(PREFIX), kind).digest for name, kind in used.items()}


def _import(module_name: str, target: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as missing:
        if missing.name and f"{module_name}.".startswith(f"{missing.name}."):
            raise ReprtuneError(
                f"{PREFIX}{target}: there is no module {missing.name!r} in {Path.cwd()} or among the packages.",
                HOW,
            ) from missing
        raise ReprtuneError(
            f"{PREFIX}{target} imports {missing.name!r}, which is not there.", HOW
        ) from missing
    except Exception as failure:
        raise ReprtuneError(
            f"{PREFIX}{target} cannot be imported: {type(failure).__name__}: {failure}",
            f'python -c "import {module_name}" shows where.',
        ) from failure


@contextlib.contextmanager
def _current_folder_first() -> Iterator[None]:
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


# -- sources --------------------------------------------------------------------------------------


def _digest(files: Mapping[str, Path]) -> str:
    sha = hashlib.sha256()
    for name, path in files.items():
        source = path.read_bytes()
        sha.update(f"{name} {len(source)}:".encode() + source)
    return sha.hexdigest()


def _sources(module_name: str) -> dict[str, Path]:
    """Module -> file, of `module_name` and of all modules of the person's that it leads to."""
    files: dict[str, Path] = {}
    top = module_name.partition(".")[0]
    waiting = [module_name]
    while waiting:
        name = waiting.pop()
        for part in _with_parents(name):
            if part in files or (path := _find(part, top)) is None:
                continue
            files[part] = path
            waiting += imported_names(part, path)
    return files


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
    """Where a module is, found without running anything."""
    first, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(first)
    except (ImportError, ValueError):  # __main__, or half a module
        return None
    if spec is None or (first != top and _is_foreign(first, spec)):
        return None
    for i in range(len(rest)):
        if spec is None or spec.submodule_search_locations is None:
            return None
        whole = ".".join([first, *rest[: i + 1]])
        spec = importlib.machinery.PathFinder.find_spec(whole, list(spec.submodule_search_locations))
    return spec


def _is_foreign(name: str, spec: importlib.machinery.ModuleSpec) -> bool:
    """Of Python, of an installed package, or ours."""
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


def imported_names(module_name: str, path: Path) -> list[str]:
    """Every name a source may import as a module, anywhere in it; of a source that is no Python, none."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return []  # the import will say so
    package = module_name if path.name == "__init__.py" else module_name.rpartition(".")[0]
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            names += [base, *(f"{base}.{alias.name}" for alias in node.names if alias.name != "*")]
    return [name for name in names if name]


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """The module named after `from`, without its leading dots."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])
