"""What scales lengths in plain values to another total; see `spec.scale`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Retime(Protocol):
    """Scales lengths in plain values to another total; see `spec.scale`."""

    def __call__(self, field: str, length: Any) -> str:
        """The length that has the same share of the other total; `field` says where it stands."""

    def changes(self, fields: dict[str, Any]) -> None:
        """Scale all lengths among the changes of a trial, in place."""

    def space(self, plain: dict[str, Any], space: Mapping[str, Any]) -> None:
        """Scale all ranges of lengths of a space, in its plain form."""
