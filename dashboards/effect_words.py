"""What the comparisons of the arms show, in sentences that claim no more than the numbers do."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.paired import smallest_text
from dashboards.units import count, listed, points
from reprtune.analysis.decisions import Verdict
from reprtune.analysis.effects import Effect

NAMED = 4  # that are named in a sentence, the largest first; of the others it says how many


def findings(found: Sequence[Effect]) -> tuple[str, ...]:
    """For each group how many help, harm and are not shown; parts of a whole by themselves. Then what these seeds could
    have seen, what is open, and what was explored."""
    said = [_group(members) for members in _groups(found)]
    last = (_within(found), _power(found), _open(found), _explored(found))
    return tuple(text for text in (*said, *last) if text)


def _within(found: Sequence[Effect]) -> str:
    """Which pairs are shown to be as good as equal, where the study says what that is."""
    asked = [one for one in found if one.equivalence]
    if not asked or asked[0].equivalence is None:
        return ""
    equal = [f"{one.arm} and {one.control}" for one in asked if one.equivalence and one.equivalence.is_shown]
    margin = f"{100 * asked[0].equivalence.margin:g} points of each other"
    which = f": {listed(equal[:NAMED])}{' and others' if len(equal) > NAMED else ''}" if equal else ""
    return f"Shown to be within {margin}, the margin of this study: {len(equal) or 'none'} of {count(len(asked), 'pair')}{which}."


def _groups(found: Sequence[Effect]) -> list[list[Effect]]:
    """Those that are decided. Parts of a whole first, for they are what such a study asks."""
    groups: dict[tuple[bool, str, bool], list[Effect]] = {}
    for one in found:
        if one.verdict not in (Verdict.OPEN, Verdict.EXPLORED):
            groups.setdefault((not one.idea, one.group, one.is_whole), []).append(one)
    return [groups[key] for key in sorted(groups, key=lambda key: key[0])]


def _group(members: Sequence[Effect]) -> str:
    first, n = members[0], len(members)
    if first.idea:
        return _parts(members)
    if n == 1:
        return f"{first.arm} is {_shown(first)} against {first.control}{_by([first])}."
    of = f"{count(n, 'arm')} that {first.arm} is compared with" if first.is_whole else f"{count(n, 'arm')}"
    if first.is_whole:
        return _told(
            members, f"Of {of}, it", "is shown to do better than {n}", "worse than {n}", "neither of {n}"
        )
    return _told(
        members,
        f"Of {of} against {first.control},",
        "{n} {is} shown to help",
        "{n} to harm",
        "{n} {is} not shown to do either",
    )


def _parts(members: Sequence[Effect]) -> str:
    ideas, n = len({one.idea for one in members}), len(members)
    of = f"Of {count(n, 'part')} of {members[0].arm},"
    if ideas == n:
        return _told(members, of, "{n} {is} shown to help", "{n} to harm", "{n} {is} not shown to do either")
    of = f"Of {n} ways to take one of {count(ideas, 'part')} away from {members[0].arm},"
    return _told(members, of, "{n} {shows} that the part helps", "{n} that it harms", "{n} {shows} neither")


def _told(members: Sequence[Effect], of: str, helps: str, harms: str, neither: str) -> str:
    told = []
    for verdict, words in ((Verdict.HELPS, helps), (Verdict.HARMS, harms), (Verdict.NOT_SHOWN, neither)):
        those = [one for one in members if one.verdict is verdict]
        named = "" if verdict is Verdict.NOT_SHOWN or not those else f": {_names(those)}"
        told.append(_counted(words, len(those)) + named)
    return f"{of} {'; '.join(told)}."


def _counted(words: str, n: int) -> str:
    verbs = {"is": "is", "shows": "shows"} if n < 2 else {"is": "are", "shows": "show"}
    return words.format(n=n or "none", **verbs)


def _names(those: Sequence[Effect]) -> str:
    """Named, the largest first."""
    those = sorted(those, key=lambda one: -abs(one.size or 0.0))
    named = [_name(one) for one in those[:NAMED]]
    return listed([*named, f"{len(those) - NAMED} more"] if len(those) > NAMED else named)


def _name(one: Effect) -> str:
    if one.idea:
        return f"{one.idea} ({_size(one)} points against {one.control})"
    return f"{one.row} ({_size(one)} points)"


def _size(one: Effect) -> str:
    return points(one.size or 0.0)


def _shown(one: Effect) -> str:
    if one.verdict is Verdict.NOT_SHOWN:
        return "not shown to help or harm"
    return f"shown to {'help' if one.verdict is Verdict.HELPS else 'harm'}"


def _by(those: Sequence[Effect]) -> str:
    return f" ({_size(those[0])} points of {those[0].comparison.measured_on} error)"


def _power(found: Sequence[Effect]) -> str:
    """What those that are not shown could have been without being seen; beside diverged runs that is anything."""
    sizes = sorted(
        one.smallest
        for one in found
        if one.verdict is Verdict.NOT_SHOWN and one.smallest is not None and not one.comparison.with_chance
    )
    if not sizes:
        return ""
    low, high = smallest_text(sizes[0]), smallest_text(sizes[-1])
    return (
        "Not shown is not the same as no effect: what these seeds show in four of five studies are differences of at least "
        f"{low if low == high else f'{low} to {high}'} points."
    )


def _open(found: Sequence[Effect]) -> str:
    those = [one for one in found if one.verdict is Verdict.OPEN]
    if not those:
        return ""
    reasons = listed(list(dict.fromkeys(one.why.value for one in those if one.why)))
    which = f"{len(those)} of {count(len(found), 'comparison')} {'is' if len(those) == 1 else 'are'}"
    return f"{which} not decided yet{f': {reasons}' if reasons else ''}."


def corrections(found: Sequence[Effect]) -> str:
    """For how many comparisons p is corrected, after a word; nothing where it is not."""
    ms = sorted({one.m for one in found if not one.comparison.explored} - {1})
    return f", corrected by Holm's rule for {' or '.join(map(str, ms))} comparisons" if ms else ""


def reading(found: Sequence[Effect]) -> str:
    """How to read the picture and the table."""
    corrected = f"{corrections(found)}," if corrections(found) else ""
    spread = max((one.sampling for one in found if one.sampling is not None), default=None)
    images = (
        f" The images alone leave a standard error of up to {100 * spread:.2f} points in one error, which no interval over seeds "
        "holds."
        if spread is not None
        else ""
    )
    leave_out = (
        " Where a whole is compared with itself without one of its parts, left of 0 the part helps."
        if any(one.idea for one in found)
        else ""
    )
    return (
        "Each row is the error of an arm minus that of what it is compared with, paired by seed: faint dots are seeds, bars 95 % "
        f"intervals over seeds, given this split of the data.{leave_out} Filled marks are shown: p of the paired t test{corrected} "
        "is below 5 %. Intervals are not corrected, so one that does not hold 0 may stand beside an open mark."
        f"{_looked(found)}{_chance(found)}{images} In the table, better is the share of seeds with a lower error, d_z the mean over the standard "
        "deviation of the differences, and least the smallest difference that these seeds show in four of five studies. What arms "
        "cost, alone and as they were really trained, effects.csv has."
    )


def _looked(found: Sequence[Effect]) -> str:
    """What p and interval stand for where seeds were added by results."""
    those = [one for one in found if one.n_looks > 1]
    if not those:
        return ""
    of = "" if len(those) == len(found) else f" of {len(those)} of them"
    most = max(one.n_looks for one in those)
    return (
        f" Seeds were added by results: p and intervals{of} are those of up to {most} looks together, also where the seeds were "
        "added for another comparison, so they are wider than those of a t test. A margin is not tested there."
    )


def _chance(found: Sequence[Effect]) -> str:
    if not any(one.comparison.with_chance for one in found):
        return ""
    return " A diverged run counts with chance error; the table has the difference without it, too."


def _explored(found: Sequence[Effect]) -> str:
    """What branches gave, named as what it is."""
    those = [one for one in found if one.verdict is Verdict.EXPLORED]
    if not those:
        return ""
    n = len(those)
    was, its = ("was", "it has") if n == 1 else ("were", "they have")
    told = [f"{one.arm} against {one.control}{_told_size(one)}" for one in those]
    named = listed([*told[:NAMED], f"{n - NAMED} more"] if n > NAMED else told)
    return (
        f"Explored: {count(n, 'comparison')} of branches {was} added when there were results to see, so that {its} neither p nor verdict "
        f"and no other is corrected for {'it' if n == 1 else 'them'}: {named}. What is found so is a question for a study of its own."
    )


def _told_size(one: Effect) -> str:
    return "" if one.size is None else f" ({_size(one)} points)"
