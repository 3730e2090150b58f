"""What `list` prints: a line or two for each entry of a kind, or all of its card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from textwrap import wrap
from typing import Any

COLUMNS = 79
NOTES = ("paper", "cost", "when", "traps", "needs")


def explained(entries: Sequence[Mapping[str, Any]], header: str) -> str:
    """Names with what they are, beside them and wrapped; then what it costs, needs, and its options."""
    width = max(len(entry["name"]) for entry in entries) + 2
    lines = [f"{header:<{width}}what it is"]
    for entry in entries:
        notes = {key: entry.get(key) for key in ("cost", "needs")}
        notes["options"] = ", ".join(entry.get("fields", ()))
        texts = [entry["line"], *(f"{key}: {text}" for key, text in notes.items() if text)]
        rows = [row for text in texts for row in wrap(text, COLUMNS - width, subsequent_indent="  ")]
        lines += [f"{name:<{width}}{row}" for name, row in zip_longest([entry["name"]], rows, fillvalue="")]
    return "\n".join(lines)


def card(entry: Mapping[str, Any]) -> str:
    """All that `reprtune.spec.cards` knows of an entry; what does not apply is left out."""
    return "\n".join([entry["name"], *_wrapped(entry["line"], "  ", 2), *_rows(entry)])


def _rows(entry: Mapping[str, Any]) -> Iterator[str]:
    if entry.get("parts"):
        yield from _list("parts", [f"{p['place']}: {piece(p)}" for p in entry["parts"]])
    for key in NOTES:
        if entry.get(key) not in (None, "", "none"):
            yield from _row(key, entry[key])
    if entry.get("budget"):
        yield from _row("budget", f"{entry['budget']} x the training of one network")
    if entry.get("options"):
        yield from _list("options", [_option(option) for option in entry["options"]])


def piece(part: Mapping[str, Any]) -> str:
    """A part of a method in one line: its kind, where it has one, and the options that differ."""
    options = ", ".join(f"{k} = {value(v)}" for k, v in part.items() if k not in ("place", "kind"))
    kind = part.get("kind", "")
    return f"{kind} ({options})" if kind and options else kind or options or "as by default"


def value(plain: Any) -> str:
    """A plain value as a person types it after `=`."""
    if isinstance(plain, bool) or plain is None:
        return {True: "true", False: "false", None: "none"}[plain]
    return f"[{', '.join(map(value, plain))}]" if isinstance(plain, list) else str(plain)


def _option(option: Mapping[str, Any]) -> str:
    """Its default, the words it may be, and what takes its idea away."""
    words = f"; words: {', '.join(option['words'])}" if option.get("words") else ""
    has_null = "null" in option and option["null"] != option["default"]
    null = f"; null: {value(option['null'])}" if has_null else ""
    return f"{option['name']} = {value(option['default'])}{words}{null}"


def _row(name: str, text: str) -> list[str]:
    return _wrapped(text, f"  {name:<9}", 11)


def _list(name: str, texts: Sequence[str]) -> Iterator[str]:
    for i, text in enumerate(texts):
        yield from _wrapped(text, f"  {'' if i else name:<9}", 13)


def _wrapped(text: str, start: str, indent: int) -> list[str]:
    return wrap(text, COLUMNS, initial_indent=start, subsequent_indent=" " * indent)
