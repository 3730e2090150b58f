"""What each check of a study's soundness says, and what a person does where it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dashboards import diverged
from dashboards.units import count, duration, percent, significant, value
from reprtune.analysis.check import NOT_YET, Check
from reprtune.settings import program
from reprtune.spec.objectives import COST

ENOUGH_SEEDS = 5
MANY_FOR_LUCK = 10  # as `luck.FEW` has it
MANY_SEEDS, MOST = (
    50,
    1000,
)  # to train more than these is no advice; `analysis.power` looks no further than those
ANEW = "create the study anew under another name"
Numbers = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Worded:
    """A check's title, what its numbers say, and what to do where it fails, both without a full stop.

    The former is given the numbers and whether it fails, the latter the numbers and the name of the study, for commands.
    """

    title: str
    found: Callable[[Numbers, bool], str]
    remedy: Callable[[Numbers, str], str]


def found(check: Check) -> str:
    """What its numbers say, or why it does not apply."""
    if check.outcome == NOT_YET:
        return check.reason
    text = WORDS[check.name].found(check.numbers, check.fails)
    return f"{text[0].upper()}{text[1:]}."


def remedy(check: Check, study: str) -> str:
    """What to do where it fails, as a clause; else nothing."""
    return WORDS[check.name].remedy(check.numbers, study) if check.fails else ""


def sentence(check: Check, study: str) -> str:
    """Of a check that fails: both in one sentence."""
    return f"{found(check).removesuffix('.')}: {remedy(check, study)}."


# -- divergence, the budget, and what is drawn ---------------------------------------------------------------


def _steadier(n: Numbers, _: str) -> str:
    return f"confirm nothing of it, but {ANEW}, {diverged.change(n)}"


def _amount(field: str, number: float) -> str:
    return duration(number) if field == "max_seconds" else value(COST, number)


def _budget(n: Numbers, _: bool) -> str:
    limit = _amount(n["field"], n["limit"])
    if n["n_cut"]:
        return f"{n['n_cut']:,} of {count(n['slots'], 'slot')} of the search lie beyond its {n['field']} of {limit}"
    all_ = _amount(n["field"], n["expected"])
    return (
        f"all {n['slots']:,} slots of the search will take about {all_}, as the {n['n']:,} finished ones did, and its "
        f"{n['field']} is {limit}"
    )


def _larger(n: Numbers, _: str) -> str:
    if n["expected"] is None:
        return f"{ANEW} with a larger {n['field']}, or with fewer slots"
    fewer = max(1, int(n["slots"] * n["limit"] / n["expected"]))
    enough = significant(1.1 * n["expected"], 2).replace(",", "")
    return f"conclude from the {n['n']:,} finished ones, or {ANEW} with --set {n['field']}={enough}, or --set slots={fewer}"


def _draws(n: Numbers, fails: bool) -> str:
    text = f"{n['n_infeasible']:,} of {count(n['n'], 'draw')} did not fit the total and were drawn again"
    corner = (
        ", so that what was trained is a small corner of the space, in which parameters hang on each other"
    )
    return text + corner if fails else text


def _roomier(*_: object) -> str:
    return "take a longer total, or lower upper ends of s1, s2 and cycles"


def _repeats(n: Numbers, fails: bool) -> str:
    of = f", of {n['most']:,} that the space has" if n["most"] is not None else ""
    have = "has" if n["n_repeats"] == 1 else "have"
    text = f"{n['n_repeats']:,} of {count(n['n'], 'slot')} {have} the settings of another one{of}"
    return f"{text}, so that the space is nearly used up" if fails else text


def _wider(*_: object) -> str:
    return "take wider or finer ranges, or fewer slots"


# -- what the search can tell --------------------------------------------------------------------------------


def _effect(n: Numbers, fails: bool) -> str:
    shown = "no parameter is shown" if fails else "a parameter is shown"
    return f"over {count(n['n'], 'complete setting')} {shown} to make a difference"


def _clearer(*_: object) -> str:
    return "choose no settings by this study, but take wider ranges, longer training, or several seeds per trial (--set seeds=3)"


def _prediction(n: Numbers, fails: bool) -> str:
    r2 = f"{n['r2']:.2f}".replace("-", "\N{MINUS SIGN}")
    share = f"cross-validated R² {r2} over {count(n['n'], 'complete setting')}"
    return f"how a trial ends {'cannot' if fails else 'can in part'} be told from its settings ({share})"


def _less_noise(*_: object) -> str:
    return "read no shares, directions or pairs from it, and take wider ranges or several seeds per trial (--set seeds=3)"


def _stopping(n: Numbers, fails: bool) -> str:
    if not fails:
        return f"the rule {n['rule']} would let the best trial (slot {n['slot']}) go on, had it come last"
    return (
        f"the rule {n['rule']} would stop the best trial (slot {n['slot']}) at its rung {n['rung']}, had it come last, so "
        f"that a better one may be among the {n['n_stopped']:,} stopped"
    )


def _milder(n: Numbers, _: str) -> str:
    share = (
        " --set stop.percentile=75, which lets more go on"
        if n["rule"] != "percentile"
        else " and a larger stop.percentile"
    )
    return f"next time take --set stop=none, or --set stop=percentile{share}"


# -- seeds ---------------------------------------------------------------------------------------------------


def _luck(n: Numbers, fails: bool) -> str:
    each = "one seed" if n["seeds"] == 1 else count(n["seeds"], "seed")
    text = f"a trial of the search has {each} and standard {n['n']}"
    if n["hopeless"]:
        return (
            f"the best of a search where nothing helps may lie {100 * n['bound']:.2f} points below standard by luck, "
            f"which has an error of {percent(n['error'])} with {count(n['n'], 'seed')}: no gain could be told from luck"
        )
    return f"{text}, so that a gain can hardly be told from luck" if fails else text


def _tell_luck(n: Numbers, study: str) -> str:
    more = (MANY_FOR_LUCK if n["hopeless"] else ENOUGH_SEEDS) - n["n"]
    confirm = "confirm it on fresh seeds before you believe it"
    if more < 1:
        return confirm
    return (
        f"{confirm}, or give standard more seeds (`{program()} study extend {study} --arms --seeds {more}`)"
    )


def _seeds(where: str) -> Callable[[Numbers, bool], str]:
    def words(n: Numbers, _: bool) -> str:
        if n["n_few"]:
            have = "has" if n["n_few"] == 1 else "have"
            return f"{n['n_few']:,} of {count(n['n'], 'comparison')} of {where} {have} fewer than 3 seeds, and so no interval"
        if n["n_blind"]:
            return (
                f"{n['n_blind']:,} of {count(n['n'], 'comparison')} of {where} could hardly have seen a gain of a tenth of the "
                f"error: {n['arm']} beside {n['control']} ({percent(n['error'])} error, {n['pairs']} seeds) would have to "
                f"differ by {100 * n['smallest']:.2f} points, so that equality is not shown"
            )
        return f"{count(n['n'], 'comparison')} of {where} with {n['fewest']} seeds or more have shown a difference, or could see a tenth of the error"

    return words


def _extend(option: str) -> Callable[[Numbers, str], str]:
    def words(n: Numbers, study: str) -> str:
        wanted = ENOUGH_SEEDS if n["n_few"] else n["wanted"]
        if wanted > MANY_SEEDS:
            many = f"{wanted:,}" if wanted <= MOST else f"more than {MOST:,}"
            return f"it would take {many} seeds, so measure on more images, or look for larger effects"
        more = max(1, wanted - (n["fewest"] if n["n_few"] else n["pairs"]))
        what = "do" if n["n_few"] else "see a tenth of the error"
        return f"{wanted} seeds would {what} (`{program()} study extend {study} --{option} --seeds {more}`)"

    return words


WORDS: dict[str, Worded] = {
    "divergence": Worded(title="Trials that diverged", found=diverged.of_search, remedy=_steadier),
    "arms-divergence": Worded(title="Arms that diverged", found=diverged.of_arms, remedy=_steadier),
    "budget": Worded(title="Budget", found=_budget, remedy=_larger),
    "draws": Worded(title="Draws that do not fit", found=_draws, remedy=_roomier),
    "repeats": Worded(title="Settings drawn again", found=_repeats, remedy=_wider),
    "effect": Worded(title="Effect of the parameters", found=_effect, remedy=_clearer),
    "prediction": Worded(title="Ends told from settings", found=_prediction, remedy=_less_noise),
    "stopping": Worded(title="Stop rule and best trial", found=_stopping, remedy=_milder),
    "luck": Worded(title="Gain or luck", found=_luck, remedy=_tell_luck),
    "arms-seeds": Worded(title="Seeds of the arms", found=_seeds("arms"), remedy=_extend("arms")),
    "confirmation-seeds": Worded(
        title="Seeds of the confirmation", found=_seeds("the confirmation"), remedy=_extend("confirmation")
    ),
}
