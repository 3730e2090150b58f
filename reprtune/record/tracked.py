"""Where the runs of a study are shown, as it stands beside the stored study since that changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.storages import RDBStorage

from reprtune.record.checks import damaged, shown, texts

TRACKED = "reprtune.tracked"  # an attribute of the Optuna study; see `tracking.elsewhere`


def write_tracked(storage: RDBStorage, name: str, fact: Mapping[str, str]) -> None:
    """The place of a study's runs from now on."""
    storage.set_study_user_attr(storage.get_study_id_from_name(name), TRACKED, dict(fact))


def tracked_fact(name: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The fact that `write_tracked` has set; none where the study's own holds.

    Raises:
        StudyError: it is damaged.
    """
    found = attributes.get(TRACKED)
    if found is not None and not texts(found):
        raise damaged(name, TRACKED, f"is not of its form: {shown(found)}")
    return {} if found is None else {"experiment": dict(found)}
