"""The fault matrix: what can go wrong around a study, done to real processes, and what Optuna and MLflow then hold.

    python -m tests.faults                      every row
    python -m tests.faults --rows kill-tell     some
    python -m tests.faults --list               their names
    python -m tests.faults --jobs 4             so many at a time
    python -m tests.faults --json F             and --markdown F: what came out, for programs and for people

Exit code 1 where a row came out otherwise than it should.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.faults.matrix import ROWS
from tests.faults.row import Outcome, tried
from tests.faults.table import as_json, as_line, as_markdown, from_json
from tests.faults.world import Services


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=str(__doc__).partition("\n")[0]
    )
    parser.add_argument("--rows", nargs="*", metavar="NAME", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--list", action="store_true", help="the names of the rows, and what happens")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="rows at a time")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument(
        "--known",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="what --json wrote of other rows before",
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    given = parser.parse_args()
    if given.list:
        for row in ROWS.values():
            print(f"{row.name:18} {row.what}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started ends with it
    outcomes = {name: one for path in given.known for name, one in from_json(path).items()}
    write(outcomes, given)
    if not given.rows:
        return 0
    with contextlib.closing(Services()) as services, ThreadPoolExecutor(given.jobs) as pool:
        trying = [pool.submit(tried, ROWS[name], services) for name in given.rows]
        for done in as_completed(trying):
            outcome = done.result()
            outcomes[outcome.row.name] = outcome
            print(as_line(outcome), flush=True)
            write(outcomes, given)
    return int(any(outcome.verdict == "FAULT" for outcome in outcomes.values()))


def write(outcomes: Mapping[str, Outcome], given: argparse.Namespace) -> None:
    """The tables, in the order of the matrix."""
    in_order = [outcomes[name] for name in ROWS if name in outcomes]
    if given.json:
        given.json.write_text(json.dumps(as_json(in_order), indent=1))
    if given.markdown:
        given.markdown.write_text(as_markdown(in_order))


if __name__ == "__main__":
    sys.exit(main())
