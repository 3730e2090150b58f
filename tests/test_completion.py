"""Tab in the user's shell: names are completed, and nothing else of the shell is disturbed."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from commands import completion
from commands.completion import BEGIN, END, SHELLS, arguments, script
from reprtune.errors import SpecError
from reprtune.spec import catalog, paths
from reprtune.spec.edit import changed, parse_assignment
from reprtune.spec.parts.places import NAMES
from reprtune.spec.scale import full_study_path
from reprtune.spec.trial import TrialSpec
from studies.repr_ablation import STUDY
from tests.command import Command
from tests.conftest import ROOT
from tests.stored import new_study

START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}


def complete(shell: str, line: str, **environment: str) -> list[str]:
    """What cli.py answers to the shell's own function for a line that ends at the cursor."""
    found = subprocess.run(
        [sys.executable, "cli.py"],
        cwd=ROOT,
        env={**os.environ, "_CLI_PY_COMPLETE": f"{shell}_complete", "REPRTUNE_LINE": line, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stderr == ""
    return found.stdout.split()


def typed(shell: str, folder: Path, keys: str, expected: str, seconds: float = 60) -> str:
    """Type into a real interactive shell that has read our script; what its terminal shows in the end."""
    (folder / "script").write_text(script(shell))
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        home = {"HOME": str(folder), "PS1": "> ", "TERM": "vt100", "PATH": os.environ["PATH"]}
        os.execvpe(START[shell][0], START[shell], home)
    shown = ""

    def read(until: str, end: float) -> None:
        nonlocal shown
        while until not in plain(shown) and time.monotonic() < end:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    shown += os.read(terminal, 4096).decode(errors="replace")
                except OSError:
                    return

    try:
        ready = "echo READ''Y" if shell != "fish" else 'echo READ""Y'
        os.write(terminal, f"stty cols 200; source {folder}/script; {ready}\n".encode())
        read("READY", time.monotonic() + seconds)
        shown = ""
        os.write(terminal, keys.encode())
        read(expected, time.monotonic() + seconds)
        return plain(shown)
    finally:
        os.kill(pid, 9)
        os.close(terminal)
        os.waitpid(pid, 0)


def plain(text: str) -> str:
    """Without the terminal's control sequences."""
    text = re.sub(r"\x1b(\[[0-9;?=>]*[A-Za-z]|[=>()][0B]?|\][^\x07\x1b]*(\x07|\x1b\\))", "", text)
    return re.sub(r".\x08|[\r\x07]", "", text)


@pytest.mark.parametrize("shell", list(SHELLS))
@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("list crit\t", "list criteria"),
        ("train --set method.criterion=orac\t", "train --set method.criterion=oracle"),
        ("train --set method.scop\t", "train --set method.scope="),
    ],
)
def test_a_real_shell_completes(shell: str, tmp_path: Path, keys: str, expected: str) -> None:
    """`python cli.py ...` typed into an interactive shell, with `=` inside words too."""
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    start = f"{sys.executable} cli.py "
    assert start + expected in typed(shell, tmp_path, start + keys, start + expected)


def test_another_program_of_that_name_is_never_started(tmp_path: Path) -> None:
    """A cli.py that is not ours: its files are completed as ever, and it does not run."""
    other = tmp_path / "cli.py"
    other.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "somefile.txt").touch()
    line = f"cd {tmp_path}\n{sys.executable} cli.py some\t"
    assert "cli.py somefile.txt" in typed("bash", tmp_path, line, "cli.py somefile.txt")
    assert not (tmp_path / "ran").exists()


def console(path: Path, line: str) -> Path:
    """A program that runs a line of Python, as pip installs one."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{line}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("shell", list(SHELLS))
def test_the_installed_program_is_completed(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its path or by its name; another program of that name is never started."""
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    run = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from reprtune.console import main; main()"
    ours = console(tmp_path / "bin" / "reprtune", run)
    other = console(tmp_path / "other" / "reprtune", f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.setattr(completion, "CONSOLE", ours)
    monkeypatch.setenv("PATH", f"{ours.parent}{os.pathsep}{os.environ['PATH']}")
    for start in ("bin/reprtune", "reprtune"):
        keys, expected = f"cd {tmp_path}\n{start} list crit\t", f"{start} list criteria"
        assert expected in typed(shell, tmp_path, keys, expected)
    line = f"cd {other.parent.parent}\nother/reprtune some\t"
    (tmp_path / "somefile.txt").touch()
    assert "reprtune somefile.txt" in typed(shell, tmp_path, line, "reprtune somefile.txt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("python cli.py ", ([], "")),
        ("python cli.py stu", ([], "stu")),
        ("./cli.py study run ", (["study", "run"], "")),
        ("/a/python3 '/b c/cli.py' train --set 'method.x", (["train", "--set"], "method.x")),
        ("python cli.py train --set a=b", (["train", "--set"], "a=b")),
        ("reprtune study ru", (["study"], "ru")),
        ("/a/bin/reprtune study create my/cli.py --na", (["study", "create", "my/cli.py"], "--na")),
    ],
)
def test_the_line_is_cut_into_words(line: str, expected: tuple[list[str], str]) -> None:
    """After cli.py or reprtune; quotes may still be open."""
    assert arguments(line) == expected


def test_names_of_stored_studies_and_slots_are_completed(tmp_path: Path) -> None:
    """Through the shell's protocol, from the folder in the environment."""
    new_study(tmp_path / "reprtune.db")[0].engine.dispose()
    where = {"REPRTUNE_RUNS": str(tmp_path)}
    assert complete("bash", "python cli.py study status ", **where) == ["tiny"]
    assert complete("zsh", "python cli.py study status x", **where) == []
    assert complete("fish", "python cli.py \0"[:-1], **where) != []


@pytest.mark.parametrize(
    ("incomplete", "expected"),
    [
        ("method.restore=", ["method.restore=orthogonal", "method.restore=as-released", "method.restore=random",
                             "method.restore=zero", "method.restore=old", "method.restore=crossover",
                             "method.restore=untied"]),
        ("model.batch", ["model.batch_norm="]),
        ("model.batch_norm=", ["model.batch_norm=true", "model.batch_norm=false"]),
        ("training.lr=", []),
        ("nothing.here=", []),
    ],
)  # fmt: skip
def test_settings_are_completed(incomplete: str, expected: list[str]) -> None:
    """Paths up to their `=`, then the words that may stand there; numbers are left to the person."""
    assert complete("zsh", f"python cli.py train --set {incomplete}") == expected


def test_bash_gets_what_follows_its_own_word_breaks() -> None:
    """`=` and `:` begin a new word there, unless the user has changed that."""
    line = "python cli.py train --set method.scope=g"
    assert complete("bash", line, REPRTUNE_BREAKS=' "=:') == ["global"]
    assert complete("bash", line, REPRTUNE_BREAKS=" ") == ["method.scope=global"]


def test_paths_of_a_study_know_its_space() -> None:
    """Ranges of the search and the study's own fields; the base's without `base.`."""
    found = complete("zsh", "python cli.py study create repr-ablation --set s")
    assert {"slots=", "seed=", "sampler=", "stop=", "stop.percentile=", "space.method.s1.high="} <= set(found)
    assert complete("zsh", "python cli.py study create repr-ablation --set stop=m") == ["stop=median"]
    assert "training.lr" in paths.of_study(STUDY)


def test_names_of_a_list_are_completed_after_each_comma() -> None:
    """None twice; what is typed so is read as a list."""
    start = "python cli.py study create repr-smoke --set "
    assert complete("zsh", f"{start}objectives=v") == ["objectives=val_error"]
    found = complete("zsh", f"{start}objectives=val_error,")
    assert "objectives=val_error,params" in found and "objectives=val_error,val_error" not in found
    assert parse_assignment("objectives=val_error,params") == ("objectives", ["val_error", "params"])
    assert parse_assignment('objectives=["params"]') == ("objectives", ["params"])


def having(path: str) -> TrialSpec:
    """The default trial, of the first method that has what the path names."""
    word = path.removeprefix("method.")
    methods = [TrialSpec().method, *(catalog.resolve("methods", name) for name in catalog.names("methods"))]
    found = (method for method in methods if word in NAMES or method.option(word) is not None)
    return replace(TrialSpec(), method=next(found, TrialSpec().method))


@pytest.mark.parametrize("path", [p for p in paths.of_study(STUDY) if paths.words(p)])
def test_every_word_offered_is_a_word_of_its_field(path: str) -> None:
    """None is called unknown, and a made-up one is: the words are those that the specification checks."""
    spec, at = (having(path), path) if path in paths.of_trial() else (STUDY, full_study_path(STUDY, path))

    def is_unknown(word: str) -> bool:
        try:
            changed(spec, dict([parse_assignment(f"{at}={word}")]))
        except SpecError as error:  # or the word is right, but needs another field beside it
            return error.message.startswith("There is no") or "must be true or false" in error.message
        return False

    assert is_unknown("no-such-word") and not any(map(is_unknown, paths.words(path)))


@pytest.mark.parametrize("shell", list(SHELLS))
def test_install_changes_nothing_but_its_own_block(command: Command, tmp_path: Path, shell: str) -> None:
    """At the end of the file, once, however often it is repeated; the file's rights stay."""
    start = tmp_path / "start"
    start.write_text("mine\n")
    start.chmod(0o600)
    for _ in range(2):
        assert str(start) in command.quick("completion", "install", shell, "--to", str(start)).stdout
    text = start.read_text()
    assert text == f"mine\n{BEGIN}\n{command.quick('completion', 'show', shell).stdout}{END}\n"
    assert start.stat().st_mode & 0o777 == 0o600 and list(tmp_path.iterdir()) == [start]


@pytest.mark.parametrize("content", [f"mine\n{BEGIN}\nprecious\n", b"\xff\xfe".decode("latin-1")])
def test_a_start_file_that_is_not_understood_is_left_alone(
    command: Command, tmp_path: Path, content: str
) -> None:
    """Marks that do not match, or bytes that are no text: named, and not one byte changed."""
    start = tmp_path / "start"
    start.write_text(content, encoding="latin-1")
    before = start.read_bytes()
    said = command.quick("completion", "install", "bash", "--to", str(start), code=1).stderr
    assert str(start) in said and "completion show" in said and start.read_bytes() == before
