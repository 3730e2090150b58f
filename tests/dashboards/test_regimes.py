"""The page of regimes: it says where what was asked about does something, and nothing before all runs are finished."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dashboards import regimes as page
from dashboards.answer import answer
from dashboards.pages import pages_of
from reprtune.record.schema import StudyRecord
from reprtune.spec.designs.design import Factor
from reprtune.spec.designs.factorial import FullFactorial
from reprtune.spec.sections.arms import Arms
from tests.factories import comparison, make_trial

FACTORS = (
    Factor(name="noise", levels={"0": {}, "40": {"task.label_noise": 0.4}}),
    Factor(name="head", levels={"flatten": {"model.head": "flatten"}, "average": {}}),
    Factor(
        name="method",
        levels={"repr": {}, "standard": {"method": "standard"}, "random": {"method.criterion": "random"}},
    ),
)


def study(gain: float = 0.0, left: int = 0, asks: str | None = "method") -> StudyRecord:
    """Five seeds of 2 x 2 x 3; standard errs by so much more with noise 40; the last `left` runs still wait."""
    record = comparison()
    section = Arms(
        name="regimes",
        design=FullFactorial(factors=FACTORS, changes={"method": "repr"}, asked=asks),
        seeds=5,  # type: ignore[arg-type]  # their number
    )
    spec = replace(record.spec, sections=(section,))
    rng, trials = np.random.default_rng(2), []
    cells = section.cells(spec.base)
    for number, (arm, seed) in enumerate(cells):
        more = gain * (arm.levels["method"] == "standard" and arm.levels["noise"] == "40")
        error = 0.2 + 0.01 * seed + more + 0.002 * rng.standard_normal()
        state = "waiting" if number >= len(cells) - left else "complete"
        trial = make_trial(record.spec, number, state, arm=arm.name, seed=seed, params={})
        values = {"val_error": float(error), "train_gflops": 10.0} if state == "complete" else trial.values
        trials.append(replace(trial, section="regimes", values=values))
    return replace(record, spec=spec, attempts={"regimes": tuple(trials)})


def lead(record: StudyRecord) -> list[str]:
    return list(page.words(page.info(record)).lead)


def test_a_planted_gain_is_named_where_it_is() -> None:
    """Over all regimes, on which factor it depends, by which level, against which control; the report begins with it."""
    said = lead(study(gain=0.03))
    assert said[0].startswith("repr does better than standard: \N{MINUS SIGN}1.5")
    assert said[1].startswith("repr is not shown to differ from random:")
    assert "What method does depends on noise (p" in said[2] and "head" not in said[2]
    assert "repr does better than standard with noise 40 (\N{MINUS SIGN}" in said[3]
    assert "noise 0" not in said[3] and "random" not in said[3]
    answered = answer(study(gain=0.03))
    assert answered[: len(said)] == tuple(said)
    assert not any("held against no other" in text for text in answered)


def test_nothing_is_named_where_nothing_is_or_runs_are_left() -> None:
    """Without an effect nothing is shown; before the last run is finished nothing is, however large."""
    said = lead(study())
    assert all("is not shown to differ" in text for text in said[:2])
    assert said[2] == "What method does is not shown to depend on noise or head."
    assert said[3] == "By single levels nothing is shown: 8 differences compared."
    assert said[4].endswith("of 4 single regimes; none is shown by itself.")
    assert lead(study(gain=0.03, left=2)) == [
        "2 runs of regimes left: no regime is named before all are finished."
    ]


def test_figure_and_table_hold_every_regime() -> None:
    """A panel for each control, all regimes and then each level; the table has each regime too."""
    info = page.info(study(gain=0.03))
    fig = page.figure(info)
    means = [trace for trace in fig.data if trace.name and trace.name.startswith("mean")]
    rows = ["all regimes", "noise 0", "noise 40", "head flatten", "head average"]
    assert [list(trace.y) for trace in means] == [rows, rows]
    table = page.words(info).table
    assert table is not None and len(table.rows) == 2 * (1 + 4 + 4)
    assert [row[1] for row in table.rows[:2]] == ["standard", "random"]


def test_only_a_study_that_asks_about_a_factor_has_the_page() -> None:
    """Another factorial has the page of factors alone."""
    assert {"regimes", "factors"} <= {*pages_of(study())}
    other = study(asks=None)
    assert "regimes" not in pages_of(other) and "factors" in pages_of(other)
    assert (
        page.words(page.info(other)).missing
        == "The study has no factorial design that asks about one factor."
    )
