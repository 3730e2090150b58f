"""An ablation path: the change that gains most is made first, whatever the others do together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from reprtune.analysis.path import walk
from reprtune.errors import SpecError
from reprtune.record.schema import StudyRecord
from reprtune.spec.codec import from_plain, to_plain
from reprtune.spec.edit import changed
from reprtune.spec.study import Arm, Arms, Path, StudySpec
from reprtune.study.sections.arms import next_work
from tests.confirmed import make_run
from tests.factories import comparison
from tests.flat import with_attempts

END = {
    "method.criterion": "l2",
    "method.scope": "layer",
    "method.restore": "random",
    "training.weight_decay": 0.001,
}
SEEDS = (0, 1, 2)
Error = Callable[[frozenset[str]], float]  # of the changes that are made


def study() -> StudySpec:
    path = Path(start=Arm(name="ours"), end=Arm(name="theirs", changes=END))
    base = replace(comparison().spec, rules=())
    return replace(base, sections=(Arms(name="controls", design=path, seeds=SEEDS),))


def made_in(spec: StudySpec, settings: dict[str, object]) -> frozenset[str]:
    """Which of the changes a trial has, found from its fields."""
    trial, end = changed(spec.base, settings), changed(spec.base, END)
    fields: dict[str, Callable[..., object]] = {
        "criterion": lambda t: t.method.criterion,
        "scope": lambda t: t.method.selection.scope,
        "restore": lambda t: t.method.restore,
        "weight_decay": lambda t: t.training.weight_decay,
    }
    return frozenset(name for name, of in fields.items() if of(trial) == of(end))


def trained(error: Error, stop_after: int | None = None) -> StudyRecord:
    """The study worked on by asking what is to be done until nothing is; errors as planted, a little more for later seeds."""
    record = replace(comparison(), spec=study(), attempts={})
    runs: dict[tuple[str, int], object] = {}
    while True:
        cells = [c for c in next_work(record.spec.comparisons[0], record) if (c.arm, c.seed) not in runs]
        if stop_after is not None:
            cells = cells[: max(0, stop_after - len(runs))]
        if not cells:
            return record
        for cell in cells:
            e = error(made_in(record.spec, dict(cell.settings or {}))) + 0.001 * (cell.seed or 0)
            run = make_run(record, len(runs), str(cell.arm), cell.seed or 0, e)
            runs[str(cell.arm), cell.seed or 0] = replace(run, settings=dict(cell.settings or {}))
        record = with_attempts(replace(record), controls=tuple(runs.values()))  # type: ignore[arg-type]


def path_of(record: StudyRecord) -> list[str | None]:
    return [stage.chosen for stage in walk(record.spec.comparisons[0], record).stages]


GAINS = {"criterion": 0.0, "scope": -0.02, "restore": -0.05, "weight_decay": 0.01}


def test_gains_that_add_up_are_made_from_the_largest_to_the_smallest() -> None:
    """Four planted gains; each cell once, and as many as the stages of 4, 3 and 2 and the two ends have."""
    record = trained(lambda made: 0.2 + sum(GAINS[name] for name in made))
    assert path_of(record) == ["restore", "scope", "criterion", "weight_decay"]
    cells = list(next_work(record.spec.comparisons[0], record))
    assert len({cell.key for cell in cells}) == 3 * (2 + 4 + 3 + 2)
    assert record.spec.planned(record.spec.comparisons[0]) == 3 * (2 + 4 + 3 + 2)
    found = walk(record.spec.comparisons[0], record)
    assert found.finished
    assert found.whole.difference is not None
    assert found.whole.difference.mean == pytest.approx(sum(GAINS.values()))


def test_what_gains_only_together_comes_last() -> None:
    """Two changes that do harm alone and gain together are put off, though the pair is the best there is."""

    def error(made: frozenset[str]) -> float:
        both = {"criterion", "restore"} <= made
        return 0.2 - 0.1 * both + (0.02 * len(made & {"criterion", "restore"})) - 0.01 * ("scope" in made)

    assert path_of(trained(error)) == ["scope", "weight_decay", "criterion", "restore"]


def test_a_stage_waits_for_all_its_runs() -> None:
    """Nothing is chosen, and nothing of the next stage is queued, while one run of a stage is missing."""
    record = trained(lambda made: 0.2 + sum(GAINS[name] for name in made), stop_after=3 * 6 - 1)
    assert path_of(record) == [None]
    assert len(list(next_work(record.spec.comparisons[0], record))) == 3 * 6


def test_a_diverged_run_counts_with_chance_error() -> None:
    """The best change is not chosen when a seed of it diverged; with 10 classes chance is 90 %."""
    record = trained(lambda made: 0.2 + sum(GAINS[name] for name in made), stop_after=3 * 6)
    at = next(i for i, t in enumerate(record.controls) if "restore" in str(t.arm))
    runs = list(record.controls)
    bad = make_run(record, at, str(runs[at].arm), runs[at].seed, "diverged")
    runs[at] = replace(bad, settings=runs[at].settings)
    assert path_of(with_attempts(record, controls=tuple(runs)))[0] == "scope"


def test_a_place_with_another_part_moves_whole() -> None:
    """Options of a part go with it; a path is stored and read as it was; lengths of one part are one move each."""
    spec = study()
    assert from_plain(StudySpec, to_plain(spec)) == spec
    design = Path(
        start=Arm(name="a"), end=Arm(name="b", changes={"method.s1": "3ep", "method.restore": "old"})
    )
    assert [move.name for move in design.moves(spec.base)] == ["s1", "restore"]
    joined = replace(design, together=(("s1", "restore"),))
    assert [move.name for move in joined.moves(spec.base)] == ["s1.restore"]


@pytest.mark.parametrize(
    ("design", "message"),
    [
        (Path(start=Arm(name="a"), end=Arm(name="b")), "a and b are the same"),
        (
            Path(start=Arm(name="a"), end=Arm(name="b", changes=END), together=(("scope", "s3"),)),
            "together must name differences",
        ),
        (
            Path(start=Arm(name="a", changes={"method": "standard"}), end=Arm(name="b")),
            "No difference of a and b can be made by itself",
        ),
    ],
)
def test_a_path_that_cannot_be(design: Path, message: str) -> None:
    """Told before anything runs."""
    with pytest.raises(SpecError, match=message):
        StudySpec(name="x", question="q", cost="", sections=(Arms(design=design, seeds=SEEDS),))
