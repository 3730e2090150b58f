"""Studies of arms with errors that the test chooses: leave-one-out of RePr, and arms against standard."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.designs.arm import Arm
from reprtune.spec.designs.leave_one_out import LeaveOneOut
from reprtune.spec.designs.named import NamedArms
from reprtune.spec.sections.arms import Arms, Design
from tests.factories import comparison, make_trial

Errors = Mapping[str, Sequence[float | str | None]]
STANDARD = Arm(name="standard", changes={"method": "standard"})
WHOLE = Arm(name="repr", changes={"method": "repr"}, against=("standard",))


def designed(
    design: Design, errors: Errors, *more: Arm, cost: Mapping[str, float] | None = None
) -> StudyRecord:
    """A comparison of a design's arms, and more, with test errors by seed from 0 on: an outcome in place of a number,
    None for a run that waits."""
    n = max(map(len, errors.values()))
    sections: list[Arms] = [Arms(name="arms", design=design, seeds=tuple(range(n)))]
    if more:
        sections.insert(0, Arms(name="plain", design=NamedArms(list=more), seeds=tuple(range(n))))
    record = comparison()
    spec = replace(record.spec, sections=tuple(sections))
    attempts = {
        section.name: tuple(
            _run(record, slot, arm.name, section.name, seed, _at(errors, arm.name, seed), cost or {})
            for slot, (arm, seed) in enumerate(section.cells(spec.base))
        )
        for section in sections
    }
    return replace(record, spec=spec, attempts=attempts)


def _at(errors: Errors, arm: str, seed: int) -> float | str | None:
    return errors[arm][seed] if seed < len(errors.get(arm, ())) else None


def _run(
    record: StudyRecord,
    slot: int,
    arm: str,
    section: str,
    seed: int,
    error: float | str | None,
    cost: Mapping[str, float],
) -> TrialRecord:
    outcome = "waiting" if error is None else error if isinstance(error, str) else "complete"
    number = 1000 * (section != "plain") + slot
    made = make_trial(
        record.spec, number, outcome, slot=slot, arm=arm, seed=seed, params={}, rng=random.Random(number)
    )
    made = replace(made, section=section)
    if not isinstance(error, float):
        return made
    gflops = cost.get(arm, 100.0) * (1 + 0.01 * ((seed * 7) % 5 - 2))
    values = {"val_error": error + 0.004, "train_gflops": gflops}
    return replace(
        made, values=values, result={**made.result, "test_error": error, "gflops_spent": 0.6 * gflops}
    )


def leave_one_out(n: int = 5, *, gains: Mapping[str, float] | None = None, seed: int = 0) -> StudyRecord:
    """RePr against standard and against itself without each of its parts; `gains`: by how much the test error rises
    without a part, by the name of its arm; other parts do nothing."""
    rng = np.random.default_rng(seed)
    design = LeaveOneOut(arm=WHOLE)
    names = [arm.name for arm in design.arms(comparison().spec.base)]
    of_seed = rng.normal(0.06, 0.004, n)
    errors = {
        name: tuple(
            float(e + (gains or {}).get(name, 0.0) + x)
            for e, x in zip(of_seed, rng.normal(0, 0.0012, n), strict=True)
        )
        for name in ("standard", *names)
    }
    return designed(design, errors, STANDARD)
