"""Questions as data: one module, one frozen `STUDY`."""

from __future__ import annotations

STUDIES: dict[str, str] = {
    "repr-ablation": "studies.repr_ablation:STUDY",
    "repr-components": "studies.repr_components:STUDY",
    "repr-criteria": "studies.repr_criteria:STUDY",
    "repr-vs-released": "studies.repr_vs_released:STUDY",
    "repr-regimes": "studies.repr_regimes:STUDY",
    "family": "studies.family:STUDY",
    "methods": "studies.methods_search:STUDY",
    "paper-c3": "studies.paper_c3:STUDY",
    "paper-resnet20": "studies.paper_resnet20:STUDY",
    "repr-smoke": "studies.smoke:STUDY",
}
