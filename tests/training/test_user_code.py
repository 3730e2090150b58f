"""A person's own code: what is imported, what its digest covers, and how its failures read."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest

from reprtune.errors import DataError, ModelError, ReprtuneError
from reprtune.training.platform import user_code
from reprtune.training.platform.sources import digest_of
from tests.conftest import ROOT
from tests.training.own_code import Folder, folder

__all__ = ["folder"]

PROJECT = {
    "lab/__init__.py": "",
    "lab/nets.py": "import math\nimport numpy\nfrom lab.parts import block\nfrom . import sizes\n"
    "def make(*given):\n    import late\n    return block(given)\nNUMBER = 3\n",
    "lab/parts.py": "from .deep.inner import value\ndef block(x):\n    return (x, value)\n",
    "lab/deep/__init__.py": "",
    "lab/deep/inner.py": "value = 1\n",
    "lab/sizes.py": "",
    "lab/unused.py": "",
    "late.py": "import lab.nets  # a circle\n",
    "other.py": "",
}
COVERED = ["lab", "lab.deep", "lab.deep.inner", "lab.nets", "lab.parts", "lab.sizes", "late"]


@pytest.fixture
def project(folder: Folder) -> Folder:
    for name, text in PROJECT.items():
        folder.write(name, text)
    return folder


def test_a_factory_is_found_from_the_current_folder(project: Folder) -> None:
    """It is called with what it is given, and the path of modules is as before."""
    before = list(sys.path)
    code = user_code.load("lab.nets:make", ModelError)
    assert code.call(1, "b") == ((1, "b"), 1)
    assert sys.path == before
    assert user_code.load("lab.nets:make", DataError).factory is code.factory, "imported once"


def test_the_digest_covers_all_own_modules_that_are_imported(project: Folder) -> None:
    """Through others, inside functions, in circles and by relative names; neither NumPy nor what is unused.
    It is the SHA-256 of names and of what the sources say."""
    code = user_code.load("lab.nets:make", ModelError)
    assert list(code.files) == COVERED
    sha = hashlib.sha256()
    for name in COVERED:
        sha.update(f"{name} {digest_of(code.files[name])}\n".encode())
    assert code.digest == sha.hexdigest()


@pytest.mark.parametrize("file", sorted(PROJECT))
def test_the_digest_changes_with_every_file_it_covers_and_no_other(project: Folder, file: str) -> None:
    """A file that nothing imports may change; and each of them its comments, docstrings and blank lines."""
    before = project.digest("lab.nets:make")
    project.write(file, f"'What it is.'\n\n{PROJECT[file]}# changed\n")
    assert project.digest("lab.nets:make") == before
    project.write(file, f"{PROJECT[file]}changed = 1\n")
    changes = file not in ("lab/unused.py", "other.py")
    assert (project.digest("lab.nets:make") != before) == changes


def test_the_digest_does_not_depend_on_place_or_process(project: Folder) -> None:
    """Another process in a copy of the folder, whatever it imported before, finds the same."""
    copy = project.path.parent / "copy"
    for name, text in PROJECT.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text(text)
    program = (
        "import sys; sys.path.insert(0, ''); import late\n"
        "from reprtune.training.platform import user_code\n"
        "print(user_code.load('lab.nets:make', user_code.ModelError).digest)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=copy, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert found.stdout.strip() == project.digest("lab.nets:make")


def test_what_runs_is_what_was_named(project: Folder) -> None:
    """A file that changes while a process lives changes neither what it runs nor the digest it gives."""
    before = user_code.load("lab.nets:make", ModelError)
    project.write("lab/nets.py", "def make(*given):\n    return 'new'\n")
    after = user_code.load("lab.nets:make", ModelError)
    assert after.digest == before.digest and after.call() == ((), 1)


def test_our_own_package_is_not_the_persons(folder: Folder) -> None:
    """Its source has a digest of its own in the name of every state."""
    folder.write("nets.py", "from reprtune.errors import ModelError\ndef make():\n    return ModelError\n")
    assert list(user_code.load("nets:make", ModelError).files) == ["nets"]


def test_an_installed_package_is_covered_when_the_factory_is_in_it(folder: Folder) -> None:
    """Its own modules, as far as they are imported; not those of other packages."""
    files = user_code.load("filelock._soft:SoftFileLock", ModelError).files
    assert "filelock._soft" in files and all(name.startswith("filelock") for name in files)


@pytest.mark.parametrize("kind", [ModelError, DataError])
@pytest.mark.parametrize(
    ("target", "message", "hint"),
    [
        ("absent:make", "there is no module 'absent' in ", "from the current folder"),
        ("lab.absent:make", r"there is no module 'lab\.absent' in ", "from the current folder"),
        ("lab.nets:absent", r"lab\.nets .* has no 'absent'", "It can call block, make."),
        ("lab.nets:NUMBER", r"lab\.nets .* cannot call its 'NUMBER'", "It can call block, make."),
        ("needs:make", "imports 'not_installed', which is not there", "from the current folder"),
        ("broken:make", "cannot be imported: SyntaxError", "import broken"),
        ("raises:make", "cannot be imported: ZeroDivisionError: division", "import raises"),
    ],
)
def test_failures_name_the_cause(
    project: Folder, kind: type[ReprtuneError], target: str, message: str, hint: str
) -> None:
    """As the kind of error that was asked for, with a way on."""
    project.write("needs.py", "import not_installed\n")
    project.write("broken.py", "def make(:\n")
    project.write("raises.py", "1 / 0\n")
    with pytest.raises(kind, match=f"python:{target}.*{message}") as error:
        user_code.load(target, kind)
    assert hint in str(error.value.hint)


def test_a_factory_that_fails_is_named_with_its_file(folder: Folder) -> None:
    """What it was called with, what it raised, where it is."""
    folder.write("nets.py", "def make(n):\n    raise ValueError(f'not {n}')\n")
    with pytest.raises(
        DataError, match=r"python:nets:make failed when called with \(7,\): ValueError: not 7"
    ) as error:
        user_code.load("nets:make", DataError).call(7)
    assert str(folder.path / "nets.py") in str(error.value.hint)
