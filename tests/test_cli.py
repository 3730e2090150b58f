"""The command line: every command explains itself, wrong input is a sentence, and nothing is half-written."""

from __future__ import annotations

import json
import shlex
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

import cli
from commands.listing import KINDS
from tests.command import TINY, Command
from tests.conftest import ROOT
from tests.stored import empty_storage, foreign_study, new_study
from tests.work.tiny_worker import create

SMOKE = ["study", "create", "repr-smoke"]


def commands(group: click.Group, *above: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)
        else:
            yield (*above, name), command


LEAVES = dict(commands(cli.cli))
EXAMPLES = [
    (words, line.split("python cli.py ", 1)[1])
    for words, command in LEAVES.items()
    for line in (command.epilog or "").splitlines()
    if "python cli.py " in line
]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# -- help ------------------------------------------------------------------------------------------


def test_these_are_the_commands() -> None:
    """A new one joins the tests below by itself."""
    assert {" ".join(words) for words in LEAVES} == {
        "list", "train", "study create", "study plan", "study branch", "study compare", "study run", "study launch", "study resume", "study status", "study list",
        "study show", "study confirm", "study extend", "study repair", "study report", "study sync", "study delete", "trial export", "trial run", "data prepare", "completion show", "completion install", "doctor",
        "ui", "reference", "worker", "db start", "db stop", "db status",
    }  # fmt: skip


@pytest.mark.parametrize("words", [(), ("study",), ("trial",), ("data",), ("db",), ("completion",), *LEAVES])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_explains_itself(command: Command, words: tuple[str, ...], flag: str) -> None:
    """What it does, every option with its words, and, for what can be run, an example."""
    said = command.quick(*words, flag).stdout
    assert said.startswith("Usage: ")
    if words in LEAVES:
        assert LEAVES[words].help and "Examples:\n    python cli.py" in said
        options = [p for p in LEAVES[words].params if isinstance(p, click.Option)]
        assert all(option.help for option in options)


@pytest.mark.parametrize(("words", "example"), EXAMPLES)
def test_every_example_can_be_typed(
    words: tuple[str, ...], example: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reaches the command it stands under, with all its options known."""
    reached: list[dict[str, object]] = []
    monkeypatch.setattr(LEAVES[words], "callback", lambda **options: reached.append(options))
    result = CliRunner().invoke(cli.cli, shlex.split(example))
    assert result.exit_code == 0, result.output
    assert len(reached) == 1 and tuple(example.split()[: len(words)]) == words


def documented() -> list[str]:
    """The commands in the code blocks of the README and of docs/, without what follows a `#`."""
    texts = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    lines = [line for text in texts for line in text.read_text().splitlines()]
    found = [line.removeprefix("exec ") for line in lines]
    return [line.split("cli.py ", 1)[1] for line in found if line.startswith("python cli.py ")]


@pytest.mark.parametrize("line", documented())
def test_every_documented_command_can_be_typed(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there, with all its options."""
    reached: list[dict[str, object]] = []
    for command in LEAVES.values():
        monkeypatch.setattr(command, "callback", lambda **options: reached.append(options))
    result = CliRunner().invoke(cli.cli, shlex.split(line, comments=True))
    assert result.exit_code == 0 and len(reached) == 1, result.output


def test_every_command_has_an_example() -> None:
    """At least one."""
    assert {words for words, _ in EXAMPLES} == LEAVES.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_lists_are_a_table_or_json(command: Command, kind: str) -> None:
    """The same names in both; stdout holds nothing else."""
    names = [row["name"] for row in json.loads(command.quick("list", kind, "--json").stdout)]
    table = command.quick("list", kind).stdout.splitlines()
    assert [row.split()[0] for row in table if not row.startswith(" ")] == [kind, *names]
    assert max(map(len, table)) < 80
    assert not command.runs.exists()


# -- completion ------------------------------------------------------------------------------------


def completions(*words: str) -> list[str]:
    *args, incomplete = words
    completer = ShellComplete(cli.cli, {}, "cli.py", "_COMPLETE")
    return [item.value for item in completer.get_completions(args, incomplete)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "--dataset", "fa"], ["fashion-mnist"]),
        (["train", "--model", "conv"], ["convnet-3"]),
        (["train", "--method", "re"], ["repr", "redo"]),
        (["study", "create", "repr-s"], ["repr-smoke"]),
        (["study", "create", "x", "--dataset", "fa"], ["fashion-mnist"]),
        (["list", "mo"], ["models"]),
        (["list", "en"], ["endings"]),
        (["stu"], ["study"]),
    ],
)
def test_names_are_completed(words: list[str], expected: list[str]) -> None:
    """From the catalog and the studies in studies/."""
    assert completions(*words) == expected


def test_stored_studies_are_completed_and_nothing_is_made(tmp_path: Path) -> None:
    """From the storage that the line names; none where it cannot be read."""
    new_study(tmp_path / "runs" / "reprtune.db")[0].engine.dispose()
    assert completions("study", "run", "--runs", str(tmp_path / "runs"), "t") == ["tiny"]
    assert completions("study", "run", "--runs", str(tmp_path / "runs"), "x") == []
    assert completions("study", "status", "--runs", str(tmp_path / "no"), "") == []
    assert completions("study", "status", "--storage", "garbage", "") == []
    assert not (tmp_path / "no").exists()


# -- wrong input -----------------------------------------------------------------------------------

WRONG = [
    # words, exit code, what the message says
    (["study", "create", "repr-smok"], 2, ["no study 'repr-smok'", "Did you mean repr-smoke?", ".py file"]),
    (["study", "create", "no-such-file.py"], 2, ["there is no file ", "no-such-file.py", "by its path"]),
    (["study", "create", "python:no_such:STUDY"], 2, ["there is no module 'no_such'", "current folder"]),
    (["study", "create", "python:no-such:STUDY"], 2, ["must name a module or a file", "python:FILE.py:NAME"]),
    ([*SMOKE, "--dataset", "digit"], 2, ["no dataset 'digit'", "Did you mean digits?"]),
    ([*SMOKE, "--model", "renset-20"], 2, ["no model 'renset-20'", "Did you mean resnet-20?"]),
    ([*SMOKE, "--model", "resnet-21"], None, ["resnet-21", "resnet-20"]),
    ([*SMOKE, "--set", "method.criterion=otrho"], 2, ["no criterion 'otrho'", "Did you mean ortho?"]),
    ([*SMOKE, "--set", "base.method=rper"], 2, ["no method 'rper'", "Did you mean repr?"]),
    ([*SMOKE, "--set", "slotss=3"], 2, ["no field slotss", "Did you mean slots?"]),
    ([*SMOKE, "--set", "slots"], 2, ["path.to.field=value", "'slots'"]),
    ([*SMOKE, "--set", "slots=many"], 2, ["slots must be a whole number", "'many'"]),
    ([*SMOKE, "--set", "slots=2.5"], 2, ["slots must be a whole number", "2.5"]),
    ([*SMOKE, "--set", "slots=0"], 2, ["slots must be at least 1, but got 0"]),
    ([*SMOKE, "--set", "training.lr=fast"], 2, ["training.lr must be a number", "'fast'"]),
    ([*SMOKE, "--set", "model.batch_norm=1"], 2, ["model.batch_norm must be true or false", "1"]),
    ([*SMOKE, "--set", "training.lr=-1"], 2, ["training.lr must be above 0", "-1"]),
    ([*SMOKE, "--set", "stop.rule=medain"], 2, ["stop rule", "median", "medain"]),
    ([*SMOKE, "--set", 'objectives=["seconds"]'], 2, ["objective", "val_error", "seconds"]),
    ([*SMOKE, "--set", "space.method.s1.high=0ep"], 2, ["low", "high", "0"]),
    ([*SMOKE, "--total", "long"], 2, ["total", '"20ep"', "'long'"]),
    ([*SMOKE, "--total", "0ep"], 2, ["total must be above 0", "0ep"]),
    ([*SMOKE, "--name", "two words"], 2, ["letters, digits", "'two words'"]),
    ([*SMOKE, "--set", "space.method.s1.high=60ep"], 2, ["of the draws fit", "6ep", "20%", "space.method.s1"]),
    ([*SMOKE, "--set", "method.s1=5ep"], 2, ["arm random-drop", "6ep", "too long", "training.total"]),
    ([*SMOKE, "--set", "training.batch_size=4096"], None, ["4096", "512"]),
    ([*SMOKE, "--dataset", "npz:/nowhere/x.npz"], 1, ["/nowhere/x.npz"]),
    ([*SMOKE, "--dataset", "cifar10"], None, ["cifar10", "data"]),
    ([*SMOKE, "--device", "gpu"], 2, ["device must be auto, cpu, cuda or cuda:N", "'gpu'"]),
    ([*SMOKE, "--storage", "garbage"], 1, ["'garbage'", "postgresql+psycopg://"]),
    ([*SMOKE, "--storage", "sqlite://"], 1, ["memory of one process", "Name a file"]),
    ([*SMOKE, "--storage", "mysql://me:secret@x/y"], 1, ["driver", "mysql://me:***@x/y", "pip install"]),
    ([*SMOKE, "--storage", "postgresql+psycopg://me:secret@127.0.0.1:1/x"], 1, ["refused", "--storage"]),
    ([*SMOKE, "--runs", "/proc/version/x"], 1, ["/proc/version", "write"]),
    (["study", "run", "nothing"], 1, ["no study 'nothing'", "Create the study first"]),
    (["study", "run", "nothing", "--workers", "0"], 2, ["--workers", "0"]),
    (["study", "run", "nothing", "--trials", "0"], 2, ["--trials", "0"]),
    (["study", "status", "nothing"], 1, ["no study 'nothing'", "reprtune.db"]),
    (["study", "show", "nothing"], 1, ["no study 'nothing'"]),
    (["study", "report", "nothing"], 1, ["no study 'nothing'"]),
    (["study", "sync", "nothing"], 1, ["no study 'nothing'"]),
    (["study", "delete", "nothing", "--yes"], 1, ["no study 'nothing'"]),
    (["train", "--method", "rpr"], 2, ["no method 'rpr'", "Did you mean repr?"]),
    (["train", "--precision", "fp8"], 2, ["training.precision", "fp32", "'fp8'"]),
    (["train", "--seed", "-1"], 2, ["seed must be at least 0", "-1"]),
    (["train", "--total", "3ep", "--set", "method.s1=3ep"], 2, ["too long", "training.total"]),
    (["train", "--states", "/proc/version/x", "--total", "1ep", "--method", "standard"], 1, ["/proc/version/x"]),
    (["list", "modles"], 2, ["modles", "models"]),
    (["study", "crate"], 2, ["crate"]),
    (["trial", "export", "nothing", "0"], 1, ["no study 'nothing'"]),
    (["data", "prepare", "cifar"], 2, ["no dataset 'cifar'", "Did you mean cifar10"]),
    (["data", "prepare", "npz:/nowhere/x.npz"], 1, ["/nowhere/x.npz"]),
    (["data", "prepare", "mnist"], 1, ["mnist", "--data-dir"]),
    (["data", "prepare", "imagefolder:x", "--image-size", "1"], 2, ["--image-size", "1"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "said"), WRONG, ids=lambda x: " ".join(x) if isinstance(x, list) else None
)
def test_wrong_input_is_named_with_its_fix_and_nothing_is_written(
    command: Command, words: list[str], code: int | None, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On stderr, exit code 2 for a broken rule and 1 for what is not there; stdout and the folder stay empty."""
    monkeypatch.setattr("socket.getaddrinfo", no_network)
    runner = CliRunner(
        env={"REPRTUNE_RUNS": str(command.runs), "REPRTUNE_DATA": str(command.runs.parent / "data")}
    )
    result = runner.invoke(cli.cli, words)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in ((1, 2) if code is None else (code,)), result.output
    assert result.stdout == "" and all(part in result.stderr for part in said), result.stderr
    assert "secret" not in result.stderr
    assert not command.runs.exists() or files(command.runs) == {}


def no_network(*_: object) -> None:
    raise socket.gaierror("no network in tests")


USERS = {
    "without": ("x = 1\n", "holds no STUDY of the type StudySpec"),
    "other": ("STUDY = 3\n", "holds no STUDY of the type StudySpec"),
    "syntax": ("x = \n", "SyntaxError"),
    "raises": ("raise RuntimeError('my own')\n", "RuntimeError: my own"),
    "import": ("import no_such_module\n", "imports 'no_such_module', which is not there"),
    "exits": ("import sys\nsys.exit(3)\n", "SystemExit"),
    "rule": (
        "from reprtune.spec.study import *\nSTUDY = StudySpec(name='a', question='', decision='', cost='', sections=())\n",
        "sections must hold arms or a search, but has neither",
    ),
    "binary": ("\0", "cannot be imported"),
}


@pytest.mark.parametrize("kind", USERS)
def test_a_users_file_that_is_no_study_is_named(command: Command, tmp_path: Path, kind: str) -> None:
    """With what is wrong in it; exit code 2."""
    text, said = USERS[kind]
    path = tmp_path / "mine.py"
    path.write_text(text)
    assert said in command.quick("study", "create", str(path), code=2).stderr
    assert not command.runs.exists()


@pytest.mark.parametrize("seconds", ["0", "x", "40"])
def test_a_wrong_lease_in_the_environment_is_named(command: Command, seconds: str) -> None:
    """Before anything is opened."""
    command.environment = {"REPRTUNE_HEARTBEAT_SECONDS": seconds}
    new_study(command.runs / "reprtune.db")[0].engine.dispose()
    assert "REPRTUNE_HEARTBEAT_SECONDS" in command.quick("study", "status", "tiny", code=2).stderr


# -- what is there already -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["create", TINY], ["run", "tiny"], ["status", "tiny"], ["show", "tiny"], ["report", "tiny"],
        ["delete", "tiny", "--yes"], ["sync", "tiny"],
    ],
)  # fmt: skip
def test_studies_of_others_are_named_and_left_alone(command: Command, words: list[str]) -> None:
    """A database that belongs to another program of Optuna, with a study of that very name."""
    storage = empty_storage(command.runs / "reprtune.db")
    foreign_study(storage, "tiny")
    storage.engine.dispose()
    before = dump(command.runs / "reprtune.db")
    assert "'tiny' in this storage was not made by reprtune" in command.quick("study", *words, code=1).stderr
    assert dump(command.runs / "reprtune.db") == before
    assert command.quick("study", "list").stdout == "There are no studies yet.\n"


def dump(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        lines = list(connection.iterdump())
    connection.close()
    return lines


@pytest.mark.parametrize("words", [["create", TINY], ["run", "tiny"], ["status", "tiny"], ["list"]])
def test_a_file_that_is_no_database_is_named_and_left_alone(command: Command, words: list[str]) -> None:
    """Exit code 1, not one byte changed."""
    command.runs.mkdir()
    (command.runs / "reprtune.db").write_bytes(b"my thesis, only copy" * 500)
    before = files(command.runs)
    assert "Cannot open the storage" in command.quick("study", *words, code=1).stderr
    assert files(command.runs) == before


def test_another_study_of_the_name_is_refused_field_by_field(command: Command) -> None:
    """And the one that is there stays as it is, waiting slots and all."""
    create(command.runs)
    before = dump(command.runs / "reprtune.db")
    said = command.quick(
        "study", "create", TINY, "--set", "training.lr=0.05", "--set", "slots=9", "--set", "space.method.s1.high=2ep",
        code=1,
    ).stderr  # fmt: skip
    for line in (
        "base.training.lr: 0.1 there, 0.05 here", "search.slots: 4 there, 9 here",
        "search.space.method.s1.high: '3ep' there, '2ep' here", "--name", "study delete tiny",
    ):  # fmt: skip
        assert line in said
    assert "decision" not in said and dump(command.runs / "reprtune.db") == before
    assert "Already there, unchanged: tiny" in command.quick("study", "create", TINY).stdout


def test_a_name_that_is_another_studys_controls_is_refused(command: Command) -> None:
    """In both orders: `tiny.controls` beside `tiny`, and `tiny` beside a study `tiny.controls`."""
    create(command.runs)
    said = command.quick("study", "create", TINY, "--name", "tiny.controls", code=1).stderr
    assert "'tiny.controls' is that of a section of the study 'tiny'" in said
    other = Command(command.runs.parent / "other")
    new_study(other.runs / "reprtune.db", name="tiny.controls")[0].engine.dispose()
    said = other.quick("study", "create", TINY, code=1).stderr
    assert "'tiny' cannot stand beside the study 'tiny.controls'" in said


def test_a_tracking_server_that_is_down_leaves_nothing(command: Command) -> None:
    """Refused within half a minute; no study in Optuna; with the server left out it works."""
    began = time.monotonic()
    said = command.quick("study", "create", TINY, "--tracking-uri", "http://127.0.0.1:1", code=1).stderr
    assert time.monotonic() - began < 30
    assert "http://127.0.0.1:1 cannot be used" in said and "--tracking-uri" in said
    assert not command.runs.exists() or files(command.runs) == {}


def test_data_that_changed_since_create_are_refused(command: Command, tmp_path: Path) -> None:
    """By every worker, before a slot is taken."""
    path = tmp_path / "mine.npz"

    def write(seed: int) -> None:
        images = np.random.default_rng(seed).integers(0, 256, (260, 8, 8), dtype=np.uint8)
        labels = np.arange(260, dtype=np.uint8) % 2
        np.savez(path, x_train=images, y_train=labels, x_test=images[:20], y_test=labels[:20])

    write(0)
    command.quick("study", "create", TINY, "--dataset", f"npz:{path}", "--name", "tiny")
    write(1)
    said = command("study", "run", "tiny", code=1).stderr
    assert "not those the study 'tiny' was created with" in said and "--data-dir" in said
    trials = [*command.trials("tiny"), *command.trials("tiny.controls")]
    assert {t.state.name for t in trials} == {"WAITING"}


# -- reading an empty or a failed study ------------------------------------------------------------


def test_a_study_that_was_never_run_can_be_read_and_reported(command: Command) -> None:
    """Nothing is finished, and that is what is said."""
    create(command.runs)
    assert "0 of 4 slots of the search and 0 of 4 controls" in command.quick("study", "status", "tiny").stdout
    numbers = json.loads(command.quick("study", "status", "tiny", "--json").stdout)
    assert numbers["search"] == {"waiting": 4} and numbers["pending"] == 8
    page = Path(command.quick("study", "report", "tiny").stdout.strip()).read_text()
    assert "tiny" in page and "waiting" in page
    assert command.quick("study", "show", "tiny").stdout.count("base.method.s1 ") == 1


def test_a_report_that_cannot_be_written_is_named(command: Command, tmp_path: Path) -> None:
    """A place below a regular file."""
    create(command.runs)
    (tmp_path / "file").touch()
    said = command.quick("study", "report", "tiny", "--output", str(tmp_path / "file" / "x"), code=1).stderr
    assert f"cannot be written to {tmp_path}/file/x" in said


def test_train_prints_its_result_as_data(command: Command) -> None:
    """JSON alone on stdout, progress on stderr; the same command again finds it done."""
    words = shlex.split("train --total 4ep --set task.train_images=128 --set method.cycles=1 --json")
    first, second = (command.quick(*words) for _ in range(2))
    result = json.loads(first.stdout)
    assert result["outcome"] == "complete" and result["steps"] == 8 and "step 8/8" in first.stderr
    assert json.loads(second.stdout)["val_error"] == result["val_error"]
    assert "continued from 8/8" in second.stderr
