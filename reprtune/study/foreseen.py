"""What can be told of a study when it is created, of what its trials are likely to miss."""

from __future__ import annotations

from reprtune.settings import Settings
from reprtune.spec.study import StudySpec
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain.chain import Chain, LoadedData
from reprtune.training.chain.foreseen import foreseen
from reprtune.training.platform.device import open_device


def foreseen_in(spec: StudySpec, steps_per_epoch: int) -> list[str]:
    """Warnings, each in a line: of every arm, and of the search as far as its base says."""
    trials = {f"The arm {arm}": trial for arm, _, trial in spec.arm_cells()}
    if spec.search is not None:
        trials["The search, with what it does not vary"] = spec.base
    return [f"{name}: {line}" for name, trial in trials.items() for line in foreseen(trial, steps_per_epoch)]


def check_builds(trial: TrialSpec, settings: Settings) -> None:
    """Make its plan and build its networks, of a trunk and of its branch; nothing is trained.

    Raises:
        SpecError, DataError, ModelError: one of them cannot be.
    """
    Chain(trial, LoadedData(settings.data_dir, open_device(settings)))
