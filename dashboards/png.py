"""A picture of few colours as PNG: one pixel for each cell of a map."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

from PIL import Image

CLEAR = (0, 0, 0, 0)


def png(rows: Sequence[Sequence[str | None]]) -> bytes:
    """Rows of the same length, from the top, of colours as CSS writes them (`#rrggbb`, `rgba(r,g,b,share)`); None is
    clear. The same rows give the same bytes."""
    looks = [None, *sorted({c for row in rows for c in row if c is not None})]
    palette = [CLEAR if look is None else rgba(look) for look in looks]
    picture = Image.new("P", (len(rows[0]), len(rows)))
    picture.putpalette(bytes(channel for colour in palette for channel in colour[:3]))
    position = {look: i for i, look in enumerate(looks)}
    picture.frombytes(bytes(position[look] for row in rows for look in row))
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True, transparency=bytes(colour[3] for colour in palette))
    return file.getvalue()


def rgba(colour: str) -> tuple[int, int, int, int]:
    """Red, green, blue and how opaque, 0 to 255."""
    if re.fullmatch("#[0-9a-fA-F]{6}", colour):
        return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16), 255
    red, green, blue, share = (float(n) for n in re.findall(r"[\d.]+", colour))
    return int(red), int(green), int(blue), round(255 * share)
