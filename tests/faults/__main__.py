"""The fault matrix: what can go wrong around a study, done to real processes, and what Optuna and MLflow then hold.

    python -m tests.faults                      every row
    python -m tests.faults --rows kill-tell     some
    python -m tests.faults --list               their names
    python -m tests.faults --json F             and --markdown F: what came out, for programs and for people

Exit code 1 where a row came out otherwise than it should.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
from pathlib import Path

from tests.faults.matrix import ROWS
from tests.faults.row import tried
from tests.faults.table import as_json, as_line, as_markdown
from tests.faults.world import Services


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=str(__doc__).partition("\n")[0]
    )
    parser.add_argument("--rows", nargs="+", metavar="NAME", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--list", action="store_true", help="the names of the rows, and what happens")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    given = parser.parse_args()
    if given.list:
        for row in ROWS.values():
            print(f"{row.name:18} {row.what}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started ends with it
    outcomes = []
    with contextlib.closing(Services()) as services:
        for name in given.rows:
            outcomes.append(tried(ROWS[name], services))
            print(as_line(outcomes[-1]), flush=True)
            if given.json:
                given.json.write_text(json.dumps(as_json(outcomes), indent=1))
            if given.markdown:
                given.markdown.write_text(as_markdown(outcomes))
    return int(any(outcome.verdict == "FAULT" for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
