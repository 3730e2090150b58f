"""The program `reprtune`: `python cli.py`, started from any folder.

`cli.py` and the folders beside it have names that other packages may have too, so they are not installed for all
of Python to see: a wheel holds them inside `reprtune/checkout`, an editable install leaves them in the checkout.
Here their folder comes first on the path of this process, and, with `sys.path`, on that of every worker it spawns.
"""

from __future__ import annotations

import sys
from pathlib import Path

from reprtune.passwords import guard_output

PACKAGE = Path(__file__).resolve().parent
COMPLETE = "_CLI_PY_COMPLETE"  # variable in which a shell asks for completions, the same for both programs


def root() -> Path:
    """The folder of `cli.py`, `commands`, `dashboards` and `studies`."""
    inside = PACKAGE / "checkout"
    return inside if inside.is_dir() else PACKAGE.parent


def main() -> None:
    """Run the command line that the program was called with; ends the process."""
    guard_output()
    sys.path.insert(0, str(root()))
    from cli import cli

    cli(complete_var=COMPLETE)
