"""How many of a study's runs would have been needed, had its seeds been added where they decide?

    python -m benchmarks.saved_seeds STUDY [--first 3] [--group 1] [--width 0.02]

A stored study of arms whose seeds were all declared is gone through again: it begins with its first seeds, and whatever
`Arms(until=...)` asks for next is taken from what was trained. Every run is that of the stored study, so that results can
differ in what is concluded only. What is saved is told in runs; verdicts of the rules stand side by side.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

from reprtune.analysis.decisions import decisions
from reprtune.record.database import open_storage
from reprtune.record.schema import StudyRecord
from reprtune.record.storage import read_study
from reprtune.settings import Settings
from reprtune.spec.sections.arms import Arms, Until
from reprtune.spec.study import AnySection
from reprtune.study.sections.arms import next_work


def begun(study: StudyRecord, first: int, group: int, width: float | None) -> StudyRecord:
    """The study as if it had been declared with its first seeds, and with no run yet."""

    def fewer(section: AnySection) -> AnySection:
        if not isinstance(section, Arms):
            return section
        until = Until(most=len(section.seeds), group=group, width=width)
        return replace(section, seeds=section.seeds[:first], until=until)

    spec = replace(study.spec, sections=tuple(fewer(section) for section in study.spec.sections))
    return replace(study, spec=spec, attempts={})


def looked(study: StudyRecord, seen: StudyRecord) -> Iterator[StudyRecord]:
    """What is there after each look, until nothing more is asked for."""
    while True:
        cells = {
            section.name: {(cell.arm, cell.seed) for cell in next_work(section, seen)}
            for section in seen.spec.comparisons
        }
        attempts = {
            name: tuple(t for t in study.of(name) if (t.arm, t.seed) in wanted)
            for name, wanted in cells.items()
        }
        if attempts == seen.attempts:
            return
        seen = replace(seen, attempts=attempts)
        yield seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study")
    parser.add_argument("--first", type=int, default=3)
    parser.add_argument("--group", type=int, default=1)
    parser.add_argument("--width", type=float)
    options = parser.parse_args()
    study = read_study(open_storage(Settings.from_environment().storage_url), options.study)
    *_, last = looked(study, begun(study, options.first, options.group, options.width))
    n, all_runs = (len({(t.section, t.slot) for t in one.controls}) for one in (last, study))
    print(f"{n} of {all_runs} runs, {1 - n / all_runs:.0%} fewer")
    for fixed, added in zip(decisions(study), decisions(last), strict=True):
        seeds = " | ".join(str(d.n if (d := one.comparison.difference) else 0) for one in (fixed, added))
        pair = f"{fixed.arm} against {fixed.rule.control}"
        print(f"  {pair}: {fixed.verdict.value} | {added.verdict.value}, seeds {seeds}")


if __name__ == "__main__":
    main()
