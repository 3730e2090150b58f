"""Arms that name those they must be compared with, of their own budget; and what is said of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dashboards import controls
from dashboards.answer import answer
from reprtune.analysis.confirmation import confirmation
from reprtune.analysis.controls import arm_summaries
from reprtune.analysis.tables import control_rows
from reprtune.errors import SpecError
from reprtune.record.schema import StudyRecord
from reprtune.spec.codec import from_plain, to_plain
from reprtune.spec.designs.arm import Arm
from reprtune.spec.scale import scaled_study
from reprtune.spec.study import StudySpec
from tests.confirmed import confirmed
from tests.factories import make_spec, make_study
from tests.flat import with_attempts

TWICE = {"method": "standard", "training.total": "200ep"}  # of 100 epochs
ARMS = (
    Arm(name="standard", changes={"method": "standard"}),
    Arm(name="twice", changes=TWICE),
    Arm(name="averaging", changes={"method": "averaging"}, against=("twice",)),
    Arm(name="ensemble", changes={"method": "ensemble"}),
    Arm(name="grafting", changes={"method": "grafting"}, against=("averaging", "twice")),
    Arm(name="repr", changes={"method": "repr", "method.cycles": 1}),
)
ERRORS = {
    "standard": 0.30,
    "twice": 0.20,
    "averaging": 0.25,
    "ensemble": 0.28,
    "grafting": 0.22,
    "repr": 0.31,
}


def record() -> StudyRecord:
    """Three seeds of every arm, each with the error above plus a hundredth per seed; `twice` twice as long."""
    study = make_study(1, extras=(), controls=ARMS)
    trials = []
    for trial in study.controls:
        assert trial.arm is not None and trial.history is not None
        history = trial.history
        if trial.arm == "twice":
            last = history.points[-1]
            history = replace(history, points=(*history.points, replace(last, step=2 * last.step)))
        values = {"val_error": ERRORS[trial.arm] + 0.01 * trial.seed, "train_gflops": 10.0}
        trials.append(replace(trial, values=values, history=history))
    return with_attempts(study, controls=tuple(trials))


def test_an_arm_is_compared_with_those_it_names_else_with_standard() -> None:
    """By hand, paired by seed; never with one that had fewer steps: two networks beside one of their length."""
    found = {arm.arm: arm for arm in arm_summaries(record())}
    assert {name: [one.control for one in arm.against] for name, arm in found.items()} == {
        "standard": [], "twice": [], "averaging": ["twice"], "ensemble": [], "grafting": ["averaging", "twice"],
        "repr": ["standard"],
    }  # fmt: skip
    assert {name: arm.budget_factor for name, arm in found.items()} == {
        "standard": 1, "twice": 2, "averaging": 2, "ensemble": 2, "grafting": 2, "repr": 1,
    }  # fmt: skip
    means = [one.difference.mean for one in found["grafting"].against if one.difference]
    assert means == pytest.approx([-0.03, 0.02])


def test_a_table_has_a_row_for_each_comparison() -> None:
    """In controls.csv with all that the arm is, on the page with it once."""
    rows = [row for row in control_rows(record()) if row["arm"] == "grafting"]
    assert [row["control"] for row in rows] == ["averaging", "twice"]
    assert [row["difference_mean"] for row in rows] == pytest.approx([-0.03, 0.02])
    assert [row["n_complete"] for row in rows] == [3, 3]
    [alone] = [row for row in control_rows(record()) if row["arm"] == "ensemble"]
    assert (alone["control"], alone["n_pairs"], alone["budget_factor"]) == (None, None, 2)
    table = controls.words(controls.info(record())).table
    assert table is not None
    at = table.header.index("compared with")
    shown = [row for row in table.rows if row[0] == "grafting"]
    assert [row[at] for row in shown] == ["averaging", "twice"]
    assert shown[0][table.header.index("budget factor")] == "2.00" and set(shown[1][1:at]) == {""}


@pytest.mark.parametrize("params", [900.0, 1000.0])
def test_sizes_stand_where_arms_differ_in_them(params: float) -> None:
    """What an arm leaves, the mean over its seeds: on the page where it is not the same for all, always in the file."""
    study = record()
    sizes = {"params": 1000.0, "inference_gflops": 0.5}
    own = {**sizes, "params": params}
    trials = [
        replace(t, values={**t.values, **(own if t.arm == "grafting" else sizes)}) for t in study.controls
    ]
    study = with_attempts(study, controls=tuple(trials))
    rows = {row["arm"]: (row["params"], row["inference_gflops"]) for row in control_rows(study)}
    assert rows["grafting"] == (params, 0.5) and rows["standard"] == (1000.0, 0.5)
    table = controls.words(controls.info(study)).table
    assert table is not None and ("parameters" in table.header) is (params == 900.0)
    if params == 900.0:
        at = table.header.index("parameters")
        assert {row[0]: row[at : at + 2] for row in table.rows if row[1]}["grafting"] == ("900", "0.5")


def test_the_answer_says_against_which_arm() -> None:
    """Each with those that it names; and why there is none."""
    study = with_tests(record())
    said = " ".join(answer(study))
    same = "differ by the same"
    assert f"grafting against averaging: all 3 declared seeds {same} \N{MINUS SIGN}3.00 points" in said
    assert f"grafting against twice: all 3 declared seeds {same} +2.00 points" in said
    assert "Arm ensemble is held against no other: it had 2.00 times the budget of standard." in said
    assert f"repr against standard: all 3 declared seeds {same} +1.00 points" in said


def with_tests(study: StudyRecord) -> StudyRecord:
    """With test errors that are the validation errors."""
    return with_attempts(
        study,
        controls=[
            replace(t, result={**t.result, "test_error": (t.values or {})["val_error"]})
            for t in study.controls
        ],
    )


def test_the_picture_names_both() -> None:
    """Where any arm is compared with another than standard."""
    drawn = controls.figure(controls.info(record()))
    named = [
        name for trace in drawn.data if trace.name == "mean difference, 95 % interval" for name in trace.y
    ]
    assert named == ["averaging - twice", "grafting - averaging", "grafting - twice", "repr - standard"]


def test_a_confirmation_without_leaders_compares_the_same_arms() -> None:
    """On test images, by fresh seeds."""
    found = confirmation(confirmed(record(), {name: [e, e + 0.01, e + 0.03] for name, e in ERRORS.items()}))
    assert found is not None
    assert [(c.arm, c.control) for c in found.comparisons] == [
        ("averaging", "twice"), ("grafting", "averaging"), ("grafting", "twice"), ("repr", "standard"),
    ]  # fmt: skip
    assert [c.difference.mean for c in found.comparisons if c.difference] == pytest.approx(
        [0.05, -0.03, 0.02, 0.01]
    )


# -- as it is written down --------------------------------------------------------------------------


def test_studies_of_before_have_the_same_text() -> None:
    """`against` is written only where it says something, and read back."""
    assert to_plain(ARMS[0]) == {"name": "standard", "changes": {"method": "standard"}}
    assert to_plain(ARMS[2])["against"] == ["twice"]
    study = make_spec(controls=ARMS)
    assert from_plain(StudySpec, to_plain(study)) == study


def test_an_arm_names_others_of_the_study() -> None:
    """Not itself, and nobody who is not there."""
    for wrong in ("nobody", "b"):
        with pytest.raises(
            SpecError, match=rf"b\.against must name other arms of the study, but got '{wrong}'"
        ):
            make_spec(controls=(ARMS[0], Arm(name="b", against=(wrong,))))


def test_an_arm_is_not_compared_with_one_that_is_trained_for_less() -> None:
    """Refused before anything is trained, with both lengths: two networks of 100 epochs are 200."""
    unfair = Arm(name="b", changes={"method": "averaging"}, against=("standard",))
    with pytest.raises(
        SpecError, match=r"its networks are trained for 200ep in all, those of standard for 100ep"
    ):
        make_spec(controls=(ARMS[0], unfair))
    fair = Arm(name="b", changes={"method": "averaging"}, against=("twice",))
    assert make_spec(controls=(*ARMS[:2], fair)).arms[2].against == ("twice",)


def test_the_length_of_an_arm_keeps_its_share_of_another_total() -> None:
    """Twice 100 epochs is twice 10 in a study of 10."""
    scaled = scaled_study(make_spec(controls=ARMS), total="10ep")
    lengths = {arm: trial.training.total for arm, _, trial in scaled.arm_cells()}
    assert {arm: str(total) for arm, total in lengths.items()} == dict.fromkeys(ERRORS, "10ep") | {
        "twice": "20ep"
    }
