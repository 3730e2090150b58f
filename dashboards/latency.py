"""How long exported networks take, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def latencies(networks: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    """What each network takes beside the one that its specification builds (see training.export.latency)."""
    parts = []
    for number, found in enumerate(networks):
        name = f"member-{number}: " if len(networks) > 1 else ""
        for t in found:
            images = "1 image" if t["batch"] == 1 else f"{t['batch']} images"
            ratio = f"{t['ratio']['median']:.2f} times ({t['ratio']['low']:.2f} to {t['ratio']['high']:.2f})"
            parts.append(
                f"{name}{images} {t['before']['median']:.3g} ms before, {t['after']['median']:.3g} ms after, {ratio}"
            )
    last = networks[-1][-1]
    where = f"{last['device']}, {last['threads']} thread{'s' if last['threads'] > 1 else ''}"
    return f"{'; '.join(parts)}; medians and quartiles of n = {last['ratio']['n']} rounds on {where}"
