"""Trials of a record as a study of Optuna in memory, for what Optuna computes of studies."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from reprtune.spec.space import Choice, FloatRange, Range

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, TrialState

Params = tuple[tuple[str, Any], ...]
Row = tuple[Params, float]  # what was drawn, and the objective


def as_study(rows: Sequence[Row], params: Mapping[str, Range]) -> Study:
    """Rows as complete trials of one minimised objective. A row may lack parameters."""
    import optuna

    from reprtune.record.optuna_private.trials import number_trial

    distributions = {name: distribution(range_) for name, range_ in params.items()}
    trials = []
    for number, (drawn, value) in enumerate(rows):
        known = {name: v for name, v in drawn if name in distributions}
        trial = optuna.trial.create_trial(
            params=known, distributions={name: distributions[name] for name in known}, value=value
        )
        number_trial(trial, number)
        trials.append(trial)
    with quiet():
        study = optuna.create_study(direction="minimize")
    # Added to Optuna's storage each trial would be checked again and copied, most of the time of an answer.
    study.get_trials = partial(_chosen, trials)  # type: ignore[method-assign]
    return study


def _chosen(
    trials: Sequence[FrozenTrial],
    deepcopy: bool = True,  # noqa: ARG001 - as `Study.get_trials` has it; nobody changes a trial here
    states: Container[TrialState] | None = None,
) -> list[FrozenTrial]:
    return [trial for trial in trials if states is None or trial.state in states]


def distribution(range_: Range) -> BaseDistribution:
    """The range as Optuna's samplers see it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(range_, Choice):
        return CategoricalDistribution(range_.options)
    if isinstance(range_, FloatRange):
        return FloatDistribution(range_.low, range_.ends()[1], step=range_.step, log=range_.log)
    grid = range_.values()
    return IntDistribution(grid[0], grid[-1], step=grid[1] - grid[0] if len(grid) > 1 else 1)


@contextmanager
def quiet() -> Iterator[None]:
    """Without Optuna's line about a new study."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
