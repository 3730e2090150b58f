"""Histories as one short text: canonical JSON, deflated, base85."""

from __future__ import annotations

import base64
import json
import zlib

from reprtune.spec.codec import canonical_json, from_plain
from reprtune.spec.history import History


def pack(history: History) -> str:
    return base64.b85encode(zlib.compress(canonical_json(history).encode(), 6)).decode()


def unpack(text: str) -> History:
    return from_plain(History, json.loads(zlib.decompress(base64.b85decode(text))), "history")
