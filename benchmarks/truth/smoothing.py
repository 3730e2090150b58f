"""How far is a rival's error between two of its points from the truth? Recorded curves, a point left out at a time.

*Notations*
    estimate   of the error at a point that was left out, from its two neighbours: on a straight line, or as the curve of
               plain training plus the difference to it, which is on a straight line
    off        estimate minus what was recorded; noise of the point itself and of its neighbours is in it

Rivals are the recorded trials of `digits` with searched lengths of cycles, at their comparable points; and a run of plain
training that is left out of the curve, at the points that a random draw of cycle lengths has. Single evaluations are noisy, so
the curve may be smoothed; never across a milestone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from statsmodels.nonparametric.smoothers_lowess import lowess

from benchmarks.curves import EPOCHS, load, plain_training
from benchmarks.truth.stopping import PIECES, RATES, lengths
from reprtune.stopping.standard import StandardCurve

Errors = NDArray[np.float64]
Smooth = Callable[[Errors], Errors]
Points = Sequence[tuple[int, float]]
DRAWS = 400


def by_stretch(smooth: Callable[[Errors, Errors], Errors]) -> Smooth:
    def whole(errors: Errors) -> Errors:
        pieces = (smooth(np.arange(1.0, b - a + 1), errors[a:b]) for a, b in PIECES)
        return np.concatenate(list(pieces))

    return whole


def as_the_rule_does(errors: Errors) -> Errors:
    curve = StandardCurve([list(enumerate(errors.tolist(), 1))], RATES)
    return np.array([curve.at(epoch) for epoch in range(1, EPOCHS + 1)], dtype=float)


WAYS: dict[str, Smooth | None] = {
    "a straight line between errors": None,
    "differences to the mean as it is": lambda errors: errors,
    "... isotonic": by_stretch(lambda x, y: IsotonicRegression(increasing=False).fit_transform(x, y)),
    "... lowess of error over step": by_stretch(lambda x, y: lowess(y, x, it=0, return_sorted=False)),
    "... lowess of log error over log step: the rule": as_the_rule_does,
}


def left_out(points: Points, plain: Errors | None) -> Iterator[float]:
    """Off, at every point that has two neighbours."""
    for (a, e_a), (s, e_s), (b, e_b) in zip(points, points[1:], points[2:], strict=False):
        level = np.zeros(EPOCHS) if plain is None else plain
        d_a, d_b = e_a - level[a - 1], e_b - level[b - 1]
        yield float(level[s - 1] + d_a + (d_b - d_a) * (s - a) / (b - a) - e_s)


def recorded(way: Smooth | None) -> list[float]:
    """Of the trials of `digits`."""
    plain = plain_training("digits")
    level = None if way is None else way(np.mean(plain.errors, axis=0))
    spe = plain.steps_per_epoch
    found: list[float] = []
    for run in load()["lengths"]:
        points = [
            (step // spe, error)
            for step, error, full in zip(run.steps, run.errors, run.is_full, strict=True)
            if full and step in run.marks
        ]
        found += left_out(points, level)
    return found


def plain_runs(data: str, way: Smooth | None) -> list[float]:
    """Of each run of plain training against the mean of the others."""
    runs, rng = np.array(plain_training(data).errors), np.random.default_rng(0)
    drawn = [lengths(rng) for _ in range(DRAWS)]
    found: list[float] = []
    for i, run in enumerate(runs):
        level = None if way is None else way(np.delete(runs, i, axis=0).mean(axis=0))
        for s1, s2, cycles in drawn:
            steps = sorted({*range(s1, min(EPOCHS, cycles * (s1 + s2)), s1 + s2), EPOCHS})
            found += left_out([(s, float(run[s - 1])) for s in steps], level)
    return found


def main(studies: int) -> None:  # noqa: ARG001 - of what is recorded there is so much and no more
    print("mean and root mean square of |off|, points of error")
    for name, way in WAYS.items():
        cells = []
        for what, off in (
            ("trials, digits", recorded(way)),
            ("plain, digits", plain_runs("digits", way)),
            ("plain, CIFAR-10", plain_runs("cifar10", way)),
        ):
            x = 100 * np.abs(off)
            cells.append(f"{what} {x.mean():.2f}, {np.sqrt(np.mean(x**2)):.2f} (n = {len(x)})")
        print(f"  {name}: {'; '.join(cells)}")
