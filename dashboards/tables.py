"""A page's table as files: CSV for programs, Markdown for notes, LaTeX for papers.

The LaTeX is plain ASCII and needs the packages booktabs, from `LONG` rows on longtable, and array where a table is to fit the
width of a page.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Sequence

from dashboards.fitting import SMALL, fitted, pieces
from dashboards.page import Table

LONG = 40  # a longer tabular does not fit a page
KINDS = (("csv", "CSV"), ("md", "Markdown"), ("tex", "LaTeX"))
MARKED = re.compile(r"([\\`*_\[\]|~#])")
NUMBER = re.compile(r"[\s\d.,+%±\-\N{MINUS SIGN}]*")
ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0308": '"', "\u030a": "r",
    "\u0327": "c", "\u030c": "v", "\u0304": "=", "\u0306": "u", "\u030b": "H",
}  # fmt: skip
LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#",
    "$": r"\$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "`": r"\textasciigrave{}", '"': r"{''}",
    "[": "{[}", "]": "{]}", "*": "{*}",  # after the end of a row, [ and * would be its options
    "-": "-{}",  # two of them would become a dash
    "\N{MINUS SIGN}": "$-$", "±": r"$\pm$", "\N{MULTIPLICATION SIGN}": r"$\times$", "·": r"$\cdot$", "°": r"$^\circ$",
    "≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$", "≈": r"$\approx$", "→": r"$\to$", "∞": r"$\infty$",
    "…": r"\dots{}", "\N{EN DASH}": "--", "\N{EM DASH}": "---", "\N{NO-BREAK SPACE}": "~",
    "\N{LEFT SINGLE QUOTATION MARK}": "`", "\N{RIGHT SINGLE QUOTATION MARK}": "'", "“": "``", "”": "{''}",
    "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "ø": r"\o{}", "Ø": r"\O{}", "ł": r"\l{}", "Ł": r"\L{}",
    "œ": r"\oe{}", "Œ": r"\OE{}", "§": r"\S{}", "²": "$^2$", "³": "$^3$", "½": r"$\frac12$",
    "µ": r"$\mu$",
}  # fmt: skip
LETTERS = (
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "eta",
    "theta",
    "mu",
    "pi",
    "rho",
    "sigma",
    "tau",
    "omega",
)
LATEX |= {unicodedata.lookup(f"GREEK SMALL LETTER {name}"): f"$\\{name}$" for name in LETTERS}


def table_files(name: str, table: Table) -> dict[str, str]:
    """File name below `tables/` -> its text, in every kind."""
    texts = {"csv": csv_table(table), "md": markdown(table), "tex": latex(table, label=name)}
    return {f"tables/{name}.{kind}": texts[kind] for kind, _ in KINDS}


def csv_table(table: Table) -> str:
    """A header and the rows; minus signs as programs read them."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for row in (table.header, *table.rows):
        writer.writerow([cell.replace("\N{MINUS SIGN}", "-") for cell in row])
    return out.getvalue()


def markdown(table: Table) -> str:
    """A table as GitHub and others draw it, its caption above."""
    rows = [[_markdown(cell) for cell in row] for row in (table.header, *table.rows)]
    rule = ["---:" if right else "---" for right in _right(table)]
    lines = ["| " + " | ".join(row) + " |" for row in (rows[0], rule, *rows[1:])]
    return f"{_markdown(_said(table))}\n\n" + "\n".join(lines) + "\n"


def latex(table: Table, label: str) -> str:
    """A table to be input into a document; numbers to the right, everything a person wrote escaped."""
    columns = fitted(table, _right(table)) if table.fits else []
    wraps = [column.wraps for column in columns] or [False] * len(table.header)
    kinds = "".join(c.kind for c in columns) or "".join("r" if right else "l" for right in _right(table))
    header, *rows = [_row(row, wraps) for row in (table.header, *table.rows)]
    caption = f"\\caption{{{escaped(_said(table))}}}\\label{{tab:{label}}}"
    long = len(rows) > (LONG // 2 if any(wraps) else LONG)  # wrapped rows have two lines
    used = ["booktabs", *(["longtable"] if long else []), *(["array"] if any(wraps) else [])]
    lines = [f"% \\usepackage{{{used[0]}}}{''.join(f', {name}' for name in used[1:])}"]
    if table.fits:
        lines += [f"{{{SMALL}"]
    if long:
        lines += [f"\\begin{{longtable}}{{{kinds}}}", caption + r" \\", r"\toprule", header, r"\midrule"]
        lines += [r"\endhead", *rows, r"\bottomrule", r"\end{longtable}"]
    else:
        lines += [r"\begin{table}", r"\centering", caption, f"\\begin{{tabular}}{{{kinds}}}", r"\toprule"]
        lines += [header, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    if table.fits:
        lines += ["}"]
    return "\n".join(lines) + "\n"


def _said(table: Table) -> str:
    return f"{table.caption}. {table.note}" if table.note else table.caption


def _row(cells: Sequence[str], wraps: Sequence[bool]) -> str:
    """A row; cells that wrap may be parted where their words and names are."""
    parted = [_parted(cell) if wrap else escaped(cell) for cell, wrap in zip(cells, wraps, strict=True)]
    return " & ".join(parted) + r" \\"


def _parted(cell: str) -> str:
    return " ".join(r"\allowbreak{}".join(map(escaped, pieces(word))) for word in cell.split())


def escaped(text: str) -> str:
    """Text as LaTeX prints it, in ASCII; a character that it has not becomes its code, like `[U+4E2D]`."""
    return "".join(map(_latex_character, unicodedata.normalize("NFC", text)))


def _latex_character(character: str) -> str:
    if character in LATEX:
        return LATEX[character]
    if character.isspace():
        return " "
    if character.isascii():
        return character if character.isprintable() else ""
    parts = unicodedata.normalize("NFD", character)
    if len(parts) == 2 and parts[0].isascii() and parts[1] in ACCENTS:
        return f"{{\\{ACCENTS[parts[1]]}{{{parts[0]}}}}}"
    return f"{{[}}U+{ord(character):04X}{{]}}"


def _markdown(text: str) -> str:
    text = MARKED.sub(r"\\\1", " ".join(text.split()))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _right(table: Table) -> list[bool]:
    """Columns of numbers, which stand to the right."""
    columns = zip(*table.rows, strict=True) if table.rows else [()] * len(table.header)
    return [any(column) and all(NUMBER.fullmatch(cell) for cell in column) for column in columns]
