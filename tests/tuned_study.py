"""The tiny study with arms that are tuned; also `study create` takes it."""

from __future__ import annotations

from dataclasses import replace

from reprtune.spec.study import Arm, Arms, FloatRange, Tune
from tests.tiny_study import STUDY as TINY

TUNE = Tune(
    space={
        "training.lr": FloatRange(low=0.001, high=0.1, log=True),
        "method.prune_ratio": FloatRange(low=0.3, high=0.6),
    },
    tries=3,
)
ARMS = Arms(
    design=(Arm(name="standard", changes={"method": "standard"}), Arm(name="base")), seeds=(0, 1), tune=TUNE
)
STUDY = replace(TINY, name="tuned", sections=(ARMS,))
