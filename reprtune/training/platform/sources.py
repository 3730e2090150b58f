"""What a source says, whatever its comments, docstrings and layout, and whichever Python reads it.

A state is named by the code that made it. So that a comment, a docstring or another file renames nothing, and a
line that can change a bit renames what it can change, code enters a name as the tokens of the modules that run,
with everything of the project's that they import. Parts of methods are imported by name, not by an import
statement, and are named one by one by the events they act in.

What is no token does not count: comments (those about types too), blank lines, the width of indentation, where a
line is broken inside brackets or by a backslash, the encoding. What is a token does: a trailing comma, brackets
that change nothing, the quotes of a text, whether a body stands on the line of its `def`.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import io
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path

OURS = "reprtune"
PACKAGE, PACKAGE_FOLDER = f"{OURS}.training", Path(__file__).parent.parent
LAYOUT = {"COMMENT", "NL", "ENCODING", "ENDMARKER"}
MARKS = {"NEWLINE": "\n", "INDENT": "\t", "DEDENT": "\b"}  # they count, but not as they are written
BEGIN, END = ("FSTRING_START", "TSTRING_START"), ("FSTRING_END", "TSTRING_END")  # Python 3.12 and 3.14

# What these make (resolved events, learning rates, bytes of a store) enters names as values, or not at all.
VALUES = frozenset(
    {
        f"{PACKAGE}.{name}"
        for name in (
            "chain.plan",
            "parts.schedules",
            "chain.identity",
            "platform.sources",
            "platform.user_code",
        )
    }
)

Spot = tuple[int, int]  # line from 1, column from 0, in characters


def meaning(source: str) -> Iterator[str]:
    """The tokens of a source that a computer reads, without docstrings; a body that is only one is `pass`.

    Raises:
        SyntaxError, ValueError, tokenize.TokenError: it is no Python, or of a newer one.
    """
    lines = list(io.StringIO(source))  # broken at "\n" only, as Python counts them
    docs = _docstrings(source, lines)
    end, is_all, is_after = (0, 0), False, False  # of a docstring: where it ends, what its body is, its line
    for kind, text, start in _tokens(source, lines):
        if start in docs:
            end, is_all = docs[start]
            is_after = True
            if is_all:
                yield "pass"
        elif start >= end and not (is_after and text == ";"):
            if not is_after or is_all or kind != "NEWLINE":
                yield MARKS.get(kind, text)
            is_after = False


def _tokens(source: str, lines: list[str]) -> Iterator[tuple[str, str, Spot]]:
    """(kind, text, where it begins) of all that is not layout; an f-string is one, as before Python 3.12."""
    depth, start = 0, (0, 0)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = tokenize.tok_name[token.type]
        if kind in BEGIN:
            start = start if depth else token.start
            depth += 1
        elif kind in END:
            depth -= 1
            if not depth:
                yield "STRING", _between(lines, start, token.end), start
        elif not depth and kind not in LAYOUT:
            yield kind, token.string, token.start


def _docstrings(source: str, lines: list[str]) -> dict[Spot, tuple[Spot, bool]]:
    """Begin of each docstring -> its end, and whether its class or function has nothing else."""
    found = {}
    for node in ast.walk(_parsed(source)):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if ast.get_docstring(node, clean=False) is None:
            continue
        first = node.body[0]
        assert first.end_lineno is not None
        assert first.end_col_offset is not None
        end = _spot(lines, first.end_lineno, first.end_col_offset)
        is_all = len(node.body) == 1 and not isinstance(node, ast.Module)
        found[_spot(lines, first.lineno, first.col_offset)] = end, is_all
    return found


def _spot(lines: list[str], line: int, n_bytes: int) -> Spot:
    """From a column that is counted in bytes, as ast does."""
    return line, len(lines[line - 1].encode()[:n_bytes].decode())


def _between(lines: list[str], start: Spot, end: Spot) -> str:
    (row, column), (last, stop) = start, end
    if row == last:
        return lines[row - 1][column:stop]
    return "".join([lines[row - 1][column:], *lines[row : last - 1], lines[last - 1][:stop]])


def _parsed(source: str | bytes) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of strange backslashes; who runs the code will see them
        return ast.parse(source)


@functools.cache
def digest_of(path: Path) -> str:
    """Hex SHA-256 of what a file said when this process first asked; of one that is no Python, of its bytes."""
    data = path.read_bytes()
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        tokens = list(meaning(io.TextIOWrapper(io.BytesIO(data), encoding).read()))
    except (SyntaxError, ValueError, tokenize.TokenError):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha256("\0".join(tokens).encode(errors="surrogatepass")).hexdigest()


@functools.cache
def imported_names(module_name: str, path: Path) -> tuple[str, ...]:
    """Every name a source may import as a module, anywhere in it; of a source that is no Python, none."""
    try:
        tree = _parsed(path.read_bytes())
    except (SyntaxError, ValueError):
        return ()  # the import will say so
    package = module_name if path.name == "__init__.py" else module_name.rpartition(".")[0]
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            names += [base, *(f"{base}.{alias.name}" for alias in node.names if alias.name != "*")]
    return tuple(name for name in names if name and not name.startswith("."))


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """The module named after `from`, without its leading dots; empty where there are too many."""
    parts = package.split(".")
    if not node.level or node.level > len(parts):
        return "" if node.level else str(node.module)
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


# -- the project's own ----------------------------------------------------------------------------


@functools.cache
def source_digest(*modules: str) -> str:
    """The digest of modules of `reprtune.training` and all that they import from there.

    Args:
        modules: names, such as `reprtune.training.chain.member`; of any other package they are left out.
    """
    sha = hashlib.sha256()
    for name, path in sorted(closure(*modules).items()):
        sha.update(f"{name} {digest_of(path)}\n".encode())
    return sha.hexdigest()


def alone_digest(module: str) -> str:
    """The digest of one module of ours, without what it imports."""
    path = file_of(module)
    assert path is not None, module
    return digest_of(path)


def closure(*modules: str) -> dict[str, Path]:
    """Module -> file, of these and of all of `reprtune.training` that they lead to."""
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found or name in VALUES or not f"{name}.".startswith(f"{PACKAGE}."):
            continue
        if (path := file_of(name)) is None:
            continue
        found[name] = path
        waiting += [*imported_names(name, path), name.rpartition(".")[0]]
    return found


def file_of(name: str) -> Path | None:
    """The source of a module of ours; None of any other, and of a name that is something in a module."""
    ours, *inner = name.split(".")
    if ours != OURS:
        return None
    place = PACKAGE_FOLDER.parent.joinpath(*inner)
    return next((p for p in (place.with_suffix(".py"), place / "__init__.py") if p.is_file()), None)
