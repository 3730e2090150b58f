"""What a source says, whatever its comments, docstrings and layout, and whichever Python reads it.

A state is named by the code that made it. So that a comment, a docstring or another file renames nothing, and a
line that can change a bit renames what it can change, code enters a name as the tokens of the modules that run,
with everything of the project's that they import. Parts of methods are imported by name, not by an import
statement, and are named one by one by the events they act in.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

from reprtune.training.user_code import imported_names

PACKAGE = "reprtune.training"
LAYOUT = {"COMMENT", "NL", "ENCODING", "ENDMARKER"}
MARKS = {"NEWLINE", "INDENT", "DEDENT"}  # count, but not as they are written
BEGIN, END = ("FSTRING_START", "TSTRING_START"), ("FSTRING_END", "TSTRING_END")  # Python 3.12 and 3.14

# What these make (resolved events, learning rates, bytes of a store) enters names as values, or not at all.
VALUES = frozenset({f"{PACKAGE}.{name}" for name in ("schedule", "identity", "sources", "user_code")})


def meaning(source: str) -> Iterator[str]:
    """The tokens of a source that a computer reads, an f-string as one."""
    docs = _docstrings(source)
    lines = source.splitlines(keepends=True)
    depth, start, after_doc = 0, (0, 0), False
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = tokenize.tok_name[token.type]
        if kind in BEGIN:
            start = start if depth else token.start
            depth += 1
        elif kind in END:
            depth -= 1
            if not depth:
                yield _between(lines, start, token.end)
        elif depth or kind in LAYOUT or token.start in docs or (after_doc and kind == "NEWLINE"):
            after_doc = token.start in docs
        else:
            yield kind if kind in MARKS else token.string


def _docstrings(source: str) -> set[tuple[int, int]]:
    """Where the docstrings of modules, classes and functions begin."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) or not node.body:
            continue
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            found.add((first.lineno, first.col_offset))
    return found


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    (row, column), (last, stop) = start, end
    if row == last:
        return lines[row - 1][column:stop]
    return "".join([lines[row - 1][column:], *lines[row : last - 1], lines[last - 1][:stop]])


def digest_of(path: Path) -> str:
    """Hex SHA-256 of what a file says; of one that is no Python, of its bytes."""
    data = path.read_bytes()
    try:
        tokens = list(meaning(data.decode()))
    except (SyntaxError, ValueError, tokenize.TokenError):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha256("\0".join(tokens).encode()).hexdigest()


@functools.cache
def source_digest(*modules: str) -> str:
    """Of modules of `reprtune.training` and all that they import from there.

    Args:
        modules: names, such as `reprtune.training.member`; of any other package they are left out.
    """
    sha = hashlib.sha256()
    for name, path in sorted(closure(*modules).items()):
        sha.update(f"{name} {digest_of(path)}\n".encode())
    return sha.hexdigest()


def closure(*modules: str) -> dict[str, Path]:
    """Module -> file, of these and of all of `reprtune.training` that they lead to."""
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found or name in VALUES or not f"{name}.".startswith(f"{PACKAGE}."):
            continue
        if (path := _file(name)) is not None:
            found[name] = path
            waiting += [*imported_names(name, path), name.rpartition(".")[0]]
    return found


@functools.cache
def _file(name: str) -> Path | None:
    """The source of a module; None where the name is no module."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # a name inside a module, which is no package
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None
