"""What a study can minimise: every objective is one value, and this is the one place that names it.

Two kinds of numbers must not be mixed up:

* A *field of a point* (`spec.history.Point`) is measured at every evaluation of one network with one seed. It
  makes curves, is compared at rungs and tells how a training stands.
* An *objective* is one number of a whole trial: what each seed had at its last evaluation, as a mean over
  the seeds. Samplers see it, trials are ranked by it, and pages draw it over parameters.

An objective is read from a field of the last point, or from a number of the network as it stood there: `source`
is that name among all that an evaluation measures (`TrialNetworks.measured` in training). So whatever is in the table
below is recorded for each seed, averaged, told to Optuna, sent to MLflow, written in tables, drawn on every page
and completed by Tab, and nothing else names it.

Some places mean the validation error whatever a study minimises: early stopping, the paired differences of
controls, the leaders that are confirmed, a sentence about accuracy. They say `ERROR`. Likewise `COST` is the cost
of the training, beside which an error stands where nothing else is minimised. Everything is minimised.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from reprtune.history import CURVES

FRACTION = "fraction"
PERCENT = ((0.01, "%"),)
FLOPS = ((1e9, "EFLOP"), (1e6, "PFLOP"), (1e3, "TFLOP"), (1.0, "GFLOP"))
SMALL_FLOPS = (*FLOPS, (1e-3, "MFLOP"), (1e-6, "kFLOP"))
PARAMETERS = ((1e6, "M parameters"), (1e3, "k parameters"), (1.0, "parameters"))


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One number of a whole trial, minimised.

    Attributes:
        name: in Optuna, MLflow, tables and commands.
        line: what it is.
        title: on axes and in sentences. short: where there is little room. best: of a trial that has the least.
        unit: of the number that is stored; a `FRACTION` is shown in percent, its differences in points.
        sizes: units that a person reads, largest first: (how many stored ones each is, its name).
        column, cell: head and format of its column in a terminal, in the stored unit.
        source: name of what an evaluation measures. A field of a point can also be read at rungs, as
            a stop rule must; a number of the network at the end only.
        version: raised where the meaning changes, so that older numbers are not held against newer ones.
    """

    name: str
    line: str
    title: str
    short: str
    best: str
    unit: str
    sizes: tuple[tuple[float, str], ...]
    column: str
    cell: str = ".4g"
    source: str
    version: int = 1
    direction: ClassVar[Literal["minimize"]] = "minimize"  # Optuna's word; fronts and ranks rely on it

    @property
    def is_fraction(self) -> bool:
        return self.unit == FRACTION

    @property
    def at_rungs(self) -> bool:
        """Does every point of a curve have it? Then records from before it was an objective know it too."""
        return self.source in CURVES

    @property
    def metric(self) -> str:
        """In MLflow: its curve where there is one, else what a run ended with."""
        return self.source if self.at_rungs else f"result.{self.name}"


ERROR, COST = "val_error", "train_gflops"
SIZES = ("params", "inference_gflops")  # of the network that comes out
OF_ARMS = (ERROR,)  # what Optuna is told of arms and confirmations, whatever the search minimises

_ALL = (
    Objective(
        name=ERROR,
        line="error on the validation part at the end, a fraction",
        title="validation error",
        short="error",
        best="the most accurate",
        unit=FRACTION,
        sizes=PERCENT,
        column="val error",
        source="val_error",
    ),
    Objective(
        name=COST,
        line="ideal cost of the training in 1e9 floating-point operations, dropped filters as absent",
        title="training cost",
        short="cost",
        best="the cheapest",
        unit="GFLOP",
        sizes=FLOPS,
        column="train GFLOPs",
        source="gflops",
        version=3,  # counts teachers' answers; 2 did not, and 1 counted nn.Conv2d and nn.Linear only
    ),
    Objective(
        name="inference_gflops",
        line="ideal cost of one image's forward pass in the network at the end, in 1e9 floating-point operations",
        title="inference cost",
        short="inference cost",
        best="the cheapest to use",
        unit="GFLOP",
        sizes=SMALL_FLOPS,
        column="inference GFLOPs",
        source="inference_gflops",
    ),
    Objective(
        name="params",
        line="number of parameters of the network at the end, without those of dropped filters",
        title="network size",
        short="size",
        best="the smallest",
        unit="parameters",
        sizes=PARAMETERS,
        column="parameters",
        cell=".0f",
        source="params",
    ),
)
OBJECTIVES: dict[str, Objective] = {objective.name: objective for objective in _ALL}


def read(measured: Mapping[str, float]) -> dict[str, float]:
    """Every objective of what an evaluation has measured."""
    return {name: measured[o.source] for name, o in OBJECTIVES.items() if o.source in measured}


def stored(record: Mapping[str, Any]) -> dict[str, float]:
    """Every objective that stands under its name in a record; those before it was made have none."""
    return {name: record[name] for name in OBJECTIVES if record.get(name) is not None}


def compared(objectives: Iterable[str]) -> tuple[str, ...]:
    """What trials are held against each other by: the error, and what else a study minimises; where that is
    nothing, the cost of training. In the order of the table."""
    wanted = {ERROR, *objectives}
    wanted = wanted if len(wanted) > 1 else {ERROR, COST}
    return tuple(name for name in OBJECTIVES if name in wanted)


def versions() -> dict[str, int]:
    """Name -> what it means today; stored with a study."""
    return {name: objective.version for name, objective in OBJECTIVES.items()}
