"""What trials are called."""

from __future__ import annotations

import ast
from dataclasses import replace

from reprtune.analysis.tables import trial_rows
from reprtune.record.labels import label, trial_label
from reprtune.record.slots import find_slot, slot_key, slot_name
from tests.conftest import ROOT
from tests.factories import comparison, make_spec, make_study, make_trial


def test_a_trial_is_called_by_its_slot_or_by_arm_and_seed() -> None:
    """In all three sections."""
    found, arm = make_trial(make_spec(), 21, slot=17), make_trial(make_spec(), 3, arm="standard", seed=2)
    leader = replace(arm, arm="slot-17", seed=5, settings={})
    assert trial_label(found) == label(17, None, 0) == "slot 17"
    assert trial_label(arm) == "standard, seed 2" and trial_label(leader) == "slot-17, seed 5"
    assert [t.section for t in (found, arm)] == ["search", "controls"]


def test_a_row_tells_the_slot_from_optunas_number_and_its_section_from_its_arm() -> None:
    """A slot that was tried twice has two of Optuna's numbers."""
    record = make_study(1, outcomes=("complete",), extras=("lost",), control_seeds=(0,))
    rows = [
        (r["slot"], r["optuna_trial"], r["section"], r["arm"], r["decides_slot"]) for r in trial_rows(record)
    ]
    assert rows == [
        (0, 0, "search", None, True),
        (1, 1, "search", None, False),
        (1, 2, "search", None, True),
        *((i, i, "controls", arm, True) for i, arm in enumerate(("standard", "paper", "random-drop"))),
    ]


def test_no_page_makes_a_label_of_its_own() -> None:
    """`slot N` is written by one file; commands name slots as a person types them."""
    own = []
    for folder in ("dashboards", "reprtune/analysis"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                first = node.values[0] if isinstance(node, ast.JoinedStr) and node.values else None
                if isinstance(first, ast.Constant) and str(first.value) == "slot ":
                    names = [n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)]
                    own += [f"{path.name}:{node.lineno}"] if "slot" in names else []
    assert not own, own


def test_a_slot_is_found_by_its_name_and_by_that_of_its_run_in_mlflow() -> None:
    """Whatever its section is called."""
    record = comparison()
    section = replace(record.spec.comparisons[0], name="arms")
    attempts = {"arms": tuple(replace(trial, section="arms") for trial in record.controls)}
    arms = replace(record, spec=replace(record.spec, sections=(section,)), attempts=attempts)
    for one in (make_study(2, outcomes=("complete",), extras=()), record, arms):
        for trial in one.everything:
            assert find_slot(one, slot_name(trial)) == trial == find_slot(one, slot_key(trial))
