"""A picture of few colours as PNG: one pixel for each cell of a map."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence

CLEAR = (0, 0, 0, 0)
MAX_COLOURS = 256


def png(rows: Sequence[Sequence[str | None]]) -> bytes:
    """Rows of the same length, from the top, of colours as CSS writes them (`#rrggbb`, `rgba(r,g,b,share)`); None is
    clear. The same rows give the same bytes."""
    palette = [CLEAR, *(rgba(c) for c in sorted({c for row in rows for c in row if c is not None}))]
    if len(palette) > MAX_COLOURS:
        raise ValueError(f"a picture has at most {MAX_COLOURS - 1} colours, but got {len(palette) - 1}")
    position: dict[str | None, int] = {
        c: palette.index(rgba(c)) if c else 0 for row in rows for c in set(row)
    }
    pixels = b"".join(b"\0" + bytes(position[c] for c in row) for row in rows)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", b"".join(bytes(c[:3]) for c in palette)),
            _chunk(b"tRNS", bytes(c[3] for c in palette)),
            _chunk(b"IDAT", zlib.compress(pixels, 9)),
            _chunk(b"IEND", b""),
        ]
    )


def rgba(colour: str) -> tuple[int, int, int, int]:
    """Red, green, blue and how opaque, 0 to 255."""
    if re.fullmatch("#[0-9a-fA-F]{6}", colour):
        return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16), 255
    red, green, blue, share = (float(n) for n in re.findall(r"[\d.]+", colour))
    return int(red), int(green), int(blue), round(255 * share)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
