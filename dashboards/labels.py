"""Names of arms as labels that leave room for the picture."""

from __future__ import annotations

import re

from dashboards import theme

WIDE = 18  # characters of a line


def wrapped(name: str, wide: int = WIDE) -> str:
    """A name in lines of about `wide` characters, parted after spaces, hyphens, dots and underscores where there are any;
    escaped for a label."""
    lines = [""]
    for piece in re.findall(rf"[^-_. ]{{1,{wide}}}[-_. ]?|[-_. ]", name):
        if lines[-1] and len(lines[-1] + piece.rstrip()) > wide:
            lines.append("")
        lines[-1] += piece
    return "<br>".join(theme.text(line.strip()) for line in lines)
