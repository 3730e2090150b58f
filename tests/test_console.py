"""`reprtune`: the same program, from any folder, without names of ours at the top of the installed packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reprtune import console
from tests.command import TINY, Command
from tests.conftest import ROOT
from tests.test_house import python_files

INSIDE = "reprtune/checkout"
SCRIPT = "import sys\nfrom reprtune.console import main\nif __name__ == '__main__':\n    sys.exit(main())\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with what a wheel puts into it, built by setuptools as `pip wheel` does."""
    folder = tmp_path_factory.mktemp("installed")
    words = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(folder)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
    return folder


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The file that pip makes of the entry in pyproject.toml."""
    path = tmp_path / "bin" / "reprtune"
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\n{SCRIPT}")
    path.chmod(0o755)
    return path


def run(program: Path, packages: Path, folder: Path, *words: str) -> str:
    """What it prints, typed in a folder that has nothing of the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(packages), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(program), *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_wheel_holds_the_whole_program_below_the_package(installed: Path) -> None:
    """Every module of ours once, the page's templates, and nothing else: no tests, no benchmarks."""
    expected = {str(p.relative_to(ROOT)) for p in python_files("reprtune")} | {"reprtune/py.typed"}
    beside = [*python_files("commands", "dashboards", "studies"), *python_files()]
    beside += (ROOT / "dashboards" / "templates").iterdir()
    expected |= {f"{INSIDE}/{path.relative_to(ROOT)}" for path in beside}
    found = {str(p.relative_to(installed)) for p in installed.rglob("*") if p.is_file()}
    assert found == expected


def test_the_program_runs_from_an_installed_wheel(installed: Path, program: Path, tmp_path: Path) -> None:
    """Its own modules are those of the wheel, and help names the program as it was called."""
    said = run(program, installed, tmp_path, "study", "create", "--help")
    assert said.startswith("Usage: reprtune study create") and "reprtune study create repr-abl" in said
    assert "python cli.py" not in said + run(program, installed, tmp_path, "--help")
    assert "repr-smoke" in run(program, installed, tmp_path, "list", "studies")
    script = run(program, installed, tmp_path, "completion", "show", "bash")
    assert str(installed / INSIDE / "cli.py") in script


@pytest.mark.slow
def test_a_study_runs_from_an_installed_wheel(installed: Path, program: Path, tmp_path: Path) -> None:
    """Its workers, which are processes of their own, find everything too; it is written where one stands."""
    for words in (
        ("create", "repr-smoke"),
        ("run", "repr-smoke", "--workers", "2"),
        ("report", "repr-smoke"),
    ):
        said = run(program, installed, tmp_path, "study", *words)
    assert said == "runs/reports/repr-smoke/report.html\n" and (tmp_path / said.strip()).exists()


def test_in_a_checkout_its_own_files_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an editable install leaves them; where the package holds a copy, that."""
    assert console.root() == ROOT
    monkeypatch.setattr(console, "PACKAGE", tmp_path)
    assert console.root() == tmp_path.parent
    (tmp_path / "checkout").mkdir()
    assert console.root() == tmp_path / "checkout"


@pytest.mark.parametrize("called", ["reprtune", "cli.py"])
def test_hints_can_be_typed_as_the_program_was(
    called: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next step, and what an error says, which the library words for `python cli.py`."""
    monkeypatch.setattr(sys, "argv", [f"/some/bin/{called}"])
    start = "reprtune" if called == "reprtune" else "python cli.py"
    command = Command(tmp_path / "runs")
    assert f"next: {start} study run tiny" in command.quick("study", "create", TINY).stdout
    assert f"next: {start} study run tiny" in command.quick("study", "status", "tiny").stdout
    said = command.quick("study", "create", TINY, "--set", "slots=9", code=1).stderr
    assert f"with: {start} study delete tiny" in said
