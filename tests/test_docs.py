"""What the README and docs/ say to type is typed here, in their order; references are new; links lead somewhere."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.datasets import load_digits

import cli
import reprtune
from commands.reference import reference
from reprtune.spec.stop_rules import StopRule
from tests.command import Command
from tests.conftest import ROOT
from tests.documented import BLOCK, Line, blocks, lines, pages

# A page is a story: its commands run one after another in one folder. What would take minutes, a download or
# other machines is made small as said here, and nothing else is changed.
REPLACED = {
    "cifar10": "digits", "cifar100": "digits", "fashion-mnist": "digits",
    "resnet-20": "convnet-2", "160ep": "50ep", "40ep": "10ep",
}  # fmt: skip
LESS = {"--seeds": "2", "--top": "1", "--notify": "true"}  # what follows these options
SMALL = {
    "train": ("task.train_images=128", "model.width=8"),
    "study create": ("slots=3", "controls.seeds=[0,1]", "task.train_images=128", "model.width=8"),
}
WITHOUT_WIDTH = "python:"  # networks of one's own
LONG = (
    "tutorial.md",
    "studies.md",
    "mlflow.md",
    "README.md",
    "parts.md",
    "networks.md",
)  # by `make check-slow`; test_cli.py parses their commands always
COMPARISONS = (
    "repr-criteria",
    "repr-regimes",
    "repr-vs-released",
    "family",
    "paper-c3",
    "paper-resnet20",
    "repr-components",
    "my_method.py",
)  # have no search
NOTEBOOK = ROOT / "docs" / "notebook.md"  # its blocks are one program
SEEN_ELSEWHERE = {  # only read here
    "ui": "stays until it is stopped; test_ui.py starts and stops it",
    "data prepare": "downloads; test_data_command.py runs it",
    "--watch": "stays until the study is finished; dashboards/test_watch.py watches one",
    "worker": "works until nothing is left; work/test_until.py runs it",
    "db start": "goes on; test_db_command.py starts one", "db status": "the same", "db stop": "the same",
    "study launch": "needs a cluster; work/test_slurm_cluster.py has one",
    "mlflow": "stays until it is stopped; test_browser.py starts it as docs/mlflow.md says",
    "optuna-dashboard": "stays until it is stopped; test_ui.py starts it",
    "make": "test_every_make_target_is_there",
    "pip": "test_every_extra_is_there",
    "git": "needs a network", "curl": "needs a network", "sbatch": "needs a cluster",
    ".": "the environment of the tests is active", "eval": "test_completion.py does it in a real shell",
    "cd": "one folder here",
}  # fmt: skip


class Reader:
    """Someone who types a page's commands into one terminal."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, database: Callable[[], str]) -> None:
        monkeypatch.setenv("HOME", str(folder))  # where `completion install` writes
        self.command = Command(folder / "runs", {"REPRTUNE_DATA": str(folder / "data")}, folder)
        self.folder, self.database = folder, database
        self.has_study = False

    def types(self, line: Line) -> None:
        words = [REPLACED.get(word, word) for word in line.words]
        words = [LESS.get(before, word) for before, word in zip(["", *words], words, strict=False)]
        if words[:2] == ["python", "cli.py"]:
            self._ours(words[2:])
        elif words[:2] == ["python", "-m"]:
            _has_options([sys.executable, *words[1:3]], words[3:])
        elif words[0] == "python":
            subprocess.run([sys.executable, *words[1:]], cwd=self.folder, check=True, capture_output=True)
        elif words[0] == "export":
            for word in words[1:]:
                self._exports(*word.split("=", 1))
        else:
            assert words[0] in SEEN_ELSEWHERE, f"{line.page}: no way is known to try {line.text!r}"

    def _ours(self, words: list[str]) -> None:
        name = " ".join(words[:2]) if hasattr(cli.cli.commands[words[0]], "commands") else words[0]
        if name in SEEN_ELSEWHERE or "--watch" in words:
            return
        for i, word in enumerate(words):
            if word.startswith(("postgresql", "/shared")):
                place = "REPRTUNE_STORAGE" if word.startswith("postgresql") else "REPRTUNE_STATES"
                self._exports(place, word)
                words[i] = self.command.environment[place]
        if "repr-ablation" in words and name != "study create" and not self.has_study:
            self._run("study create", ["study", "create", "repr-ablation"])  # the README has done so
        self._run(name, words)

    def _run(self, name: str, words: list[str]) -> None:
        left_out = ("model.width",) if any(word.startswith(WITHOUT_WIDTH) for word in words) else ()
        is_comparison = bool(words[2:3]) and words[2] in COMPARISONS
        left_out += ("slots",) if is_comparison else ()
        for setting in SMALL.get(name, ()):
            if not setting.startswith(left_out):
                words += ["--set", setting.replace("controls.", "arms.") if is_comparison else setting]
        self.has_study = self.has_study or words[:3] == ["study", "create", "repr-ablation"]
        self.command(*words)

    def _exports(self, name: str, value: str) -> None:
        """A database, folder or server of another machine becomes one of ours."""
        environment = dict(self.command.environment)
        if name == "REPRTUNE_STORAGE":
            value, self.has_study = environment.get(name) or self.database(), name in environment
        elif name == "REPRTUNE_STATES":
            value = str(self.folder / "states")
        elif name == "MLFLOW_TRACKING_URI":
            value = f"sqlite:///{self.folder}/tracked.db"
        self.command.environment = {**environment, name: value}


def _has_options(program: list[str], words: list[str]) -> None:
    """The program is there and knows the options."""
    done = subprocess.run([*program, "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{program}\n{done.stderr}"
    assert [w for w in words if w.startswith("--") and w.partition("=")[0] not in done.stdout] == []


def _marked(page: Path) -> object:
    return pytest.param(page, id=page.name, marks=[pytest.mark.slow] if page.name in LONG else [])


@pytest.mark.parametrize("page", [_marked(page) for page in pages() if lines(page)])
def test_every_command_of_a_page_works(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """One after another, as a reader types them, each ends well."""
    for program in blocks(page, "python"):
        if name := re.match(r"# (\w+\.py)\n", program):
            (tmp_path / name[1]).write_text(program)
    data = load_digits()
    x, y = np.round(data.images * 15.9).astype(np.uint8)[:, None], data.target
    np.savez(tmp_path / "images.npz", x_train=x[:1500], y_train=y[:1500], x_test=x[1500:], y_test=y[1500:])
    reader = Reader(tmp_path, monkeypatch, lambda: request.getfixturevalue("postgresql").new())
    with contextlib.closing(reader.command):
        for line in lines(page):
            reader.types(line)


def test_every_program_of_a_page_runs(tmp_path: Path) -> None:
    """The Python blocks of all pages, those without a command after them too."""
    found = [(page.name, text) for page in pages() if page != NOTEBOOK for text in blocks(page, "python")]
    assert found
    for page, text in found:
        done = subprocess.run(
            [sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False,
            env={"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, f"{page}\n{text}\n{done.stderr}"


@pytest.mark.slow  # half a minute; test_notebook.py tries its calls one by one
def test_the_notebook_runs(tmp_path: Path) -> None:
    """Its cells one after another, as they stand there: at most 40 lines, which leave a study in the storage and say
    the best of its search. Of the checkout Python finds the package alone, as where it is installed."""
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / "reprtune").symlink_to(ROOT / "reprtune")
    text = "\n".join(blocks(NOTEBOOK, "python"))
    assert 4 <= len(blocks(NOTEBOOK, "python")) <= 8
    assert sum(bool(line.strip()) for line in text.splitlines()) <= 40
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(tmp_path / "installed")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    trials = [line.split() for line in done.stdout.splitlines() if line.split()[-2] == "complete"]
    assert len(trials) == 4 + 2  # slots, and the seeds of the arm
    searched = min(float(words[-1]) for words in trials if words[1] == "search")
    assert f"error {searched:.2%}\n" in done.stdout
    record = reprtune.read_study("first-look", runs=tmp_path / "runs")
    assert record.pending() == 0 and len(record.complete()) == 4


def test_the_reference_of_the_command_line_is_new() -> None:
    """docs/cli.md is what the commands say of themselves now; `make docs` writes it."""
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == reference(cli.cli)


def test_the_table_of_stop_rules_is_new() -> None:
    """docs/stopping.md has it as the rules' cards are now; `make docs` writes it, with this command."""
    page = ROOT / "docs" / "stopping.md"
    done = CliRunner().invoke(cli.cli, ["reference", "--stopping", str(page)])
    assert done.output == page.read_text(encoding="utf-8")
    rows = [line for line in done.output.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows[1:]] == StopRule.names()  # below the head


def test_every_make_target_is_there() -> None:
    """What pages say after `make`."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = {w for page in pages() for line in lines(page) if line.words[0] == "make" for w in line.words[1:]}
    named |= {w for page in pages() for w in re.findall(r"`make ([a-z-]+)`", page.read_text())}
    assert {"demo", "test"} <= named <= set(targets)


def test_every_extra_is_there() -> None:
    """What pages say in `pip install -e '.[extra]'`."""
    project = (ROOT / "pyproject.toml").read_text()
    found = {
        e
        for page in pages()
        for names in re.findall(r"-e '\.\[([\w,]+)\]'", page.read_text())
        for e in names.split(",")
    }
    assert {e for e in found if not re.search(rf"^{e} = \[", project, re.MULTILINE)} == set()
    assert found


def test_links_and_anchors_lead_somewhere() -> None:
    """Files that pages link to are there, and so are the headings after a #."""
    broken = []
    for page in [*pages(), ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", page.read_text(encoding="utf-8"))):
            file, _, anchor = target.partition("#")
            if target.startswith(("http:", "https:")):
                continue
            path = (page.parent / file) if file else page
            if not path.exists() or (anchor and anchor not in _anchors(path)):
                broken.append(f"{page.name}: {target}")
    assert broken == []


def _anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    heads = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
