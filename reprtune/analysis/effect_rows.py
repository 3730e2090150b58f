"""A flat row for every comparison of the arms. Plain values in fractions, steps and GFLOPs; None where there is none."""

from __future__ import annotations

from typing import Any

from reprtune.analysis.effects import Effect, Price, Rate, effects
from reprtune.analysis.paired import Difference
from reprtune.record.schema import StudyRecord

SIDES = ("arm", "control")
PRICES = ("steps_alone", "gflops_alone", "steps_spent", "gflops_spent")
EFFECT_COLUMNS = (
    *("arm", "control", "group", "idea", "verdict", "why_open", "measured_on"),
    *("n_pairs", "n_missing", "n_left", "difference", "difference_low", "difference_high", "difference_sd"),
    *("p", "p_holm", "corrected_for", "better", "effect_d_z", "smallest", "needed", "sampling_error"),
    *("margin", "p_equivalence"),
    *("n_pairs_complete", "without_diverged", "without_diverged_low", "without_diverged_high"),
    *("with_chance", "with_chance_low", "with_chance_high"),
    *(f"{side}_{name}" for side in SIDES for name in ("n_diverged", "n_ended", "diverged_share", *PRICES)),
)


def effect_rows(record: StudyRecord) -> list[dict[str, Any]]:
    """In the order of the page. `difference` is what the verdict rests on: with chance error for diverged runs where
    some diverged (`with_chance`), else the one `without_diverged`."""
    return [_row(one) for one in effects(record)]


def _row(one: Effect) -> dict[str, Any]:
    c = one.comparison
    return {
        "arm": one.arm,
        "control": one.control,
        "group": one.group,
        "idea": one.idea or None,
        "verdict": one.verdict.value,
        "why_open": one.why.value if one.why else None,
        "measured_on": c.measured_on if c.judged else None,
        "n_pairs": one.n,
        "n_missing": one.missing,
        "n_left": one.left,
        **_interval("difference", c.judged),
        "difference_sd": c.judged.sd if c.judged else None,
        "p": c.p,
        "p_holm": c.p_holm,
        "corrected_for": one.m,
        "better": c.better,
        "effect_d_z": c.effect,
        "smallest": one.smallest,
        "needed": one.needed,
        "sampling_error": one.sampling,
        "margin": one.equivalence.margin if one.equivalence else None,
        "p_equivalence": one.equivalence.p if one.equivalence else None,
        "n_pairs_complete": c.difference.n if c.difference else 0,
        **_interval("without_diverged", c.difference),
        **_interval("with_chance", c.with_chance),
        **_side("arm", one.diverged, one.price),
        **_side("control", one.control_diverged, one.control_price),
    }


def _interval(name: str, found: Difference | None) -> dict[str, float | None]:
    ends = (found.mean, found.low, found.high) if found else (None, None, None)
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))


def _side(side: str, rate: Rate, price: Price) -> dict[str, float | None]:
    counted = {"n_diverged": rate.n, "n_ended": rate.of, "diverged_share": rate.share}
    return {f"{side}_{name}": value for name, value in {**counted, **vars(price)}.items()}
