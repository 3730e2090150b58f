"""The table of objectives: what it promises, and that nothing else names one."""

from __future__ import annotations

import re

import pytest

from reprtune.history import CURVES, NUMBERS
from reprtune.spec import objectives
from reprtune.spec.objectives import COST, ERROR, OBJECTIVES
from tests.conftest import ROOT
from tests.test_house import PROJECT

# A person writes names in studies; benchmarks have columns of their own; numbers.py gives numbers of networks.
NAMING = (
    "reprtune/spec/objectives.py",
    "reprtune/training/chain/network_numbers.py",
    "studies/",
    "benchmarks/",
)


def test_names_that_people_see() -> None:
    """Stored studies, MLflow and tables have them: they stay, in this order."""
    assert list(OBJECTIVES) == ["val_error", "train_gflops", "inference_gflops", "params"]
    assert all(name == objective.name for name, objective in OBJECTIVES.items())
    assert (ERROR, COST) == ("val_error", "train_gflops")


def test_numbers_of_a_point() -> None:
    """All that is no count and no name; times make no curve."""
    assert NUMBERS == ("lr", "train_loss", "val_loss", "val_error", "gflops", "seconds", "time")
    assert NUMBERS[:-1] == CURVES


def test_what_can_be_read_at_a_rung_is_a_field_of_a_point() -> None:
    """The others are numbers of the network at the end; MLflow has curves of the first, results of these."""
    found = {name: (o.at_rungs, o.metric) for name, o in OBJECTIVES.items()}
    assert found == {
        "val_error": (True, "val_error"),
        "train_gflops": (True, "gflops"),
        "inference_gflops": (False, "result.inference_gflops"),
        "params": (False, "result.params"),
    }


def test_what_is_measured_is_read_by_its_source_and_stored_by_its_name() -> None:
    """What was not measured has no value, and what else is measured or stored is none of them."""
    measured = {"val_error": 0.5, "gflops": 2.0, "lr": 0.1}
    assert objectives.read(measured) == {"val_error": 0.5, "train_gflops": 2.0}
    record = {"train_gflops": 2.0, "params": None, "seed": 3}
    assert objectives.stored(record) == {"train_gflops": 2.0}


@pytest.mark.parametrize(
    ("minimised", "compared"),
    [
        (("val_error",), ("val_error", "train_gflops")),
        (("train_gflops",), ("val_error", "train_gflops")),
        (("train_gflops", "val_error"), ("val_error", "train_gflops")),
        (("params",), ("val_error", "params")),
        (("val_error", "inference_gflops"), ("val_error", "inference_gflops")),
        (("params", "train_gflops"), ("val_error", "train_gflops", "params")),
    ],
)
def test_the_error_is_always_compared(minimised: tuple[str, ...], compared: tuple[str, ...]) -> None:
    """With what else is minimised, or the cost of training; the error first."""
    assert objectives.compared(minimised) == compared


def test_no_other_file_names_an_objective() -> None:
    """Else a new one, or a new meaning, would have to be looked for. (`params` is a word of its own right.)"""
    names = "|".join(name for name in OBJECTIVES if "_" in name)
    quoted = re.compile(rf"[\"'`]({names})[\"'`\]]")
    files = {str(path.relative_to(ROOT)): path.read_text() for path in PROJECT}
    assert not [name for name, text in files.items() if not name.startswith(NAMING) and quoted.search(text)]
