"""The commands and programs in the README and in docs/, in order, and how a test runs each of them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Line:
    """One command: `variables` before it, its words; comments are gone."""

    page: str
    text: str
    variables: tuple[tuple[str, str], ...]
    words: tuple[str, ...]


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return [text for name, text in BLOCK.findall(page.read_text(encoding="utf-8")) if name == language]


def lines(page: Path) -> list[Line]:
    """Commands of the page's `sh` blocks, and the indented `python -m` below its tables."""
    text = page.read_text(encoding="utf-8")
    indented = re.findall(r"^    (python -m (?:.*\\\n)*.*)$", BLOCK.sub("", text), re.MULTILINE)
    found = [line for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
    found += [line.replace("\\\n", " ") for line in indented]
    return [made for line in found if (made := _line(page, line)) is not None]


def _line(page: Path, text: str) -> Line | None:
    words = shlex.split(text, comments=True)
    variables: list[tuple[str, str]] = []
    while words and re.match(r"^\w+=", words[0]):
        name, _, value = words.pop(0).partition("=")
        variables.append((name, value))
    words = [word for word in words if word not in ("exec", "&")]
    return Line(page.name, text.strip(), tuple(variables), tuple(words)) if words else None
