"""docs/methods.md, out of the methods themselves. `make docs` writes it."""

from __future__ import annotations

from collections.abc import Iterator

from dashboards.cards import piece, value
from reprtune.spec.cards import pieces
from reprtune.spec.codec import to_plain
from reprtune.spec.family import ROWS, Line

INTRODUCTION = """# Methods as compositions

A method is a value: at each of its places stands a part with its own options, or nothing. What stands there is all
that there is to a method; none has a trainer of its own. Written down by `make docs` out of the values.

| place | what stands there | when it acts |
|---|---|---|
| `schedule` | when what happens | always |
| `criterion` | what ranks filters, or single weights | where somebody is taken |
| `selection` | who is taken | at a drop, or where a phase or a generation begins |
| `drop` | what the network is without them | at a drop, and until they are restored |
| `restore`, `restore_rules` | how they come back; BatchNorm, optimizer, next kernels and learning rate then | at a restore, or where a generation begins |
| `exchange` | between the networks, or within one | at an exchange |
| `gradient` | a rule between backward and update | at every step |
| `losses` | terms added to the cross-entropy | at every step |
| `networks` | K, and what they share | always |
| `ending` | what is done once | after the last step |

`python cli.py list criteria --long` (and so on for every place, and `methods`) explains each; [one of your
own](parts.md) is a function in a file. Any part is changed on its own, as in
`--set method.criterion=l2 --set method.restore=random`, or taken away with `none`.

## The family

RePr, its relatives ([what each does exactly](family.md)) and their controls. *Parts* are as by default but for what
stands in brackets; what a place without a part does, it does not do. *Budget* is the optimizer steps of all networks, in
those of plain training: compare only within one.

| method | `python cli.py train ...` | parts | K | budget | note |
|---|---|---|---|---|---|
"""


def methods_page() -> str:
    """Markdown: the places of a method, and a line for each way to write a row of the family."""
    lines = [_line(name, line) for name, ways in ROWS.items() for line in ways]
    return INTRODUCTION + "\n".join(lines) + "\n"


def typed(line: Line) -> Iterator[str]:
    """The words of a command after `train`."""
    yield from ("--method", line.method)
    if line.total is not None:
        yield from ("--total", line.total)
    for path, what in line.changes.items():
        yield from ("--set", f"{path}={value(to_plain(what))}")


def _line(name: str, line: Line) -> str:
    method = line.trial().method
    parts = "<br>".join(f"{p['place']}: {piece(p)}" for p in pieces(method))
    cells = (
        f"{name}: {line.name}" if line.name else name,
        f"`{' '.join(typed(line))}`",
        parts or "none",
        str(method.n_members),
        str(line.budget()),
        line.note,
    )
    return f"| {' | '.join(cells)} |"
