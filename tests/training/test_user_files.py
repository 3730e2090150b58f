"""Code of a person's own in a file that is named by its path: found, kept apart, digested, called."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch

from reprtune.errors import DataError, ModelError, PartError, ReprtuneError, SpecError
from reprtune.training.platform import user_code
from tests.training.own_code import Folder, folder
from tests.training.tiny import spec

__all__ = ["folder"]

PART = "import beside\ndef score(*given, power=1):\n    import late\n    return beside.value, late.value, given, power\n"


def write(folder: Folder, below: str = "lab", value: int = 1, name: str = "my_part.py") -> str:
    """A part with a module beside it and one that is imported when it is called."""
    folder.write(f"{below}/{name}", PART)
    folder.write(f"{below}/beside.py", f"value = {value}\n")
    folder.write(f"{below}/late.py", f"value = {value + 1}\n")
    return f"{below}/{name}:score"


def call(target: str, *arguments: object) -> object:
    return user_code.load(target, PartError).call(*arguments)


@pytest.mark.parametrize("name", ["my_part.py", "my-part.py", "2nd part.py", "größe.py", "a.b.py", "a:b.py"])
def test_a_file_is_found_by_its_path_whatever_it_is_called(folder: Folder, name: str) -> None:
    """From the current folder or absolute; modules beside it are found when it is imported and when it is
    called, from another folder too; the path of modules is as before."""
    target = write(folder, name=name)
    before = list(sys.path)
    assert call(target, 7) == (1, 2, (7,), 1)
    assert call(f"{folder.path}/{target}", 8) == (1, 2, (8,), 1)
    assert call(f"../own/./lab/{name}:score") == (1, 2, (), 1)
    code = user_code.load(target, PartError)
    os.chdir("/")
    assert code.call(9) == (1, 2, (9,), 1)
    assert sys.path == before


def test_two_files_of_one_name_do_not_meet(folder: Folder) -> None:
    """Each is its own module; a class in it is found by its module, as dataclasses and inspect do."""
    text = "from __future__ import annotations\nimport dataclasses, typing\n"
    text += (
        "@dataclasses.dataclass\nclass Made:\n    size: typing.ClassVar[int] = {0}\n    other: int = {0}\n"
    )
    for i in (1, 2):
        folder.write(f"a{i}/net.py", text.format(i))
    one, two = (user_code.load(f"a{i}/net.py:Made", ModelError) for i in (1, 2))
    assert (one.call().other, two.call().other) == (1, 2)
    assert one.digest != two.digest and one.factory.__module__ != two.factory.__module__
    for code in (one, two):
        assert [f.name for f in dataclasses.fields(code.factory)] == ["other"]
        assert sys.modules[code.factory.__module__].Made is code.factory


def test_two_modules_of_one_name_beside_two_files_are_refused(folder: Folder) -> None:
    """A process has one module of each name, so that the second file would get the first one's; whether it is
    imported with the file or when it is called."""
    one, two = write(folder, "a", 1), write(folder, "b", 5)
    assert call(one) == (1, 2, (), 1)
    with pytest.raises(
        PartError, match=r"python:b/my_part\.py:score imports beside from .*/b/beside\.py, but"
    ) as error:
        user_code.load(two, PartError)
    assert f"from {folder.path}/a/beside.py" in error.value.message and "Rename one" in str(error.value.hint)
    for name in "ab":
        folder.write(f"{name}/lazy.py", "def score():\n    import late\n    return late.value\n")
    with pytest.raises(PartError, match="another late has been imported already"):
        user_code.load("b/lazy.py:score", PartError)
    folder.forget()
    codes = [user_code.load(f"{name}/lazy.py:score", PartError) for name in "ba"]
    assert codes[0].call() == 6
    with pytest.raises(ReprtuneError, match="another late has been imported already"):
        codes[1].call()


def test_names_in_one_file_are_of_one_module(folder: Folder) -> None:
    """However its path is written: it runs once, and what changes later changes neither it nor its digest."""
    folder.write("net.py", "made = []\ndef add(): made.append(1)\ndef count(): return len(made)\n")
    add = user_code.load("net.py:add", ModelError)
    add.call()
    folder.write("net.py", "def count(): return 'new'\n")
    count = user_code.load("../own/net.py:count", ModelError)
    assert count.call() == 1 and count.digest == add.digest


# -- digest ---------------------------------------------------------------------------------------


def test_the_digest_of_a_file_covers_what_it_imports(folder: Folder) -> None:
    """Beside it too and inside functions; not what lies there unused, nor installed packages; no comment."""
    target = write(folder)
    folder.write("lab/unused.py", "")
    code = user_code.load(target, PartError)
    assert list(code.files) == ["beside", "late", "my_part.py"]
    assert {path.parent for path in code.files.values()} == {folder.path / "lab"}
    for file, text, changes in (
        ("lab/unused.py", "x = 1\n", False),
        ("lab/beside.py", "value = 1  # one\n", False),
        ("lab/my_part.py", f"'''My part.'''\n\n{PART}", False),
        ("lab/beside.py", "value = 2\n", True),
        ("lab/late.py", "value = 3\n", True),
        ("lab/my_part.py", PART.replace("power=1", "power=2"), True),
    ):
        before = (folder.path / file).read_text()
        folder.write(file, text)
        assert (folder.digest(target) != code.digest) == changes, file
        folder.write(file, before)


def test_the_digest_does_not_depend_on_where_the_file_lies(folder: Folder, tmp_path: Path) -> None:
    """Only on how the files are called, and what they say; nor on what was imported before."""
    target = write(folder)
    before = folder.digest(target)
    shutil.copytree("lab", "copy/deep")
    assert folder.digest("copy/deep/my_part.py:score") == before
    call("copy/deep/my_part.py:score")
    user_code._loaded.cache_clear()
    with pytest.raises(PartError, match="another"):  # before it has a digest of the other's
        user_code.load(target, PartError)
    Path("copy/deep/my_part.py").rename("copy/deep/other.py")
    assert folder.digest("copy/deep/other.py:score") != before


def test_a_file_of_a_package_may_import_the_package(folder: Folder) -> None:
    """Where the package itself is found; a file that is named twice is covered once."""
    folder.write("beside.py", "from net import VALUE\n")
    folder.write("net.py", "VALUE = 3\ndef make():\n    import beside\n    return beside.VALUE\n")
    code = user_code.load("net.py:make", ModelError)
    assert code.call() == 3 and list(code.files) == ["beside", "net", "net.py"]


# -- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "message", "hint"),
    [
        ("lab/absent.py:f", "there is no file .*/own/lab/absent.py", "from the current folder or absolute"),
        ("lab.py:f", "there is no file .*/own/lab.py", "from the current folder or absolute"),
        ("part.py:absent", "the file .*/own/part.py has no 'absent'", "It can call g, score."),
        ("part.py:NUMBER", "the file .*/own/part.py cannot call its 'NUMBER'", "It can call g, score."),
        ("needs.py:f", "imports 'not_installed', which is not there", "found beside the file"),
        ("broken.py:f", "cannot be imported: SyntaxError", "broken.py shows where"),
        ("raises.py:f", "cannot be imported: ZeroDivisionError: division", "raises.py shows where"),
        ("exits.py:f", "cannot be imported: SystemExit: 3", "exits.py shows where"),
        (
            "relative.py:f",
            "cannot be imported: ImportError: attempted relative",
            "python:PACKAGE.MODULE:NAME",
        ),
        ("part.py:", "must name a module or a file", "python:FILE.py:NAME"),
        ("part.py", "must name a module or a file", "python:FILE.py:NAME"),
        ("part.py:a.b", "must name a module or a file", "python:FILE.py:NAME"),
        ("my-module:f", "must name a module or a file", "python:FILE.py:NAME"),
        ("", "must name a module or a file", "python:FILE.py:NAME"),
    ],
)
@pytest.mark.parametrize("kind", [ModelError, PartError])
def test_failures_name_the_file_and_the_way_on(
    folder: Folder, kind: type[ReprtuneError], target: str, message: str, hint: str
) -> None:
    """As the kind of error that was asked for; a failed import leaves no module behind."""
    folder.write("part.py", "def score(): pass\ndef g(): pass\nNUMBER = 3\n")
    folder.write("needs.py", "import not_installed\n")
    folder.write("broken.py", "def make(:\n")
    folder.write("raises.py", "1 / 0\n")
    folder.write("exits.py", "import sys\nsys.exit(3)\n")
    folder.write("relative.py", "from . import part\n")
    folder.write("lab/part.py", "")
    modules = set(sys.modules)
    with pytest.raises(kind, match=f"^python:{target}.*{message}") as error:
        user_code.load(target, kind)
    assert type(error.value) is kind and hint in str(error.value.hint)
    assert not [
        name for name in sys.modules.keys() - modules if name.startswith("own_") and "part" not in name
    ]


def test_a_part_that_fails_is_named_with_its_options_and_line(folder: Folder) -> None:
    """What it was called with may be large and is not shown; the line is the last of the person's own."""
    folder.write("part.py", "import beside\ndef score(x, *, power):\n    return beside.divide(x, power)\n")
    folder.write("beside.py", "import operator\n\ndef divide(x, y):\n    return operator.truediv(x, y)\n")
    code = user_code.load("part.py:score", PartError)
    with pytest.raises(PartError) as error:
        code.call_with({"power": 0}, 12345)
    assert error.value.message == (
        "python:part.py:score failed with power=0: ZeroDivisionError: division by zero"
    )
    assert error.value.hint == f"It is in {folder.path}/beside.py, line 4."
    assert isinstance(error.value.__cause__, ZeroDivisionError)
    with pytest.raises(PartError, match=r"^python:part\.py:score failed: TypeError: "):
        code.call_with({}, 1)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (SpecError("a rule", "a hint"), SpecError),
        (torch.OutOfMemoryError("CUDA out of memory"), torch.OutOfMemoryError),
        (MemoryError(), MemoryError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_what_has_an_outcome_of_its_own_goes_through(
    folder: Folder, raised: BaseException, kind: type[BaseException]
) -> None:
    """Errors of ours, memory that ran out, Ctrl-C."""
    folder.write("part.py", "def score(error):\n    raise error\n")
    with pytest.raises(kind) as error:
        user_code.load("part.py:score", PartError).call_with({}, raised)
    assert error.value is raised


# -- what a trial uses ----------------------------------------------------------------------------


def test_digests_cover_networks_data_sets_and_parts(folder: Folder) -> None:
    """By the name the specification gives each; one that is not there is an error of its kind."""
    for name in ("net", "data", "crit", "rest"):
        folder.write(f"{name}.py", f"def f(): return {name!r}\n")
    trial = spec(
        model={"name": "python:net.py:f"}, task={"dataset": "python:data:f"},
        method__criterion={"kind": "python:crit.py:f", "power": 2}, method__restore="python:rest.py:f",
    )  # fmt: skip
    assert user_code.digests(trial) == {
        name: user_code.load(name.removeprefix("python:"), ReprtuneError).digest
        for name in ("python:crit.py:f", "python:data:f", "python:net.py:f", "python:rest.py:f")
    }
    for file, kind in (("net", ModelError), ("data", DataError), ("crit", PartError), ("rest", PartError)):
        folder.forget()
        Path(f"{file}.py").rename("away.py")
        with pytest.raises(kind, match=f"{file}"):
            user_code.digests(trial)
        Path("away.py").rename(f"{file}.py")
