"""Is what the product concludes right? Studies of known truth, before and after: `python -m benchmarks.truth NAME`."""

from __future__ import annotations

import argparse
import importlib

FIGURES: dict[
    str, str
] = {  # name of a module here, each with `main(studies: int)` -> what it shows; as a report goes
    "decisions": "how often a rule says helps where nothing does, and sees what does",
    "health": "how often a check warns of a healthy study, and of a sick one",
    "luck": "the gain of the best of a search where nothing helps, and where something does",
    "coverage": "how often the paired t interval holds the true difference, by the shape of the differences",
    "sequential": "false positives, power and seeds used where seeds are added to open comparisons only",
    "curve": "how often a search, or its confirmed leader, is said to beat plain training of its cost",
    "importance": "which parameter matters, ranges of shares, whether the end can be predicted",
    "directions": "arrows at parameters",
    "interactions": "pairs of parameters that act together",
    "factorial": "how often a factorial design names a factor or a pair, and how well its intervals cover",
    "path": "how often an ablation path takes the largest change first, and by how much its gains are flattered",
    "tuned": "how often something is said of arms that were tuned and do not differ, on fresh seeds and on those of their tries",
    "stopping": "share of equal trials that a stop rule stops, by cycle lengths",
    "smoothing": "error of a rival between its points, by how plain training is smoothed; of recorded curves",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.truth",
        description=__doc__,
        epilog="\n".join(f"  {name:14}{what}" for name, what in FIGURES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", choices=[*FIGURES, "all"], help="one of these below, or all")
    parser.add_argument(
        "--studies", type=int, default=1000, help="how many studies of each truth (default 1000)"
    )
    given = parser.parse_args()
    for name in FIGURES if given.name == "all" else [given.name]:
        importlib.import_module(f"benchmarks.truth.{name}").main(given.studies)


if __name__ == "__main__":
    main()
