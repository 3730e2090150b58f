"""Tables as files: what was written comes out again, whatever characters it holds."""

from __future__ import annotations

import csv
import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dashboards.page import Table
from dashboards.pages import PAGES
from dashboards.tables import LONG, csv_table, escaped, latex, markdown, table_files
from tests.factories import make_study

EVIL = r"50 % & #1 a_b $x$ {y} ~z^2 \end{tabular} \\ [1] *"
TABLE = Table(
    caption="Errors_of 100 % & more",
    header=("arm", "error, mean ± sd", "difference"),
    rows=(
        ("[first]", "4.69 ± 0.10 %", "\N{MINUS SIGN}0.31 [\N{MINUS SIGN}0.5, +1.2]"),
        ("*second*", "12.00 %", ""),
        (EVIL, "3", 'a|b <i> "q" --flag 中 é ñ Ø \N{NO-BREAK SPACE}x\ny'),
    ),
)


def test_csv_reads_back() -> None:
    """Every cell as it was, but with the minus that programs know."""
    rows = list(csv.reader(csv_table(TABLE).splitlines(keepends=True)))
    expected = [[cell.replace("\N{MINUS SIGN}", "-") for cell in row] for row in (TABLE.header, *TABLE.rows)]
    assert rows == expected


def test_markdown_has_a_cell_for_a_cell() -> None:
    """Bars and marks inside cells are escaped: without the escapes, the text is there again."""
    lines = markdown(TABLE).splitlines()
    assert lines[0] == r"Errors\_of 100 % &amp; more" and lines[1] == ""
    assert lines[3] == "| --- | ---: | --- |"
    for line, row in zip((lines[2], *lines[4:]), (TABLE.header, *TABLE.rows), strict=True):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)(?:\\\\)*\|", line)[1:-1]]
        read = [html.unescape(re.sub(r"\\(.)", r"\1", cell)) for cell in cells]
        assert read == [" ".join(cell.split()) for cell in row]


def test_latex_has_the_rules_of_booktabs_and_a_row_for_a_row() -> None:
    """Each row ends with its two backslashes and has one & less than it has cells."""
    text = latex(TABLE, "controls")
    lines = text.splitlines()
    assert text.isascii()
    assert lines[0] == r"% \usepackage{booktabs}"
    assert [lines.index(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [5, 7, 11]
    assert r"\begin{tabular}{lrl}" in lines and r"\label{tab:controls}" in text
    for row in (lines[6], *lines[8:11]):
        assert row.endswith(r" \\") and len(re.findall(r"(?<!\\)&", row)) == 2


@pytest.mark.parametrize(
    ("character", "said"),
    [
        ("_", r"\_"), ("%", r"\%"), ("&", r"\&"), ("#", r"\#"), ("$", r"\$"), ("{", r"\{"), ("}", r"\}"),
        ("~", r"\textasciitilde{}"), ("^", r"\textasciicircum{}"), ("\\", r"\textbackslash{}"),
        ("\N{MINUS SIGN}", "$-$"), ("±", r"$\pm$"), ("é", r"{\'{e}}"), ("ñ", r"{\~{n}}"), ("ç", r"{\c{c}}"),
        ("中", "{[}U+4E2D{]}"), ("\n", " "), ("\x07", ""), ("e\u0301", r"{\'{e}}"), ("ß", r"\ss{}"),
    ],
)  # fmt: skip
def test_characters_that_mean_something_to_latex(character: str, said: str) -> None:
    """By hand, from the LaTeX manual."""
    assert escaped(character) == said


def test_a_long_table_may_break_over_pages() -> None:
    """From `LONG` rows on."""
    rows = tuple((str(i), "x") for i in range(LONG + 1))
    assert "longtable" in latex(Table(caption="c", header=("a", "b"), rows=rows), "t")
    assert "longtable" not in latex(Table(caption="c", header=("a", "b"), rows=rows[:-1]), "t")


def every_character() -> Table:
    """A row for each character of ASCII and Latin, and some beyond, alone and doubled."""
    codes = [*range(1, 0x17F), *range(0x370, 0x3CF), 0x2212, 0x2026, 0x4E2D, 0x1F600, 0x301]
    rows = tuple((chr(c), chr(c) * 2, f"a{chr(c)}b") for c in codes)
    return Table(caption=EVIL, header=("one", "two", "inside"), rows=rows)


def test_a_real_latex_takes_them(tmp_path: Path) -> None:
    """Every table of a report, and one with every character, in one document without an error."""
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("no pdflatex: apt-get install texlive-latex-base texlive-latex-recommended")
    record = make_study(layers={"a_b%{": 4, "conv3": 8})
    texts = [latex(TABLE, "t"), latex(every_character(), "every")]
    for key, page in PAGES.items():
        words = page.words(page.info(record))
        if words.table:
            texts.append(table_files(key, words.table)[f"tables/{key}.tex"])
    packages = "\\documentclass{article}\\usepackage{array,booktabs,longtable}\\begin{document}\n"
    (tmp_path / "x.tex").write_text(packages + "\n".join(texts) + "\\end{document}\n", encoding="ascii")
    done = subprocess.run(
        [program, "-interaction=nonstopmode", "-halt-on-error", "x.tex"],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert len(texts) > 8
