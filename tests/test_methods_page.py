"""docs/methods.md: the family as values, which the page shows as they are, and what of it can be trained."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cli
from commands.methods_page import methods_page, typed
from reprtune.errors import SpecError
from reprtune.settings import Settings
from reprtune.spec import catalog
from reprtune.spec.codec import canonical_json, from_plain
from reprtune.spec.family import DEFAULT, ROWS, Line
from reprtune.spec.parts.losses import Distillation, OrthoReg, Overlap, SoftOrthogonality, Srip
from reprtune.spec.parts.members import KeepTied, Networks, Noise, Ring
from reprtune.spec.parts.restores import Zero
from reprtune.spec.presets import GRAFTING, GRAFTING_INTERNAL, REPR, STANDARD, TRANSFORMS, compose
from reprtune.spec.scale import scaled_trial
from reprtune.spec.study import Arm, Choice, StudySpec
from reprtune.spec.trial import TrialSpec
from reprtune.study import create as creating
from reprtune.training.chain import train_one
from tests.command import Command
from tests.conftest import ROOT
from tests.flat import with_fields
from tests.tiny_study import STUDY

LINES = [(f"{row} {line.name}".strip(), line) for row, lines in ROWS.items() for line in lines]
each_line = pytest.mark.parametrize("line", [line for _, line in LINES], ids=[name for name, _ in LINES])
MISSING = [line for _, line in LINES if any(line.trial().method.missing())]


def test_the_page_is_new() -> None:
    """docs/methods.md is what the methods are now; `make docs` writes it, with this command."""
    written = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert written == methods_page()
    assert CliRunner().invoke(cli.cli, ["reference", "--methods"]).output == written


def test_the_family_is_complete() -> None:
    """Sixteen rows, every method of the catalog among them, and no two lines of the same trial."""
    assert len(ROWS) == 16
    assert {line.method for _, line in LINES} == {*catalog.names("methods")}
    assert len({canonical_json(line.trial()) for _, line in LINES}) == len(LINES)


@each_line
def test_a_line_is_a_value(line: Line) -> None:
    """It is valid, and its text is read back as the same."""
    trial = line.trial()
    assert from_plain(TrialSpec, json.loads(canonical_json(trial))) == trial


@each_line
def test_what_the_page_says_to_type_is_the_value(line: Line) -> None:
    """The words of the page, as the shell and `train` read them."""
    words = shlex.split(" ".join(typed(line)))
    given: dict[str, Any] = {"assignments": []}
    for option, word in zip(words[::2], words[1::2], strict=True):
        if option == "--set":
            given["assignments"].append(word)
        else:
            given[option.removeprefix("--")] = word
    assert scaled_trial(TrialSpec(), **given) == line.trial()
    assert f"| `{' '.join(words)}` |" in methods_page()


def test_lines_with_changes_are_what_they_say() -> None:
    """By hand, against the methods of the catalog."""
    found = {name: line.trial() for name, line in LINES}
    expected = {
        "RePr with any other criterion": compose(criterion="l2"),
        "RePr with any other criterion restored otherwise": compose(criterion="taylor-fo", restore="old"),
        "Filter Grafting grafting+": replace(GRAFTING, losses=(Distillation(),)),
        "grafting in one network noise": replace(GRAFTING_INTERNAL, exchange=Noise()),
        "Filter Grafting by filter": replace(GRAFTING, exchange=Ring(blend_level="filter")),
        "Filter Grafting by size": replace(GRAFTING, exchange=Ring(blend_by="l1")),
        "Filter Grafting learning rates that differ": replace(
            GRAFTING, networks=Networks(member_lr="spread")
        ),
        "cheap spatial transforms kept tied at the end": replace(TRANSFORMS, ending=KeepTied()),
        "controls random drop": compose(criterion="random"),
        "RePr": REPR,
    }
    for name, method in expected.items():
        assert found[name] == replace(DEFAULT, method=method)
    penalties = {"RePr's own": Overlap(), "SO": SoftOrthogonality(), "SRIP": Srip(), "OrthoReg": OrthoReg()}
    for name, loss in penalties.items():
        assert found[f"orthogonality penalties {name}"] == TrialSpec(method=replace(STANDARD, losses=(loss,)))
    longer = found["controls standard, twice as long"]
    assert (longer.method, longer.training.total.value) == (STANDARD, 2 * DEFAULT.training.total.value)


def test_the_page_says_networks_budget_and_what_is_missing() -> None:
    """Five rows by hand; networks and length multiply."""
    cells = [row.split(" | ") for row in re.findall(r"^\| (.*) \|$", methods_page(), re.MULTILINE)]
    rows = {row[0]: tuple(row[3:]) for row in cells if len(row) == 6}
    assert rows["RePr"] == ("1", "1", "yes")
    assert rows["Filter Grafting"] == ("2", "2", "yes")
    assert rows["controls: networks that never meet"] == ("2", "2", "yes; of grafting and averaging")
    assert rows["controls: standard, twice as long"] == ("1", "2", "yes; of two networks")
    assert rows["DSD"] == ("1", "1", "yes")
    long = Line(method="ensemble", changes={"method.n_members": 3}, total="50ep")
    assert long.budget() == 1.5


def test_train_says_which_part_is_missing_before_data_are_read(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With exit code 2, and nothing is made; all are built, so that one is taken away."""
    assert not MISSING
    monkeypatch.setattr(train_one, "LoadedData", None)
    monkeypatch.setattr(Ring, "card", replace(Ring.card, code=""))
    done = command.quick("train", "--method", "grafting", code=2)
    assert "method.exchange = ring is not built yet: it can be written down, not trained." in done.stderr
    assert "list methods --long" in done.stderr and not command.runs.exists()


ZERO = Choice(options=("orthogonal", "zero"))


@pytest.mark.parametrize(
    ("study", "part", "whose"),
    [
        (with_fields(STUDY, base=replace(STUDY.base, method=GRAFTING), space={}, slots=0), "exchange = ring",
         "the base"),
        (with_fields(STUDY, controls=(Arm(name="graft", changes={"method": "grafting"}),)), "exchange = ring",
         "arm graft"),
        (with_fields(STUDY, space={**STUDY.space, "method.restore": ZERO}), "restore = zero",
         "method.restore = zero"),
    ],
)  # fmt: skip
def test_a_study_says_which_part_is_missing(
    study: StudySpec, part: str, whose: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of its trials has it, before data are read; nothing is made."""
    monkeypatch.setattr(creating, "LoadedData", None)
    for built in (Ring, Zero):
        monkeypatch.setattr(built, "card", replace(built.card, code=""))
    with pytest.raises(SpecError) as caught:
        creating.create_study(study, Settings(runs_dir=tmp_path / "runs"))
    assert caught.value.message == (
        f"method.{part} is not built yet: it can be written down, not trained. It is needed for {whose}."
    )
    assert not (tmp_path / "runs").exists()
