"""Two studies side by side: against scipy and by hand, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from scipy import stats

from dashboards.compare import csv_rows, text
from reprtune.analysis.compare import plain, side_by_side
from reprtune.record.schema import StudyRecord
from reprtune.spec.edit import changed
from reprtune.spec.study import Arm, Arms, Until
from tests.command import Command
from tests.factories import make_study
from tests.flat import with_attempts
from tests.stored import new_study
from tests.tiny_study import STUDY as TINY_STUDY

A = {"standard": (0.10, 0.14, 0.11), "paper": (0.12, 0.13, 0.15)}
B = {"standard": (0.09, 0.15, 0.08), "paper": (0.11, 0.10, 0.09)}


def study(
    errors: dict[str, tuple[float, ...]], base: dict[str, object] | None = None, first: int = 0
) -> StudyRecord:
    """Arms with these test errors, seeds from `first` on, in a study whose base is changed so."""
    record = make_study(2, extras=())
    of = {(arm, s): e for arm, values in errors.items() for s, e in enumerate(values)}
    controls = tuple(
        replace(
            t, seed=t.seed + first, values={"val_error": of[t.arm, t.seed], "train_gflops": 10.0},
            result={**t.result, "test_error": of[t.arm, t.seed]},
        )
        for t in record.controls
        if (t.arm, t.seed) in of
    )  # fmt: skip
    spec = replace(record.spec, base=changed(record.spec.base, base or {}))
    return replace(with_attempts(record, controls=controls), spec=spec)


def rows(a: StudyRecord, b: StudyRecord):
    return {row.arm: row for row in side_by_side(a, b).rows}


def test_the_same_seeds_are_paired_and_corrected():
    """Second minus first is scipy's paired t; p is multiplied by the number of arms for the smallest of two."""
    found = rows(study(A), study(B, {"training.lr": 0.05}))
    ps = {}
    for arm, ours in A.items():
        test = stats.ttest_rel(B[arm], ours)
        interval = test.confidence_interval(0.95)
        row = found[arm]
        assert (row.how, row.n, row.measured_on) == ("paired", 3, "test")
        assert (row.low, row.high, row.p) == pytest.approx((interval.low, interval.high, test.pvalue))
        ps[arm] = float(test.pvalue)
    smallest = min(ps, key=ps.get)
    assert found[smallest].p_holm == pytest.approx(min(1, 2 * ps[smallest]))


def test_other_seeds_are_not_paired():
    """Without the same seeds the interval and p are Welch's."""
    row = rows(study(A), study(B, first=7))["paper"]
    test = stats.ttest_ind(B["paper"], A["paper"], equal_var=False)
    assert row.how == "unpaired" and row.n is None
    interval = test.confidence_interval(0.95)
    assert (row.p, row.low, row.high) == pytest.approx((test.pvalue, interval.low, interval.high))


@pytest.mark.parametrize(
    "change", [{"task.split_seed": 1}, {"task.val_frac": 0.3}, {"task.dataset": "fashion-mnist"}]
)
def test_other_images_are_refused_and_only_effects_are_shown(change):
    """Another data set or split: no error is compared; the effect of each study still stands there."""
    found = side_by_side(study(A), study(B, change))
    assert {row.refused.kind for row in found.rows if row.arm != "leader"} == {"data"}
    assert all(row.difference is None for row in found.rows)
    (effect,) = (e for e in found.effects if e.arm == "paper")
    assert effect.b.difference.mean == pytest.approx(sum(B["paper"]) / 3 - sum(B["standard"]) / 3)
    assert "other images" in text(found)


def test_another_number_of_test_images_is_refused():
    """The errors were measured on other images."""
    a = study(A)
    b = replace(a, facts={**a.facts, "n_test": a.facts["n_test"] + 1})
    assert rows(a, b)["standard"].refused.kind == "data"


def test_an_arm_of_the_same_name_that_is_another_trial_is_refused():
    """It differs in more than the bases do; the other arm is compared, alone in its family."""
    a, b = study(A), study(B)
    (section,) = b.spec.comparisons
    arms = tuple(
        replace(arm, changes={**arm.changes, "training.lr": 0.01}) if arm.name == "paper" else arm
        for arm in section.design.list
    )
    b = replace(b, spec=b.spec.with_section(replace(section, design=replace(section.design, list=arms))))
    found = rows(a, b)
    assert found["paper"].refused.kind == "trial"
    assert found["paper"].refused.fields[0][0] == "training.lr"
    assert found["standard"].p_holm == pytest.approx(found["standard"].p)


def test_another_budget_is_shown_and_not_compared():
    """Twice the steps of every run."""
    a, b = study(A), study(B)
    longer = tuple(
        replace(
            t, history=replace(t.history, points=tuple(replace(p, step=2 * p.step) for p in t.history.points))
        )
        for t in b.controls
    )
    found = side_by_side(a, with_attempts(b, controls=longer))
    row = found.rows[0]
    assert row.refused.kind == "budget" and row.b.steps == pytest.approx(2 * row.a.steps)
    assert "another budget" in text(found)


def test_other_code_is_said():
    """Digests of what both run that differ, or are not known, are a warning; errors are compared. What only one of them
    runs, and other values of trials, are none."""
    a = study(A)

    def with_code(modules: dict[str, str], torch: str = "2") -> StudyRecord:
        return replace(
            study(B), facts={**a.facts, "code": {"modules": modules, "versions": {"torch": torch}}}
        )

    ours = with_code({"m": "x", "reprtune.spec": "1", "own": "1"})
    same = side_by_side(ours, with_code({"m": "x", "reprtune.spec": "2", "other": "1"}))
    assert same.code == () and "Warning" not in text(same)
    found = side_by_side(ours, with_code({"m": "y"}, "3"))
    assert found.code == ("m", "torch") and found.rows[0].refused is None
    assert "(m and torch)" in text(found)
    assert side_by_side(a, ours).code is None and "Warning" in text(side_by_side(a, ours))


def test_what_is_missing_is_said():
    """An unfinished study: complete pairs are compared, and the side says how many are missing."""
    b = study(B)
    one = next(t for t in b.controls if t.arm == "paper")
    waiting = replace(one, outcome="waiting", values=None, result={}, history=None)
    b = with_attempts(b, controls=tuple(waiting if t is one else t for t in b.controls))
    row = rows(study(A), b)["paper"]
    assert (row.b.n, row.b.n_missing, row.n) == (2, 1, 2)
    assert row.low is None


def test_the_same_runs_twice_are_not_tested():
    """Same settings, seeds and errors: no p, and the family is that of the others."""
    a, b = study(A), study({**A, "paper": B["paper"]})
    found = rows(a, b)
    assert (found["standard"].how, found["standard"].p, found["standard"].n) == ("identical", None, 3)
    assert found["paper"].p_holm == pytest.approx(stats.ttest_rel(B["paper"], A["paper"]).pvalue)
    assert rows(a, study(A, {"training.lr": 0.05}))["standard"].how == "paired"


def test_means_are_of_the_pairs():
    """So that the difference is theirs, also where one study has more seeds."""
    few = {arm: values[:2] for arm, values in B.items()}
    row = rows(study(A), study(few, {"training.lr": 0.05}))["paper"]
    assert (row.a.mean, row.b.mean) == pytest.approx((0.125, 0.105)) and row.a.n == 3
    assert row.difference == pytest.approx(row.b.mean - row.a.mean)


def test_seeds_that_were_added_by_results_are_left_out():
    """Their number says something of the errors: only those that were declared count."""
    a, b = study(A), study(B, {"training.lr": 0.05})
    (section,) = a.spec.comparisons
    declared = replace(section, seeds=(0, 1, 2), until=Until(most=9))
    later = {arm: (*values, 0.5) for arm, values in A.items()}
    a = replace(study(later), spec=a.spec.with_section(declared))
    extra = [replace(t, seed=3, number=t.number + 500, slot=t.slot + 500) for t in a.controls if t.seed == 2]
    a = with_attempts(a, controls=(*a.controls, *extra))
    found = side_by_side(a, b)
    assert [row.a.n for row in found.rows if row.arm in A] == [3, 3]
    assert "added by results" in text(found) and found.by_results == (a.spec.name,)


def test_a_branch_is_compared_without_p():
    """It was added when there were results to see; others are not corrected for it."""

    def branched(record: StudyRecord) -> StudyRecord:
        (section,) = record.spec.comparisons
        kept = tuple(arm for arm in section.design.list if arm.name != "paper")
        moved = tuple(arm for arm in section.design.list if arm.name == "paper")
        declared = replace(section, design=replace(section.design, list=kept))
        added = replace(section, name="branches", design=replace(section.design, list=moved))
        return replace(record, spec=record.spec.with_section(declared).with_section(added))

    found = side_by_side(branched(study(A)), branched(study(B, {"training.lr": 0.05})))
    row = {row.arm: row for row in found.rows}
    assert row["paper"].explored and row["paper"].p_holm is None and row["paper"].difference is not None
    assert row["standard"].p_holm == pytest.approx(row["standard"].p)
    assert "Explored: paper" in text(found)


def test_a_reason_is_given_once():
    """With all that it is the reason for; other images are told at the beginning."""
    a = study(A)
    b = with_attempts(study(B), controls=())
    said = text(side_by_side(a, b))
    assert said.count("no run is complete") == 1 and "standard, paper" in said
    other = text(side_by_side(a, study(B, {"task.split_seed": 1})))
    assert other.count("task.split_seed (0 in A, 1 in B)") == 2


def test_rows_for_machines():
    """JSON and CSV have every arm, with the reason where one is refused."""
    found = side_by_side(study(A), study(B, {"task.split_seed": 1}))
    lines = csv_rows(found).splitlines()
    assert len(lines) == 1 + len(found.rows) and lines[1].endswith(",data")
    assert plain(found)["rows"][0]["refused"]["kind"] == "data"


def test_the_command_compares_stored_studies_and_refuses_what_has_nothing_in_common(command, tmp_path):
    """Two stored studies, from two storages: a row for each arm, in words, JSON and CSV; without a common arm exit 1."""
    other = Command(tmp_path / "other")
    first, second = TINY_STUDY, replace(TINY_STUDY, name="second")
    alone = replace(TINY_STUDY, name="alone", sections=(Arms(design=(Arm(name="mine"),), seeds=(0,)),))
    for runs, spec in ((command, first), (other, second), (command, alone)):
        runs.runs.mkdir(exist_ok=True)
        new_study(runs.settings.storage_url, spec=spec)
    where = ("--storage-b", other.settings.storage_url)
    out = tmp_path / "rows.csv"
    assert (
        "standard and base are not compared"
        in command.quick("study", "compare", "tiny", "second", *where).output
    )
    said = command.quick("study", "compare", "tiny", "second", *where, "--json", "--csv", str(out)).output
    assert [row["arm"] for row in json.loads(said)["rows"]] == ["standard", "base", "leader"]
    assert len(out.read_text().splitlines()) == 4
    assert "nothing to compare" in command.quick("study", "compare", "tiny", "alone", code=1).output
