"""Is what the product concludes right? Studies of known truth, before and after: `python -m benchmarks.truth NAME`."""

from __future__ import annotations

import argparse
import importlib

FIGURES: dict[str, str] = {  # name of a module here, each with `main(studies: int)` -> what it shows
    "health": "warnings of healthy studies, and of sick ones",
    "stopping": "share of equal trials that a stop rule stops, by cycle lengths",
    "luck": "the gain of the best of a search where nothing helps, and where something does",
    "coverage": "how often the paired t interval holds the true difference, by the shape of the differences",
    "curve": "a search, or its confirmed leader, is said to beat plain training of its cost",
    "importance": "which parameter matters, ranges of shares, whether the end can be predicted",
    "interactions": "pairs of parameters that act together",
    "directions": "arrows at parameters",
    "smoothing": "error of a rival between its points, by how plain training is smoothed",
    "decisions": "how often a rule says helps where nothing does, and sees what does",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "name", choices=[*FIGURES, "all"], help="; ".join(f"{k}: {v}" for k, v in FIGURES.items())
    )
    parser.add_argument(
        "--studies", type=int, default=1000, help="how many studies of each truth (default 1000)"
    )
    given = parser.parse_args()
    for name in FIGURES if given.name == "all" else [given.name]:
        importlib.import_module(f"benchmarks.truth.{name}").main(given.studies)


if __name__ == "__main__":
    main()
