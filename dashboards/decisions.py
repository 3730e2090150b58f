"""What is decided: every rule of the study with its verdict, and the difference that it rests on."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from dashboards.page import Table, Words
from dashboards.paired import add_differences, difference_text, needed_text, p_cell, smallest_text
from dashboards.panels import panels
from dashboards.rules import FEW, WORDS, pair, sentence, sentences
from dashboards.units import count
from reprtune.analysis.decisions import Decided, decisions
from reprtune.record.schema import StudyRecord
from reprtune.spec.decisions import LEADER

TITLE = "What is decided"
ABOUT = "study"


@dataclass(frozen=True, kw_only=True)
class DecisionsInfo:
    """`named`: does the study name its rules, or do those stand for them that are there without?"""

    rules: tuple[Decided, ...]
    named: bool
    by_factors: bool


def info(record: StudyRecord) -> DecisionsInfo:
    return DecisionsInfo(
        rules=decisions(record),
        named=bool(record.spec.rules),
        by_factors=any(section.design.is_factorial for section in record.spec.comparisons),
    )


def figure(info: DecisionsInfo) -> go.Figure:
    """Differences with their intervals, the verdict beside the name."""
    shown = [
        (f"{one.comparison.arm} \N{MINUS SIGN} {one.rule.control}: {WORDS[one.verdict].lower()}", d)
        for one in info.rules
        if (d := one.comparison.judged) is not None
    ]
    parts = " or ".join(
        dict.fromkeys(one.comparison.measured_on for one in info.rules if one.comparison.judged)
    )
    fig = panels([[f"difference of {parts} errors, points"]], [46 * max(2, len(shown))])
    if shown:
        add_differences(fig, shown, row=1)
    fig.update_yaxes(autorange="reversed", type="category")
    return fig


def words(info: DecisionsInfo) -> Words:
    m = len(info.rules)
    if not m and info.by_factors:
        return Words(missing="The study has no rule: what its factors do is told by the page of factors.")
    if not m:
        return Words(missing="The study has no arm to compare with, so there is no rule to apply.")
    drawn = any(one.comparison.judged for one in info.rules)
    corrected = f", corrected by Holm's rule for {m} rules," if m > 1 else ""
    leads = any(one.rule.arm == LEADER for one in info.rules)
    whose = (
        f"The study was created with {count(m, 'rule')}"
        if info.named
        else f"The study names no rules, so what stands for them is {'the best of the search against standard, and ' * leads}"
        "every arm against those that it names, else standard"
    )
    return Words(
        lead=sentences(info.rules),
        missing=None if drawn else "No two runs with the same seed are complete yet.",
        facts=tuple((pair(one), sentence(one, m)) for one in info.rules) if m > FEW else (),
        reading=(
            f"{whose}. A rule looks at test errors of seeds by which nothing was chosen, paired by seed, once all these "
            "runs are finished; left of 0 the first is better. It says helps or harms where p"
            f"{corrected} is below 5 %. Intervals are paired t intervals over seeds, given this split "
            "of the data, and not corrected. Not shown is not the same as no effect: beside it stands the smallest "
            "difference that these seeds would have shown in four of five studies, corrected alike."
        ),
        table=_table(info.rules),
        picture="Paired differences of what the rules compare, with their intervals",
    )


def _table(rules: tuple[Decided, ...]) -> Table:
    return Table(
        caption="Rules: differences in percentage points of error, paired by seed, with 95 % intervals",
        header=(
            "verdict", "arm", "against", "measured on", "seeds", "pairs", "difference", "p", "p, corrected",
            "would have shown, points", "seeds to decide", "not decided: why",
        ),
        rows=tuple(
            (
                WORDS[one.verdict], one.arm or one.rule.pair.split(" against ")[0], one.rule.control,
                one.comparison.measured_on if one.comparison.judged else "", "fresh" if one.fresh else "declared",
                str(one.comparison.judged.n if one.comparison.judged else 0),
                difference_text(one.comparison.judged), p_cell(one.comparison.p), p_cell(one.comparison.p_holm),
                smallest_text(one.smallest), needed_text(one.needed), one.why.value if one.why else "",
            )
            for one in rules
        ),
    )  # fmt: skip
