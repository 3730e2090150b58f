"""What would have been said of a stored study before 2026-11-29, and what is said now, side by side.

    python -m benchmarks.said --storage sqlite:///runs/reprtune.db STUDY

*Before* are the formulas that `benchmarks.truth` keeps: the gain of the best of a search against the expected maximum of as
many draws as trials were complete, the decision rule "beats standard by more than the spread over its seeds", pairs
tested one by one, rank correlations of one parameter alone, the largest bar as the leader. *Now* is what the product says.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator

from benchmarks.truth import directions, interactions
from benchmarks.truth.luck import expected_gain
from dashboards.answer import answer
from reprtune.analysis import evaluators
from reprtune.analysis.attempts import deciding
from reprtune.analysis.health import checks
from reprtune.analysis.importance import BEST_SHARE, MIN_BEST, MIN_COMPLETE, importances, rows
from reprtune.analysis.level import ALPHA
from reprtune.analysis.luck import best_of_search
from reprtune.analysis.runs import errors_on_validation
from reprtune.record.database import open_storage
from reprtune.record.schema import StudyRecord
from reprtune.record.storage import read_study
from reprtune.spec.designs.arm import BASELINE
from reprtune.spec.objectives import ERROR


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study")
    parser.add_argument("--storage", default="sqlite:///runs/reprtune.db", help="default: %(default)s")
    given = parser.parse_args()
    record = read_study(open_storage(given.storage), given.study)
    for title, said in (("before", before), ("now", now)):
        print(f"-- {title}")
        for text in said(record):
            print(f"   {text}")


def before(record: StudyRecord) -> Iterator[str]:
    """Sentences in short."""
    best, standard = (
        best_of_search(record),
        errors_on_validation([t for t in deciding(record.controls) if t.arm == BASELINE]),
    )
    numbers = [one.value for one in standard]
    if best is not None and best.to_standard is not None and len(numbers) > 1:
        gain, sd = -best.to_standard, statistics.stdev(numbers)
        luck = sd * expected_gain(best.n_settings)
        yield f"gain {100 * gain:.2f} points, {'more' if gain > luck else 'less'} than luck ({100 * luck:.2f})"
        yield f"decision rule: RePr {'helps' if gain > sd else 'does not help'} (sd of standard {100 * sd:.2f})"
    seen = rows(record, ERROR)
    if _has_the_space(record):
        yield f"pairs named: {sorted(interactions.before(seen)) or 'none'}"
        yield f"arrows: {sorted(directions.before(seen)) or 'none'}"
    best_of = {"ped-anova": max(BEST_SHARE, MIN_BEST / max(len(seen), MIN_COMPLETE)), "fanova": None}
    for method, best_share in best_of.items():
        found = evaluators.shares(seen, dict(record.spec.params), best_share)
        if found:
            leader = max(found, key=lambda name: found[name])
            yield f"{method}: {leader} leads with {100 * found[leader]:.0f} %"


def now(record: StudyRecord) -> Iterator[str]:
    """The answer, the checks that fail, and what is shown to matter."""
    yield from answer(record)
    yield f"checks that warn: {', '.join(check.name for check in checks(record) if check.fails) or 'none'}"
    seen = rows(record, ERROR)
    if _has_the_space(record):
        yield f"pairs named: {sorted(interactions.after(seen)) or 'none'}"
        yield f"arrows: {sorted(directions.after(seen)) or 'none'}"
    for found in importances(record).answers:
        if found.objective == ERROR:
            shown = [name for name, p in found.p.items() if p < ALPHA]
            yield f"{found.method}: shown to matter: {', '.join(shown) or 'none'}"


def _has_the_space(record: StudyRecord) -> bool:
    """The old formulas are kept for the space of `repr-ablation`."""
    return len(record.complete()) >= MIN_COMPLETE and set(record.spec.params) == set(interactions.PARAMS)


if __name__ == "__main__":
    main()
