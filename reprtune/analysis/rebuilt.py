"""Trials of a record as a study of Optuna in memory, for what Optuna computes of studies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from reprtune.spec.space import Choice, FloatRange, Range

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

Params = tuple[tuple[str, Any], ...]
Row = tuple[Params, float]  # what was drawn, and the objective


def as_study(rows: Sequence[Row], params: Mapping[str, Range]) -> Study:
    """Rows as complete trials of one minimised objective. A row may lack parameters."""
    import optuna

    distributions = {name: distribution(range_) for name, range_ in params.items()}
    with quiet():
        study = optuna.create_study(direction="minimize")
    for drawn, value in rows:
        known = {name: v for name, v in drawn if name in distributions}
        study.add_trial(
            optuna.trial.create_trial(
                params=known, distributions={name: distributions[name] for name in known}, value=value
            )
        )
    return study


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
