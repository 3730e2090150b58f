r"""A table of a paper in the width of a page of A4: small letters, and columns that wrap where they must.

*Notations*

    WIDTH     of the text on A4 with margins of 2.5 cm: 160 mm, in pt
    LETTER    of a character at \footnotesize, Computer Modern at 8 pt: a digit has 4.25 pt, words less, a minus more
    GAP       between two columns
    piece     what cannot be parted: a word, a part of a name up to a hyphen, dot or underscore, at most `LONGEST` characters
    natural   of a column: its longest cell; a column has at least its longest piece
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dashboards.page import Table

WIDTH, LETTER, GAP = 455.0, 4.4, 6.0
LONGEST = 12
SMALL = r"\footnotesize\setlength{\tabcolsep}{3pt}"
PIECES = re.compile(rf"[^-_. ]{{1,{LONGEST}}}[-_.]?|[-_.]")


@dataclass(frozen=True)
class Column:
    """`wide`: characters. `wraps`: narrower than its longest cell. `right`: of numbers."""

    wide: int
    wraps: bool
    right: bool

    @property
    def kind(self) -> str:
        """As the head of a tabular has it."""
        if not self.wraps:
            return "r" if self.right else "l"
        side = r"\raggedleft" if self.right else r"\raggedright"
        return f">{{{side}\\arraybackslash}}p{{{self.wide * LETTER:.0f}pt}}"


def fitted(table: Table, right: Sequence[bool]) -> list[Column]:
    """Every column with its longest piece, and what is left of the page to the one that lacks most, again and again."""
    cells = list(zip(table.header, *table.rows, strict=True))
    natural = [max(map(len, column)) for column in cells]
    wide = [max((len(p) for cell in column for p in pieces(cell)), default=1) for column in cells]
    for _ in range(max(0, int((WIDTH - GAP * len(cells)) / LETTER) - sum(wide))):
        i = max(range(len(cells)), key=lambda i: natural[i] / wide[i])
        if wide[i] >= natural[i]:
            break
        wide[i] += 1
    return [Column(w, w < n, r) for w, n, r in zip(wide, natural, right, strict=True)]


def pieces(cell: str) -> list[str]:
    """Of words and names; a number is one piece, whatever dots and signs it has."""
    return [
        piece
        for word in cell.split()
        for piece in (PIECES.findall(word) if re.search("[A-Za-z]", word) else [word])
    ]


def total(columns: Sequence[Column]) -> float:
    """Width of the table, in pt."""
    return sum(c.wide * LETTER + GAP for c in columns)
