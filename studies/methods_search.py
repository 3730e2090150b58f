"""Which method, with which of its settings? One search over whole methods.

An option is drawn only where the method that was drawn has it: `blend_a` with grafting, `pull` with c-sgd, `prune_ratio`
with all that rank filters. Two networks cost twice as much, so the cost is an objective too: what takes more has to be
better for it.
"""

from __future__ import annotations

from reprtune.spec.duration import Duration
from reprtune.spec.presets import compose
from reprtune.spec.stop_rules import NoStop
from reprtune.spec.study import (
    LEADER,
    Arm,
    Arms,
    Choice,
    DurationRange,
    FloatRange,
    IntRange,
    Rule,
    Search,
    StudySpec,
    named,
)
from reprtune.spec.task import ModelSpec, TaskSpec
from reprtune.spec.training import TrainingSpec
from reprtune.spec.trial import TrialSpec

METHODS = (  # all that have something to search; plain training is an arm, and averaging is grafting with blend_a = 0
    *("repr", "sfp", "dsd", "redo", "transforms", "c-sgd"),
    *("knowledge-evolution", "ban", "grafting"),
)


def _epochs(low: int, high: int) -> DurationRange:
    return DurationRange(
        low=Duration.parse(f"{low}ep"), high=Duration.parse(f"{high}ep"), step=Duration.parse("10ep")
    )


STUDY = StudySpec(
    name="methods",
    question="Which method of the family, with which settings, leaves the lowest error, and at what cost?",
    decision=(
        "The best may be two networks that cost twice as much, so plain training of that cost has to be beaten. The study "
        "family compares methods arm by arm."
    ),
    cost="48 trials and 6 controls of 100 epochs on 8x8 images: about 10 minutes on two CPU cores (estimated).",
    base=TrialSpec(
        task=TaskSpec(dataset="digits"),
        model=ModelSpec(name="convnet-3"),
        training=TrainingSpec(total=Duration.parse("100ep")),
        method=compose(cycles=2),
    ),
    sections=(
        Arms(
            name="controls",
            design=named(
                Arm(name="standard", changes={"method": "standard"}),
                Arm(name="standard-twice", changes={"method": "standard", "training.total": "200ep"}),
            ),
            seeds=(0, 1, 2),
        ),
        Search(
            space={
                "method": Choice(options=METHODS),
                "method.cycles": IntRange(low=1, high=3),  # repr, dsd, transforms, with their lengths
                "method.s1": _epochs(10, 30),
                "method.s2": _epochs(10, 30),
                "method.prune_ratio": FloatRange(low=0.1, high=0.5, step=0.1),  # repr, sfp, redo, transforms
                "method.weight_ratio": FloatRange(low=0.2, high=0.6, step=0.1),  # dsd
                "method.kept_share": FloatRange(low=0.5, high=0.875, step=0.125),  # c-sgd
                "method.pull": FloatRange(low=0.02, high=0.06, step=0.01),  # c-sgd
                "method.fixed_share": FloatRange(low=0.2, high=0.8, step=0.1),  # knowledge-evolution
                "method.generations": IntRange(low=2, high=5),  # knowledge-evolution, ban
                "method.blend_a": FloatRange(low=0.0, high=0.8, step=0.2),  # grafting
            },
            objectives=("val_error", "train_gflops"),
            stop=NoStop(),  # a generation that has just begun is no bad trial
            slots=48,
        ),
    ),
    rules=(
        Rule(
            arm=LEADER,
            control="standard-twice",
            helps="This method does better here than plain training of at least its cost.",
            otherwise="Plain training, for as long as the dearest method takes, may be as good.",
        ),
    ),
)  # fmt: skip
