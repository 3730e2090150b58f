"""What must fit together where filters are tied to others."""

from __future__ import annotations

from typing import Any

import pytest

from reprtune.errors import SpecError
from reprtune.spec.parts.selections import PLACEMENTS, TRANSFORMS, Drop, Tied
from reprtune.spec.presets import REPR, compose
from reprtune.spec.presets import TRANSFORMS as METHOD
from reprtune.training.surgery import spatial, tied_conv

FEATURES = {
    "schedule": "phase", "restore": "none", "ending": "keep-tied", "placement": "features",
}  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        {}, {"ending": "keep-tied"}, {"transforms": "affine", "fit_scale": True}, {"schedule": "every"},
        {"schedule": "phase", "restore": "none"}, {"schedule": "phase", "restore": "none", "ending": "keep-tied"},
        {"s2": "0ep"}, FEATURES,
    ],
)  # fmt: skip
def test_what_fits_together(words: dict[str, Any]) -> None:
    """Untied in cycles, periods or at once; kept so in the end; never untied in one phase."""
    assert isinstance(compose(METHOD, **words).drop, Tied)


@pytest.mark.parametrize(
    ("words", "rule", "way_out"),
    [
        ({"restore": "orthogonal"}, "method.restore = orthogonal does not go with method.drop = tied",
         "method.restore = untied"),
        ({"restore": "old"}, "method.restore = old does not go with method.drop = tied", "method.restore = untied"),
        ({"schedule": "every", "ending": "keep-tied"}, "method.ending = keep-tied needs a schedule",
         "cycles or phase"),
        ({"placement": "features"}, "method.placement = features cannot be untied", "method.placement = weights"),
        ({"placement": "features", "ending": "keep-tied"}, "method.placement = features cannot be untied",
         "method.restore = none"),
        ({"placement": "features", "schedule": "phase", "restore": "none"},
         "method.placement = features cannot be untied", "method.ending = keep-tied"),
        ({"selection": "everything", "criterion": "none"}, "method.selection = everything takes whole layers", ""),
        ({"transforms": "mirror"}, "There is no method.transforms 'mirror'", "symmetries"),
        ({"placement": "maps"}, "There is no method.placement 'maps'", "features"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together(words: dict[str, Any], rule: str, way_out: str) -> None:
    """Said with what was given and a way out."""
    with pytest.raises(SpecError) as caught:
        compose(METHOD, **words)
    assert rule in caught.value.message and way_out in str(caught.value.hint)


@pytest.mark.parametrize(
    ("words", "part"),
    [({"restore": "untied"}, "restore = untied"), ({"ending": "keep-tied"}, "ending = keep-tied")],
)
def test_untying_needs_ties(words: dict[str, Any], part: str) -> None:
    """RePr has none."""
    with pytest.raises(SpecError, match=f"method.{part} needs method.drop = tied"):
        compose(REPR, **words)


def test_the_words_are_those_of_what_runs() -> None:
    """Sets of transforms and placements have the same names as a value and in training."""
    assert (*spatial.SETS,) == TRANSFORMS
    assert tied_conv.PLACEMENTS == PLACEMENTS


def test_only_maps_that_are_tied_change_what_a_step_computes() -> None:
    """Every other drop leaves the network's modules as they are."""
    assert not any(kind().changes_step for kind in Drop.kinds)
    assert Tied(placement="features").changes_step
