"""What a confirmation says, in sentences that claim no more than its numbers do."""

from __future__ import annotations

from dashboards.paired import no_interval
from dashboards.units import count, percent, points, settings
from reprtune.analysis.confirmation import Confirmation, ConfirmedArm
from reprtune.analysis.controls import BASELINE
from reprtune.analysis.paired import Comparison, Difference
from reprtune.record.labels import slot_label


def sentences(found: Confirmation) -> tuple[str, ...]:
    """The best of the search against every control, `standard` first; without a search every control
    against standard. Then by how much the selection flattered, and what is missing."""
    arms = {arm.arm: arm for arm in found.arms}
    first = found.leader.arm if found.leader else None
    shown = [c for c in found.comparisons if first in (None, c.arm)]
    if found.open and all(c.difference is None for c in shown):
        shown = []  # it has hardly begun, and that is said
    shown.sort(key=lambda c: c.control != BASELINE)
    said = [unfinished(found)]
    for i, c in enumerate(shown):  # the settings of the same leader once
        known = bool(first) and i > 0
        said.append(compared(c, arms[c.arm], len(found.comparisons), known=known))
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


def compared(c: Comparison, arm: ConfirmedArm, family: int, *, known: bool = False) -> str:
    """One comparison on the test part, with its interval and corrected p; `known`: without the settings."""
    name = _short(arm) if known else _name(arm)
    control = "standard training" if c.control == BASELINE else f"arm {c.control}"
    d = c.difference
    if d is None:
        return f"On test images: no fresh seed is complete both in {_short(arm)} and in {control}."
    numbers = f"{points(d.mean)} points of test error"
    if d.low is None or d.high is None:
        return (
            f"On test images: {name} against {control}: {numbers}, paired over "
            f"{count(d.n, 'fresh seed')}; {no_interval(d)}.{_chance(c.with_chance)}"
        )
    numbers += f" (95 % interval {points(d.low)} to {points(d.high)}), {count(d.n, 'fresh seed')}"
    verb = {
        "lower": "has a lower error than", "higher": "has a higher error than",
        "not shown": "is not shown to differ from", "unknown": "cannot be judged against",
    }[c.verdict]  # fmt: skip
    if c.verdict == "not shown" and not d.low <= 0 <= d.high:  # the uncorrected interval says otherwise
        verb = "is not shown to differ, after correction, from"
    tail = (
        "all seeds differ by the same amount, so there is no spread to judge by"
        if c.p_holm is None
        else f"{p_text(c.p_holm)} after correction for {count(family, 'comparison')}"
    )
    return f"On test images: {name} {verb} {control}: {numbers}, {tail}.{_chance(c.with_chance)}"


def _alone(arm: ConfirmedArm) -> str:
    if arm.test_mean is None:
        return ""
    return f"On test images: {_name(arm)} has {mean_sd(arm.test_mean, arm.test_sd)} error over {count(arm.n, 'fresh seed')}."


def optimism(arm: ConfirmedArm) -> str:
    """What the best of the search reached when it was selected, and what it reaches on seeds it was not."""
    if arm.optimism is None or arm.search_val is None or arm.val_mean is None:
        return ""
    how = (
        f"the selection flattered it by {100 * arm.optimism:.2f} points"
        if arm.optimism >= 5e-5
        else "the selection did not flatter it"
    )
    return (
        f"Its validation error was {percent(arm.search_val)} when it was selected and is "
        f"{mean_sd(arm.val_mean, arm.val_sd)} on fresh seeds: {how}."
    )


def _name(arm: ConfirmedArm) -> str:
    return f"{_short(arm)} ({settings(arm.params)})" if arm.params and arm.slot is not None else _short(arm)


def _short(arm: ConfirmedArm) -> str:
    return f"arm {arm.arm}" if arm.slot is None else slot_label(arm.slot)


def _chance(d: Difference | None) -> str:
    if d is None:
        return ""
    interval = (
        "" if d.low is None or d.high is None else f" (95 % interval {points(d.low)} to {points(d.high)})"
    )
    return f" With chance error in the place of diverged runs: {points(d.mean)} points{interval}."


def mean_sd(mean: float, sd: float | None) -> str:
    return percent(mean) if sd is None else f"{100 * mean:.2f} ± {100 * sd:.2f} %"


def p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
