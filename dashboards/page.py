"""What every page hands to the report: its words and tables, beside its figure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text under a caption, all as long as the header.

    `note`: what a paper says below the caption; a page has it in its reading. `fits`: to the width of a page of paper.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    fits: bool = False


@dataclass(frozen=True, kw_only=True)
class Words:
    """The text of a page.

    Attributes:
        title, short: of the page, where they depend on the study.
        state: how far what is said here may be trusted, in a few words before all else.
        lead: paragraphs before the figure.
        sources: for each of them the key of the page that has its numbers, or nothing; may be left out.
        step: what to do next, as a sentence; `command` does it.
        facts: terms and their values, after the figure.
        missing: why there is no figure, as a sentence; None when there is one.
        reading: how to read the figure, one or two sentences.
        table: the figure's numbers for those who cannot see it.
        picture: what the figure shows, in a few words, for screen readers.
    """

    title: str = ""
    short: str = ""
    state: str = ""
    lead: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    step: str = ""
    command: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    missing: str | None = None
    reading: str = ""
    table: Table | None = None
    picture: str = ""
