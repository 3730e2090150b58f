"""A study that is created by one checkout and run by others, each with its own command line in its own process."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from reprtune.record.codes import by_code, of_study, other_code
from reprtune.record.database import open_storage
from reprtune.record.schema import StudyRecord
from reprtune.record.slots import slot_name
from reprtune.record.storage import read_study
from tests.command import TINY, Command
from tests.conftest import ROOT

CODE = ("reprtune", "commands", "studies", "dashboards")
TRAINING = Path("reprtune", "training")


@pytest.fixture(scope="module")
def checkouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of the code, which may be edited while this runs: as it is; with a comment, a docstring, a new
    criterion file and a change in a part that the study has no use for; with a share that is rounded down."""
    folder = tmp_path_factory.mktemp("checkouts")
    for name in ("same", "harmless", "rounding"):
        for part in CODE:
            shutil.copytree(ROOT / part, folder / name / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "cli.py", folder / name / "cli.py")
    harmless, rounding = (
        folder / "harmless" / TRAINING,
        folder / "rounding" / TRAINING / "parts/selections/share.py",
    )
    for file in ("parts/selections/share.py", "parts/restores/simple.py"):
        _replace(
            harmless / file,
            "from __future__ import annotations\n",
            "from __future__ import annotations\n# A comment.\n",
        )
    _replace(
        harmless / "parts/selections/share.py", '"""Which filters are dropped', '"""Those which are dropped'
    )
    _replace(harmless / "parts/restores/simple.py", "\n\n\n", "\n\nUNUSED = 1\n\n\n")
    (harmless / "parts/criteria/mine.py").write_text("def score(filters, context):\n    return filters\n")
    _replace(rounding, "wanted = round(", "wanted = math.floor(")
    return folder


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.fixture
def command(checkouts: Path, tmp_path: Path) -> Iterator[Command]:
    """The tiny study, created by the code as it is."""
    with closing(Command(tmp_path / "runs", folder=tmp_path, checkout=checkouts / "same")) as command:
        command("study", "create", TINY)
        yield command


def read(command: Command) -> StudyRecord:
    storage = open_storage(command.settings.storage_url)
    try:
        return read_study(storage, "tiny")
    finally:
        storage.engine.dispose()


@pytest.mark.slow  # ten processes; each rule without them: study/test_code.py
def test_one_study_one_code(command: Command, checkouts: Path) -> None:
    """What changes no number is no other code. A changed rounding is: refused, by its module and file, with
    nothing taken; accepted, every attempt says so, and so do status, report, table and comparison."""
    command.checkout = checkouts / "harmless"
    command("study", "run", "tiny", "--trials", "1")
    before = read(command)

    command.checkout = checkouts / "rounding"
    refused = [
        command("study", "run", "tiny", "--workers", "2", code=1),
        command("trial", "run", "tiny", "standard-s0", code=1),
    ]
    differs = f"reprtune.training.parts.selections.share ({checkouts / 'rounding' / TRAINING / 'parts/selections/share.py'}) differs"
    for done in refused:
        assert f"the study 'tiny' was created with: {differs}. What" in done.stderr
        assert "--accept-code" in done.stderr
    assert f"was created with: {differs}. What" in command("doctor", "tiny", code=1).stdout
    assert read(command) == before

    command("study", "run", "tiny", "--accept-code", "--trials", "2")
    after = read(command)
    own, (other, others) = str(of_study(after)), next(iter(other_code(after).items()))
    assert {code: len(trials) for code, trials in by_code(after).items()} == {own: 1, other: 2}
    said = f"2 of 3 attempts ran under other code than {own}, which the study was created with ({other}:"
    for words in (("study", "status"), ("study", "show")):
        assert said in command.quick(*words, "tiny").output
    assert json.loads(command.quick("study", "status", "tiny", "--json").stdout)["other_code"] == {other: 2}
    page = Path(command.quick("study", "report", "tiny").stdout.strip())
    assert said in page.read_text()
    rows = list(csv.DictReader((page.parent / "trials.csv").read_text().splitlines()))
    assert sorted(row["code"] for row in rows if row["code"]) == sorted([own, other, other])
    done = command("trial", "run", "tiny", slot_name(others[0]), "--accept-code")
    assert done.stdout.endswith(
        f"equal\n  code: {other} here, recorded under {other}; the study's is {own}\n"
    )
