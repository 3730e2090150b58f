"""The table of docs/stopping.md, out of the stop rules' cards; the rest of the page is written by hand."""

from __future__ import annotations

from typing import Any

import click

from dashboards.cards import value
from reprtune.spec.cards import cards

BEGIN, END = "<!-- written by `make docs` -->\n", "<!-- by hand again -->\n"


def stopping_page(page: str) -> str:
    """The page as it is, with the table as the rules are now."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise click.UsageError(f"The page needs a line {BEGIN.strip()} and, after it, {END.strip()}.")
    return f"{before}{BEGIN}\n{_table()}\n{END}{after}"


def _table() -> str:
    """Markdown: a line for each rule."""
    rows = [f"| `{card['name']}` | {_options(card)} | {card['line']} |\n" for card in cards("stop-rules")]
    return "".join(["| `stop` | its options | which trials go on |\n|---|---|---|\n", *rows])


def _options(card: dict[str, Any]) -> str:
    return ", ".join(f"`{option['name']}` ({value(option['default'])})" for option in card["options"])
