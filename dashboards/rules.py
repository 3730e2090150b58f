"""What the rules of a study say, each in a sentence that begins with its verdict."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.paired import needed_text, smallest_text
from dashboards.units import count, listed, p_text, points
from reprtune.analysis.decisions import Decided, Verdict, Why
from reprtune.analysis.paired import MIN_PAIRS, Difference
from reprtune.record.labels import slot_label
from reprtune.record.leaders import leader_slot
from reprtune.spec.decisions import LEADER, Rule

FEW = 6  # rules that are told one by one; of more a sentence tells the verdicts, and the page of decisions the rest
WORDS = {
    Verdict.HELPS: "Helps",
    Verdict.NOT_SHOWN: "Not shown to help",
    Verdict.HARMS: "Harms",
    Verdict.OPEN: "Not decided yet",
    Verdict.EXPLORED: "Explored",
}


def sentences(found: Sequence[Decided]) -> tuple[str, ...]:
    """One for each rule, and one for all that nothing is decided of for the same reason; or one for all rules where
    there are many."""
    if len(found) > FEW:
        return (summary(found),)
    open_: dict[str, list[str]] = {}
    for one in found:
        if one.verdict is Verdict.OPEN:
            open_.setdefault(_why(one, len(found)) + "." + _missing(one), []).append(pair(one))
    decided = [sentence(one, len(found)) for one in found if one.verdict is not Verdict.OPEN]
    return (*decided, *(f"{WORDS[Verdict.OPEN]}: {'; '.join(pairs)}: {why}" for why, pairs in open_.items()))


def sentence(one: Decided, m: int) -> str:
    """The verdict, what was compared, what it rests on, and what follows; `m` rules are one family."""
    parts = (_power(one), one.follows)
    return " ".join(
        (f"{WORDS[one.verdict]}: {pair(one)}: {_why(one, m)}.{_missing(one)}", *filter(None, parts))
    )


def summary(found: Sequence[Decided]) -> str:
    """How many rules say what, and which of them say something; nothing without rules."""
    if not found:
        return ""
    parts = []
    for verdict, words in WORDS.items():
        those = [one for one in found if one.verdict == verdict]
        if those:
            named = verdict in (Verdict.HELPS, Verdict.HARMS)
            which = f" ({'; '.join(pair(one) for one in those)})" if named else _reasons(those)
            parts.append(f"{words}: {len(those)} of {count(len(found), 'rule')}{which}.")
    return " ".join((*parts, _range(found)))


def _reasons(those: Sequence[Decided]) -> str:
    reasons = list(dict.fromkeys(one.why.value for one in those if one.why))
    return f" ({listed(reasons)})" if reasons else ""


def _range(found: Sequence[Decided]) -> str:
    """What they could have seen, of all that are decided."""
    sizes = sorted(one.smallest for one in found if one.smallest is not None and one.why is None)
    if not sizes:
        return ""
    low, high = smallest_text(sizes[0]), smallest_text(sizes[-1])
    seen = low if low == high else f"{low} to {high}"
    return f"What these seeds would have shown in four of five studies: differences of {seen} points."


def pair(one: Decided) -> str:
    """`paper against standard`; of the best of the search, which slot it is."""
    slot = leader_slot(one.arm) if one.rule.arm == LEADER else None
    if slot is None:
        return one.rule.pair
    what = "best" if one.is_best else "most accurate"
    return f"{slot_label(slot)}, the {what} of the search, against {one.rule.control}"


def _why(one: Decided, m: int) -> str:
    """What the verdict rests on, or why there is none."""
    d = one.comparison.judged
    if one.why is None or one.why is Why.MORE_TRAINING:
        assert d is not None
        said = (
            f"the same to the last digit with {_seeds(one, d)}"
            if d.is_constant
            else f"{difference(one, d)}, {_corrected(one, m)}"
        )
        more = f"; but it was trained for more than {one.rule.control}, so a lower error says nothing"
        return said + (more if one.why else "")
    if one.why is Why.UNFINISHED:
        of = "of the confirmation" if one.fresh else "of arms"
        return f"{count(one.left, 'run')} {of} {'is' if one.left == 1 else 'are'} left"
    if one.why is Why.NOT_MEASURED and d is not None:
        return f"{one.why.value}; {difference(one, d)}{_chance(one)}"
    if one.why is Why.FEW_PAIRS:
        runs = "runs" if one.comparison.with_chance else "complete runs"  # of which some diverged
        return f"{count(d.n if d else 0, 'pair')} of {runs}, and an interval needs {MIN_PAIRS}"
    if one.why is Why.NO_SPREAD and d is not None:
        return f"all {_seeds(one, d)} differ by the same {points(d.mean)} points, so there is no spread to judge by"
    return one.why.value


def difference(one: Decided, d: Difference) -> str:
    """With its interval and seeds, and the part it was measured on."""
    interval = (
        "" if d.low is None or d.high is None else f" (95 % interval {points(d.low)} to {points(d.high)})"
    )
    return f"{points(d.mean)} points of {one.comparison.measured_on} error{interval}, {_seeds(one, d)}"


def _seeds(one: Decided, d: Difference) -> str:
    return count(d.n, "fresh seed" if one.fresh else "declared seed")


def _corrected(one: Decided, m: int) -> str:
    p = one.comparison.p_holm
    said = "" if p is None else p_text(p) + ("" if m == 1 else f" after correction for {m} rules")
    return said + _chance(one)


def _chance(one: Decided) -> str:
    return ", diverged runs with chance error" if one.comparison.with_chance else ""


def _missing(one: Decided) -> str:
    if not one.missing or one.why not in (None, Why.FEW_PAIRS):
        return ""
    return f" {count(one.missing, 'seed')} without a pair: a run failed or diverged."


def _power(one: Decided) -> str:
    """What these seeds could have seen, and, where they have not shown anything, how many would."""
    if one.smallest is None or one.why is not None:
        return ""
    seen = f"These seeds would have shown a difference of {smallest_text(one.smallest)} points in four of five studies"
    if one.verdict is not Verdict.NOT_SHOWN:
        return f"{seen}."
    return f"{seen}; one as large as the one seen would take {needed_text(one.needed)} seeds."


def rules_text(rules: Sequence[Rule]) -> str:
    """What decides, in words; of many rules only which they are."""
    if len(rules) > FEW:
        return "; ".join(rule.pair for rule in rules)
    numbered = len(rules) > 1
    return " ".join(f"({i}) {rule.line}" if numbered else rule.line for i, rule in enumerate(rules, 1))
