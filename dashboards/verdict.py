"""What a confirmation says, in sentences that claim no more than its numbers do."""

from __future__ import annotations

from dashboards.units import count, percent, points, settings
from reprtune.analysis.confirmation import Confirmation, ConfirmedArm
from reprtune.analysis.paired import MIN_PAIRS, Difference
from reprtune.record.labels import slot_label


def sentences(found: Confirmation) -> tuple[str, ...]:
    """What stands beside the rules that it decides: what is missing, by how much the selection flattered, what it has
    to compare with nothing, and what diverged."""
    said = [unfinished(found)]
    if not found.comparisons:
        said += [_alone(arm) for arm in found.arms]
    if found.leader:
        said.append(optimism(found.leader))
        others = sum(arm.slot is not None for arm in found.arms) - 1
        if others:
            said.append(
                f"{count(others, 'further leader')}: see the confirmation's page. None was chosen by its test error."
            )
    said += [
        f"{count(a.n_diverged, 'run')} of {a.arm} diverged on fresh seeds."
        for a in found.arms
        if a.n_diverged
    ]
    return tuple(s for s in said if s)


def unfinished(found: Confirmation) -> str:
    if not found.open:
        return ""
    return (
        f"The confirmation is unfinished: {found.open} of {count(found.runs, 'run')} are left, and what follows "
        "may change."
    )


def _alone(arm: ConfirmedArm) -> str:
    if arm.test_mean is None:
        return ""
    return f"On test images: {_name(arm)} has {mean_sd(arm.test_mean, arm.test_sd)} error over {count(arm.n, 'fresh seed')}."


def optimism(arm: ConfirmedArm) -> str:
    """What the best of the search reached when it was selected, and what it reaches on seeds it was not: on the
    same validation images, so that what they flatter is not in it."""
    d = arm.optimism
    if d is None or arm.search_val is None or arm.val_mean is None:
        return ""
    return (
        f"The validation error of {_short(arm)} was {percent(arm.search_val)} when it was selected and is "
        f"{mean_sd(arm.val_mean, arm.val_sd)} on {count(d.n, 'fresh seed')}, same validation images: {_flattered(d)}."
    )


def _flattered(d: Difference) -> str:
    if d.low is None or d.high is None:
        why = "they all differ from it by the same amount" if d.n >= MIN_PAIRS else "these are too few"
        return f"{why}, so nothing is said of how far the selection flattered it"
    interval = f"{points(d.low)} to {points(d.high)}"
    if d.low > 0:
        return f"the selection flattered it by {100 * d.mean:.2f} points (95 % interval {interval})"
    if d.high < 0:
        return f"the selection did not flatter it ({points(d.mean)} points, 95 % interval {interval})"
    return (
        f"the selection is not shown to have flattered it ({points(d.mean)} points, 95 % interval {interval})"
    )


def _name(arm: ConfirmedArm) -> str:
    return f"{_short(arm)} ({settings(arm.params)})" if arm.params and arm.slot is not None else _short(arm)


def _short(arm: ConfirmedArm) -> str:
    return f"arm {arm.arm}" if arm.slot is None else slot_label(arm.slot)


def mean_sd(mean: float, sd: float | None) -> str:
    return percent(mean) if sd is None else f"{100 * mean:.2f} ± {100 * sd:.2f} %"
