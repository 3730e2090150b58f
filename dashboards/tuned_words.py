"""How arms are tuned, and what was chosen, in a few words. No plotly."""

from __future__ import annotations

from dashboards.units import count, listed, value_text
from reprtune.analysis.tuned import Try, Tuned
from reprtune.record.schema import StudyRecord
from reprtune.spec.parts.places import short_path
from reprtune.spec.sections.tune import Tune


def how(record: StudyRecord) -> tuple[str, ...]:
    """With which budget the arms of each section are tuned; nothing where none is."""
    spec = record.spec
    several = len(spec.comparisons) > 1
    return tuple(
        f"Each of the {count(len(one.arms(spec.base)), 'arm')}{f' of {one.name}' if several else ''} is tuned first, by "
        f"{budget(one.tune)}, on seeds of their own and the validation part alone; all its runs have the settings of its "
        "best try."
        for one in spec.comparisons
        if one.tune is not None
    )


def budget(tune: Tune) -> str:
    """`8 tries of training.lr and method.prune_ratio with 2 seeds each`."""
    fields = listed([short_path(path) for path in tune.space])
    return f"{count(tune.tries, 'try', 'tries')} of {fields} with {count(tune.seeds, 'seed')} each"


def chosen(arm: Tuned) -> str:
    """What was chosen, in a few words."""
    if arm.settings is None:
        return f"{count(arm.left, 'run')} of tries left"
    one = arm.chosen
    if one is None:
        return "as declared, for no try has a result"
    return f"try {one.n} ({drawn(one) or 'nothing to tune'})"


def drawn(one: Try) -> str:
    """`lr=0.0123, prune_ratio=0.4`, with the last words of the paths."""
    said = {short_path(path).rpartition(".")[2]: v for path, v in one.drawn.items()}
    return ", ".join(f"{name}={_rounded(v)}" for name, v in said.items())


def _rounded(v: object) -> str:
    return f"{v:.3g}" if isinstance(v, float) else value_text(v)
