"""A study whose numbers the tests of this folder count with: 100 epochs, cycles of 20 + 10."""

from __future__ import annotations

from reprtune.spec.duration import Duration
from reprtune.spec.presets import compose
from reprtune.spec.space import Choice, DurationRange, FloatRange, IntRange
from reprtune.spec.study import Arm
from reprtune.spec.training import TrainingSpec
from reprtune.spec.trial import TrialSpec
from tests.flat import study_of


def durations(low: str, high: str, step: str = "1ep") -> DurationRange:
    return DurationRange(low=Duration.parse(low), high=Duration.parse(high), step=Duration.parse(step))


METHOD = compose(
    cycles=3,
    s1=Duration.parse("20ep"),
    s2=Duration.parse("10ep"),
    criterion="ortho",
    prune_ratio=0.3,
    scope="global",
    exclude_first=True,
    restore="orthogonal",
)
TRIAL = TrialSpec(training=TrainingSpec(total=Duration.parse("100ep")), method=METHOD)
STUDY = study_of(
    name="example",
    question="q",
    decision="d",
    cost="c",
    base=TRIAL,
    space={
        "method.prune_ratio": FloatRange(low=0.1, high=0.6, step=0.05),
        "method.s1": durations("5ep", "30ep", "5ep"),
        "method.s2": durations("5ep", "20ep", "5ep"),
        "method.cycles": IntRange(low=1, high=4),
        "method.criterion": Choice(options=("ortho", "ortho-dim", "l2", "random")),
    },
    controls=(
        Arm(name="standard", changes={"method": "standard"}),
        Arm(name="paper", changes={"method.s1": "20ep", "method.s2": "10ep", "method.criterion": "ortho"}),
        Arm(name="random-drop", changes={"method.s1": "20ep", "method.criterion": "random"}),
    ),
)
