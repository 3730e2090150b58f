"""What a study would be, in words, before anything runs."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Any

from dashboards.paired import smallest_text
from dashboards.units import count, listed, significant
from reprtune.analysis.plan import Cost, Plan, RulePlan, SectionPlan
from reprtune.analysis.plan_factors import EffectPlan
from reprtune.spec.parts.places import short_path

WIDTH = 110


def plan_numbers(plan: Plan) -> dict[str, Any]:
    """As JSON values."""
    return dataclasses.asdict(plan)


def plan_text(plan: Plan) -> str:
    """Everything, section by section, then what they cost together and what their seeds could see."""
    lines = [f"{plan.name}, before anything runs"]
    for section in plan.sections:
        lines += ["", *_section(plan, section)]
    if plan.arms.runs:
        lines += ["", "all arms together"]
        lines += _wrapped(_cost(plan.arms))
        if plan.most.runs > plan.arms.runs:
            lines += _wrapped(f"if every seed is added that may be: {_cost(plan.most)}")
    lines += ["", *_rules(plan)]
    return "\n".join(lines)


# -- sections ---------------------------------------------------------------------------------------


def _section(plan: Plan, one: SectionPlan) -> list[str]:
    what = f"{one.design}: {one.line}" if one.design else one.line
    lines = [f"{one.name} ({what})"]
    lines += _wrapped(_size(one))
    if one.factors:
        lines += _factors(one)
    elif one.arms:
        lines += _wrapped(f"arms: {', '.join(one.arms)}")
    lines += _budgets(one)
    lines += _left_out(one)
    if one.resolution is not None:
        lines += _fraction(one)
    if one.cost is not None:
        lines += _wrapped(f"alone: {_cost(one.cost)}" if one.arms else _upper(one.cost))
    return lines + _effects(plan, one) + _tuning(one)


def _effects(plan: Plan, one: SectionPlan) -> list[str]:
    """The smallest effects that a factorial design shows, those that are alike together."""
    if not one.effects:
        return []
    if one.effects[0].one is None:
        return _wrapped("factors: no interval for their effects, for that needs three seeds")
    lines = _wrapped(
        "the smallest effects that these seeds show in four of five studies, each a mean over all other factors, where seeds do not "
        "change what a factor does:"
    )
    alike: dict[tuple[bool, float], list[EffectPlan]] = {}
    for effect in one.effects:
        alike.setdefault((effect.is_pair, round(effect.one or 0, 9)), []).append(effect)
    for those in alike.values():
        first = those[0]
        said = f"{listed([each.name for each in those])}: {_effect(plan, first.one or 0.0)} for one"
        said += f", {_effect(plan, first.corrected or 0.0)} corrected for {first.m}" if first.m > 1 else ""
        lines += _wrapped(said, indent=4)
    return lines


def _tuning(one: SectionPlan) -> list[str]:
    """How its arms are tuned; nothing where they are not."""
    if one.tuning is None:
        return []
    seeds = "" if one.try_seeds == 1 else f" with {count(one.try_seeds, 'seed')}"
    fields = listed([short_path(path) for path in one.tuned])
    return [
        *_wrapped(f"tuned first: each arm by {count(one.tries, 'try', 'tries')}{seeds} of {fields}, on seeds of their own; the best on the validation part is trained with the seeds above"),
        *_wrapped(f"tuning: {_cost(one.tuning)}"),
    ]  # fmt: skip


def _factors(one: SectionPlan) -> list[str]:
    """What is varied, and in how many regimes the factor of the question is held against its other levels."""
    lines = _wrapped(f"factors: {', '.join(f'{f} ({listed(levels)})' for f, levels in one.factors.items())}")
    if one.asked is None:
        return lines
    first, *controls = one.factors[one.asked]
    regimes = math.prod(len(levels) for factor, levels in one.factors.items() if factor != one.asked)
    asks = f"asks about {one.asked}: {first} against {listed(controls)}, in {count(regimes, 'regime')}"
    return lines + _wrapped(asks)


def _budgets(one: SectionPlan) -> list[str]:
    """Of the arms that are not trained for as long as standard; of many how many there are."""
    others = {arm: f"{factor:.2f}" for arm, factor in one.budgets.items() if round(factor, 2) != 1}
    if not others:
        return []
    said = [f"{arm} {factor}" for arm, factor in others.items()]
    if one.factors:
        said = [f"{factor} of {count(n, 'arm')}" for factor, n in Counter(others.values()).items()]
    rest = "; all others 1" if len(others) < len(one.budgets) else ""
    return _wrapped(f"budget factors: {', '.join(said)}{rest}")


def _size(one: SectionPlan) -> str:
    """Runs and seeds."""
    if not one.arms:
        seeds = "" if len(one.seeds) == 1 else f", {count(len(one.seeds), 'seed')} each"
        return f"{count(one.most, 'trial')} at most{seeds}"
    most = "" if one.most_arms == len(one.arms) else f", at most {one.most_arms} as results come"
    runs = count(one.fewest, "run")
    if one.most > one.fewest:
        runs = f"{one.fewest:,} runs at least, {one.most:,} at most"
    return f"{count(len(one.arms), 'arm')}{most}, {_seeds(one.seeds)}: {runs}"


def _seeds(seeds: Sequence[int]) -> str:
    """`seeds 0 to 4`, or each."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {listed([str(seed) for seed in seeds])}"


def _left_out(one: SectionPlan) -> list[str]:
    """What leave-one-out tries, what it is told to keep, and what cannot be tried."""
    lines = []
    if one.left_out:
        said = ", ".join(f"{factor} ({level} instead)" for factor, level in one.left_out)
        lines += _wrapped(f"left out, one at a time: {said}")
    if one.kept:
        lines += _wrapped(f"kept, because the study says so: {listed(one.kept)}")
    for factor, level, why in one.refused:
        lines += _wrapped(f"cannot be left out: {factor} ({level} instead): {why.splitlines()[0]}")
    return lines


def _fraction(one: SectionPlan) -> list[str]:
    """Resolution, and what is not told apart."""
    lines = []
    if one.resolution is not None and one.resolution > 4:
        lines += _wrapped(f"resolution {one.resolution}: all effects and interactions of two are told apart")
    elif one.resolution == 4:
        lines += _wrapped(
            "resolution 4: every effect is told apart from the others and from interactions of two; these are not all "
            "told apart from each other"
        )
    else:
        lines += _wrapped(
            "resolution 3: effects are told apart from each other, but not from all interactions of two"
        )
    groups = dict.fromkeys(tuple(sorted((term, *others), key=_order)) for term, others in one.aliases.items())
    return lines + [line for group in groups for line in _wrapped(f"not told apart: {' = '.join(group)}")]


def _order(term: str) -> tuple[int, str]:
    """Factors before interactions."""
    return term.count(":"), term


# -- cost -------------------------------------------------------------------------------------------


def _cost(cost: Cost) -> str:
    """`12 trainings, 480 epochs (9,600 steps); 420 (8,400) where beginnings are shared`."""
    said = f"{count(cost.runs, 'run')}"
    if cost.trainings != cost.runs:
        said += f" ({cost.trainings:,} networks)"
    said += f", {_epochs(cost.epochs)} epochs ({cost.steps:,} steps)"
    if cost.shared_steps is None or cost.shared_epochs is None or cost.shared_steps == cost.steps:
        return said + ("" if cost.shared_steps is None else "; nothing is shared")
    saved = 1 - cost.shared_steps / cost.steps
    return f"{said}; {_epochs(cost.shared_epochs)} epochs ({cost.shared_steps:,} steps, {saved:.0%} less) with what they share"


def _upper(cost: Cost) -> str:
    return f"at most {_epochs(cost.epochs)} epochs ({cost.steps:,} steps) at the length of the base: none stopped early, nothing shared"


def _epochs(n: float) -> str:
    return f"{n:,.0f}" if n >= 100 or n == round(n) else significant(n)


# -- rules ------------------------------------------------------------------------------------------


def _rules(plan: Plan) -> list[str]:
    """What decides, and the smallest effect that would be seen."""
    if not plan.rules:
        if any(one.factors for one in plan.sections):
            said = "No rule: what each factor does is compared over all combinations of the others."
            return [said, *(_wrapped(_sd(plan)) if any(one.effects for one in plan.sections) else ())]
        return ["No rule: nothing is compared with anything."]
    m = len(plan.rules)
    lines = [f"decides, {count(m, 'rule')}", *(f"  {rule.pair}: {_n(rule)}" for rule in plan.rules)]
    lines += ["", "the smallest difference that these seeds show in four of five studies (power of 80 %)"]
    for n, most in dict.fromkeys((rule.n, rule.most) for rule in plan.rules):
        rule = next(one for one in plan.rules if (one.n, one.most) == (n, most))
        lines += _wrapped(_smallest(plan, rule, m))
    return lines + _wrapped(_sd(plan))


def _n(rule: RulePlan) -> str:
    if not rule.n:
        return "by fresh seeds, chosen when it is confirmed"
    return count(rule.n, "seed") + (f", {rule.most} at most" if rule.most > rule.n else "")


def _smallest(plan: Plan, rule: RulePlan, m: int) -> str:
    if not rule.n:
        return "by fresh seeds: known once their number is (study confirm --seeds)"
    if rule.one is None or rule.corrected is None:
        return f"{count(rule.n, 'seed')}: none, for an interval needs three"
    said = f"{count(rule.n, 'seed')}: {_effect(plan, rule.one)} for one comparison"
    if m > 1:
        said += f", {_effect(plan, rule.corrected)} corrected for {m} rules"
    if rule.at_most is not None and rule.most > rule.n:
        said += f"; at best {_effect(plan, rule.at_most)} with {rule.most} seeds, for looking several times costs some"
    return said


def _effect(plan: Plan, effect: float) -> str:
    points = "" if plan.sd is None else f" ({smallest_text(effect * plan.sd)} points)"
    return f"{effect:.2f} sd{points}"


def _sd(plan: Plan) -> str:
    what = "sd: of the paired differences, seed by seed"
    if plan.sd is None:
        return f"{what}; how large it is here is not known: --sd 0.5 says 0.5 percentage points"
    return f"{what}, {smallest_text(plan.sd)} points{' in the stored study of that name' if plan.measured else ', as given'}"


def _wrapped(text: str, indent: int = 2) -> list[str]:
    before = " " * indent
    return textwrap.wrap(
        text, WIDTH, initial_indent=before, subsequent_indent=f"{before}  ", break_on_hyphens=False
    )
