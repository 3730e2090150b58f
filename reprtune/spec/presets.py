"""The methods of the catalog as values."""

from __future__ import annotations

from reprtune.spec.method import MethodSpec

STANDARD = MethodSpec(cycles=0)
REPR = MethodSpec()
