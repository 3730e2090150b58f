"""What a source says: neither comments, docstrings nor layout count; all else does, on every Python alike."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from reprtune.training.platform import sources
from tests.conftest import ROOT

SOURCES = ROOT / "reprtune" / "training" / "platform" / "sources.py"
PYTHONS = ("python3.10", "python3.11", "python3.12", "python3.13", "python3.14")
PROGRAM = """import json, runpy, sys
from pathlib import Path
digest_of = runpy.run_path(sys.argv[1])["digest_of"]
print(json.dumps([digest_of(Path(line.rstrip())) for line in sys.stdin]))
"""

SAMPLE = '''"""Of the module."""

import os  # a comment
PAGE = "\x0c\u2028"


@property
@staticmethod
class Net:
    """Of a class
    in two lines."""

    size: int = 3  # type: int

    async def forward(self, x, *, power=1.5):
        \'\'\'Of a function.\'\'\'
        "a text that is no docstring"
        if (n := len(x)) > 2 and \\
                power:
            return {
                "a": [1, 2, n],  # inside
                f"b{n!r:>{power}} {'q'}": f"""two
                {x} # lines""",
            }
        return lambda y: (y, -n ** 0x1F if y else ...)

    def empty(self):
        """Nothing else."""

    def tabs(self):
        pass; x = b"bytes"; return not x


def ünï(): "on the same line"
def other(): return "é" f"{ünï()}é" f"é"
if os: λ = 1
else:
    λ = [i for i in "a"
         "b"]
'''


def said(source: str) -> list[str]:
    return list(sources.meaning(textwrap.dedent(source)))


EQUAL = {
    "comments": ("x = 1\n", "# one\nx = 1  # two\n# three\n"),
    "a comment about types": ("x = []\n", "x = []  # type: list[int]\n"),
    "a coding line": ("x = 1\n", "# -*- coding: latin-1 -*-\nx = 1\n"),
    "blank lines": ("x = 1\ny = 2\n", "\n\nx = 1\n   \n\x0c\ny = 2\n\n"),
    "no new line at the end": ("x = 1\n", "x = 1"),
    "a comment at the end of the last line": ("x = 1\n", "x = 1  # last"),
    "a comment as the last line": ("if x:\n  y\n", "if x:\n  y\n# last"),
    "width of indentation": ("if x:\n  if y:\n    z\n", "if x:\n\tif y:\n\t\t\tz\n"),
    "comments at any depth": ("if x:\n  y\nz\n", "if x:\n# a\n      # b\n  y\n    # c\nz\n"),
    "lines inside brackets": ("f(a, [b], c)\n", "f(\n    a,\n  [b],\n\n  # d\n  c)\n"),
    "lines joined by a backslash": ("x = a + b\n", "x = \\\n  a \\\n    + b\n"),
    "blanks": ("x=f( a )[ 1:2 ]\n", "x = f(a) [1 : 2]\n"),
    "docstring of a module": ("x = 1\n", '"""What\n\nit is."""\n\nx = 1\n'),
    "only a docstring": ("", "'it'\n"),
    "docstring of a class": ("class A:\n  x = 1\n", 'class A:\n  """It."""\n\n  x = 1\n'),
    "docstring of a decorated class": ("@d\nclass A:\n  x = 1\n", '@d\nclass A:\n  r"""It."""\n  x = 1\n'),
    "docstring of a function": ("def f():\n  return 1\n", "def f():\n  'It.'  # and\n  return 1\n"),
    "docstring of a coroutine": ("async def f():\n  return 1\n", "async def f():\n  u'It.'\n  return 1\n"),
    "docstring of a method": ("class A:\n  def f(self):\n    x\n", "class A:\n  def f(self):\n    'It.'\n    x\n"),
    "docstring of an inner function": (
        "def f():\n  def g():\n    x\n  y\n", "def f():\n  'a'\n  def g():\n    'b'\n    x\n  y\n",
    ),
    "docstring in brackets": ("def f():\n  x\n", "def f():\n  ('It '\n   # c\n   'is.')\n  x\n"),
    "docstring of joined texts": ("def f():\n  x\n", "def f():\n  'It ' \\\n  'is.'\n  x\n"),
    "docstring before a semicolon": ("def f(): x\n", "def f(): 'It.'; x\n"),
    "docstring and an empty semicolon": ("def f():\n  x\n", "def f():\n  'It.';\n  x\n"),
    "another docstring": ("def f():\n  'a'\n  x\n", 'def f():\n  """b\n  c"""\n  x\n'),
    "a docstring instead of pass": ("class A(E):\n  pass\n", "class A(E):\n  'It.'\n"),
    "a docstring instead of pass on one line": ("class A(E): pass\nx\n", "class A(E): 'It.'  # c\nx\n"),
    "after letters of two bytes": ("def é(): x\n", "def é(): 'It.'; x\n"),
    "after what is no end of a line": ("x = '\x0c\u2028'\ndef é(): x\n", "x = '\x0c\u2028'\ndef é(): 'It.'; x\n"),
}  # fmt: skip
DIFFERENT = {
    "a name": ("x = 1\n", "y = 1\n"),
    "a number": ("x = 1\n", "x = 1.0\n"),
    "order": ("x\ny\n", "y\nx\n"),
    "a line more": ("x\n", "x\nx\n"),
    "depth": ("if x:\n  y\nz\n", "if x:\n  y\n  z\n"),
    "depth at the end": ("for x in y:\n  if x:\n    z\n    w\n", "for x in y:\n  if x:\n    z\n  w\n"),
    "a line instead of brackets": ("f\n(a)\n", "f(a)\n"),
    "two lines instead of one": ("x = 1\n-y\n", "x = 1 - y\n"),
    "a trailing comma": ("x = (1)\n", "x = (1,)\n"),
    "a text of a statement": ("def f():\n  'a'\n  'b'\n", "def f():\n  'a'\n  'c'\n"),
    "a text after another statement": ("x\n'a'\n", "x\n'b'\n"),
    "a text that is formatted": ("def f():\n  f'a'\n", "def f():\n  f'b'\n"),
    "a text of bytes": ("def f():\n  b'a'\n", "def f():\n  b'b'\n"),
    "a text below an if": ("if x:\n  'a'\n", "if x:\n  'b'\n"),
    "blanks in a text": ("x = 'a b'\n", "x = 'a  b'\n"),
    "a comment in a text": ("x = '''a # b\n'''\n", "x = '''a\n'''\n"),
    "lines in a text": ("x = '''a\nb'''\n", "x = '''a\n b'''\n"),
    "what is formatted": ("x = f'{a}'\n", "x = f'{b}'\n"),
    "how it is formatted": ("x = f'{a:>3}'\n", "x = f'{a:<3}'\n"),
    "a text beside it": ("x = f'{a} b'\n", "x = f'{a} c'\n"),
    "the lines of a formatted text": ("x = f'''{a}\n b'''\n", "x = f'''{a}\nb'''\n"),
    "what follows a function of a docstring": ("def f(): 'a'\nx\n", "def f(): x\n"),
    "and of a block": ("def f():\n  'a'\nx\n", "def f():\n  x\n"),
    "a walrus": ("f(x := 1)\n", "f(x = 1)\n"),
    "a name called as a mark is": ("NEWLINE\n", "INDENT\n"),
}  # fmt: skip


@pytest.mark.parametrize("what", EQUAL)
def test_layout_comments_and_docstrings_say_nothing(what: str) -> None:
    """Added, changed or removed."""
    one, other = EQUAL[what]
    assert said(one) == said(other)


@pytest.mark.parametrize("what", DIFFERENT)
def test_all_else_says_something(what: str) -> None:
    """However small it is."""
    one, other = DIFFERENT[what]
    assert said(one) != said(other)


def test_the_tokens_of_a_small_source() -> None:
    """By hand; a formatted text is one, its brackets are not looked into."""
    found = said("def f(a):\n    'It.'\n    return f'{a + 1} x'  # c\n")
    assert found == [
        "def", "f", "(", "a", ")", ":", "\n", "\t", "return", "f'{a + 1} x'", "\n", "\b",
    ]  # fmt: skip


def without_docstrings(source: str) -> str:
    """What Python makes of a source, the oracle: its syntax tree without positions and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            is_doc = ast.get_docstring(node) is not None
            node.body = node.body[is_doc:] or ([] if isinstance(node, ast.Module) else [ast.Pass()])
    return ast.dump(tree)


def test_no_change_of_one_letter_is_overlooked() -> None:
    """Each letter of a source is left out, doubled, or has another put before it, wherever that still is Python:
    where the syntax tree is another, so are the tokens."""
    tree, tokens = without_docstrings(SAMPLE), said(SAMPLE)
    n_other = 0
    for i in range(len(SAMPLE)):
        for new in ("", SAMPLE[i] * 2, f" {SAMPLE[i]}", f"x{SAMPLE[i]}"):
            source = SAMPLE[:i] + new + SAMPLE[i + 1 :]
            try:
                other = without_docstrings(source)
            except SyntaxError:
                continue
            if other != tree:
                n_other += 1
                assert said(source) != tokens, source
    assert n_other > 500


# -- files ----------------------------------------------------------------------------------------


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    sources.digest_of.cache_clear()
    return path


def digest(path: Path, data: bytes) -> str:
    return sources.digest_of(write(path, data))


def test_the_digest_does_not_depend_on_encoding_or_line_ends(tmp_path: Path) -> None:
    """UTF-8 with and without a mark, Latin-1 that says so; lines as Windows and old Macs end them."""
    file, text = tmp_path / "a.py", "x = 'é'\ny = '''a\nb'''\n"
    plain = digest(file, text.encode())
    assert plain == digest(file, b"\xef\xbb\xbf" + text.encode())
    assert plain == digest(file, b"# coding: latin-1\n" + text.encode("latin-1"))
    assert (
        plain
        == digest(file, text.replace("\n", "\r\n").encode())
        == digest(file, text.replace("\n", "\r").encode())
    )
    assert plain != digest(file, text.replace("é", "e").encode())


def test_what_is_no_python_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    """Also where the encoding is unknown or wrong, or an empty byte is in it; an empty file says nothing."""
    file, seen = tmp_path / "a.py", set()
    for data in (
        b"def (:\n",
        b"def (: \n",
        b"x = '\n",
        b"# coding: none-such\n",
        b"x = '\xff'\n",
        b"x\0",
        b"\tx\n y\n",
    ):
        seen.add(digest(file, data))
    assert len(seen) == 7
    assert digest(file, b"") == digest(file, b"\n# c\n") not in seen


def test_strange_backslashes_warn_nobody(tmp_path: Path) -> None:
    """Who runs the code is warned; tests here fail at a warning."""
    assert digest(tmp_path / "a.py", b"x = '\\d'\n") != digest(tmp_path / "a.py", b"x = 'd'\n")
    assert sources.imported_names("a", write(tmp_path / "b.py", b"x = '\\d'\nimport c\n")) == ("c",)


def test_names_of_imports(tmp_path: Path) -> None:
    """Absolute and relative ones, wherever they stand; a star names its module, too many dots nothing."""
    text = b"import a.b as x, c\ndef f():\n  from d import e, g\nfrom . import h\nfrom ..i import *\nfrom ....j import k\n"
    found = sources.imported_names("p.q.r", write(tmp_path / "r.py", text))
    assert found == ("a.b", "c", "p.q", "p.q.h", "p.i", "d", "d.e", "d.g")
    found = sources.imported_names("p.q", write(tmp_path / "__init__.py", b"from . import h\n"))
    assert found == ("p.q", "p.q.h")
    assert sources.imported_names("", write(tmp_path / "s.py", b"from . import h\nfrom .i import j\n")) == ()


@pytest.mark.parametrize("python", PYTHONS)
def test_every_python_reads_the_same(python: str, tmp_path: Path) -> None:
    """All sources of the project, and one that has of everything; by the interpreters that are here."""
    found = shutil.which(python)
    if found is None or subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode != 0:
        pytest.skip(f"{python} is not here")
    files = [*sorted((ROOT / "reprtune").rglob("*.py")), write(tmp_path / "sample.py", SAMPLE.encode())]
    done = subprocess.run(
        [found, "-c", PROGRAM, str(SOURCES)], input="\n".join(map(str, files)),
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONUTF8": "1"},
    )  # fmt: skip
    here = [sources.digest_of(file) for file in files]
    there = json.loads(done.stdout)
    assert [str(f) for f, a, b in zip(files, here, there, strict=True) if a != b] == []


# -- the project's own ----------------------------------------------------------------------------


def test_the_closure_of_a_module_is_all_it_imports_of_training() -> None:
    """The oracle is Python itself: the modules of training that are there after importing it alone. Imports
    inside functions come on top, values and torch do not."""
    name = f"{sources.PACKAGE}.parts.criteria.activation"
    program = f"import sys, {name}; print(*(m for m in sys.modules if m.startswith({sources.PACKAGE!r})))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = sources.closure(name)
    loaded = set(done.stdout.split())
    assert loaded - sources.VALUES <= set(found)
    assert f"{sources.PACKAGE}.parts.criteria.taylor" not in found and sources.PACKAGE in found
    for module, path in found.items():
        assert path.is_relative_to(ROOT / "reprtune" / "training") and module.startswith(sources.PACKAGE)
    assert sources.closure("torch", "reprtune.spec.trial", f"{sources.PACKAGE}.platform.sources") == {}


def test_the_digest_of_a_module_changes_with_what_it_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """And with nothing else; it does not depend on the order in which modules are named."""
    changed = ""
    true = sources.digest_of

    def digest_of(path: Path) -> str:
        return true(path) + ("!" if path.as_posix().endswith(changed) and changed else "")

    monkeypatch.setattr(sources, "digest_of", digest_of)
    names = [f"{sources.PACKAGE}.parts.criteria.{name}" for name in ("norm", "random")]
    found = {}
    for changed in (
        "",
        "criteria/norm.py",
        "filter_rows.py",
        "criteria/__init__.py",
        "training/__init__.py",
        "criteria/fpgm.py",
    ):
        sources.source_digest.cache_clear()
        found[changed] = sources.source_digest(*names)
        assert found[changed] == sources.source_digest(*reversed(names))
    sources.source_digest.cache_clear()
    assert found.pop("criteria/fpgm.py") == found[""]
    assert len(set(found.values())) == len(found)
