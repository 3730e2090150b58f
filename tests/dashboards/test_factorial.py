"""The page of factors: what it leads with is what was planted, and nothing is named too early or where nothing is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dashboards import factorial as page
from dashboards.pages import pages_of
from reprtune.analysis.factor_runs import factor_runs
from reprtune.record.schema import StudyRecord
from reprtune.spec.designs.design import Factor
from reprtune.spec.designs.factorial import FullFactorial
from reprtune.spec.sections.arms import Arms
from tests.factories import comparison, make_trial

FACTORS = (
    Factor(name="ratio", levels={"low": {"method.prune_ratio": 0.1}, "high": {"method.prune_ratio": 0.5}}),
    Factor(name="rank", levels={"ortho": {"method.criterion": "ortho"}, "random": {"method.criterion": "random"}}),
)  # fmt: skip


def study(ratio: float = 0.0, both: float = 0.0, seeds: int = 5, left: int = 0) -> StudyRecord:
    """A finished 2 x 2 design with these effects, on the validation part; `left`: the last runs still wait."""
    record = comparison()
    section = Arms(
        name="factors",
        design=FullFactorial(factors=FACTORS, changes={"method": "repr"}),
        seeds=tuple(range(seeds)),
    )
    spec = replace(record.spec, sections=(section,))
    rng, trials = np.random.default_rng(3), []
    for number, (arm, seed) in enumerate(section.cells(spec.base)):
        high, random = arm.levels["ratio"] == "high", arm.levels["rank"] == "random"
        error = 0.1 + 0.01 * seed + ratio * high + both * (high and random) + 0.002 * rng.standard_normal()
        trial = make_trial(record.spec, number, arm=arm.name, seed=seed, params={})
        trials.append(
            replace(trial, section="factors", values={"val_error": float(error), "train_gflops": 10.0})
        )
    waiting = {t.number for t in trials[len(trials) - left :]} if left else set()
    made = tuple(
        make_trial(record.spec, t.number, "waiting", arm=t.arm, seed=t.seed) if t.number in waiting else t
        for t in trials
    )
    return replace(
        record, spec=spec, attempts={"factors": tuple(replace(t, section="factors") for t in made)}
    )


def lead(record: StudyRecord) -> str:
    return " ".join(page.words(page.info(record)).lead)


def test_leads_with_the_largest_effect() -> None:
    """A planted main effect is named with its direction and size, and that it depends on nothing shown."""
    said = lead(study(ratio=0.03))
    assert said.startswith("ratio matters most")
    assert "high against low changes the error by +" in said
    assert "not shown to depend on another factor" in said


def test_an_effect_that_depends_on_another_factor_says_so() -> None:
    """Two factors that act together are named beside the leading one."""
    assert "What it does depends on rank: ratio and rank act together" in lead(study(ratio=0.03, both=0.03))


def test_nothing_is_named_where_nothing_is_or_runs_are_left() -> None:
    """Without an effect no factor is named; before the last run is finished none is, however large."""
    assert lead(study()).startswith("No factor is shown")
    assert lead(study(ratio=0.03, left=2)).startswith("2 runs of factors left: no effect is named")


def test_an_incomplete_seed_is_said_to_be_left_out() -> None:
    """The two runs that wait are of two seeds of one cell: both seeds are missing from the effects."""
    assert "2 seeds without a run in every cell left out" in lead(study(left=2))


def test_figure_and_table_hold_the_effects() -> None:
    """One row per effect and pair of the design, one line per level of the second factor; the page has its place."""
    record = study(ratio=0.03)
    info = page.info(record)
    table = page.words(info).table
    assert table is not None
    assert [row[0] for row in table.rows] == ["ratio", "rank", "ratio:rank", "ratio", "rank", "ratio:rank"]
    names = [trace.name for trace in page.figure(info).data]
    assert names[-2:] == ["rank: ortho", "rank: random"]
    assert "factors" in pages_of(record)
    assert "factors" not in pages_of(comparison())


def test_a_study_without_a_factorial_design_says_so() -> None:
    """Its page has no figure, and a reason."""
    info = page.info(comparison())
    assert page.words(info).missing == "The study has no factorial design."
    assert factor_runs(comparison()) == ()
    page.figure(info)
