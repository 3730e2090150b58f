"""Questions as data: one module, one frozen `STUDY`."""

from __future__ import annotations

STUDIES: dict[str, str] = {
    "repr-ablation": "studies.repr_ablation:STUDY",
    "repr-smoke": "studies.smoke:STUDY",
}
