"""What `train` says of drops and endings, in words."""

from __future__ import annotations

from typing import Any

from dashboards.happened import dropped, ended
from dashboards.lengths import ends, lengths
from dashboards.terminal import trial_result
from reprtune.history import Drop, Happening, History
from reprtune.spec.codec import to_plain
from studies.family import STUDY as FAMILY
from studies.repr_ablation import STUDY as ABLATION


def _history(drops: tuple[Drop, ...] = (), happenings: tuple[Happening, ...] = ()) -> dict[str, Any]:
    plain = to_plain(History(total_steps=4, steps_per_epoch=2, drops=drops, happenings=happenings))
    assert isinstance(plain, dict)
    return plain


def _drop(**filters: tuple[int, ...]) -> Drop:
    return Drop(step=1, cycle=0, dropped=filters, overlap={})


def _end(member: int, params: float, gap: float) -> Happening:
    numbers = {"params_before": 19242.0, "params": params, "gap": gap}
    return Happening(kind="end", step=4, member=member, numbers=numbers)


def test_what_was_dropped_is_counted_over_all_drops() -> None:
    """Filters by their lists, single weights by what the drop tells of each layer; that nothing was found is said."""
    filters = (_drop(a=(0, 2), b=(1,)), _drop(a=(3,)))
    assert dropped(_history(filters)) == "4 filters in 2 drops"
    weights = Happening(kind="drop", step=1, numbers={"a": 1000.0, "fc": 96.0})
    assert dropped(_history((_drop(),), (weights,))) == "1,096 single weights in 1 drop"
    tied = Happening(kind="drop", step=1, numbers={"tied_distance": 1.25})
    assert dropped(_history((_drop(a=(1,)),), (tied,))) == "1 filter in 1 drop"
    assert dropped(_history((_drop(), _drop()))) == "nothing in 2 drops"
    assert dropped(_history()) == ""


def test_an_ending_says_sizes_and_the_gap() -> None:
    """Of each network by its number where there are several; no ending, or one by length alone, says nothing."""
    one = (_end(0, 7710.0, 0.16366),)
    said = "19,242 parameters before, 7,710 after; logits differ by up to 0.164"
    assert ended(_history(happenings=one)) == said
    same = "19,242 parameters before, 13,770 after; logits are the same"
    both = ended(_history(happenings=(*one, _end(1, 13770.0, 0.0))))
    assert both == f"member-0: {said}; member-1: {same}"
    assert ended(_history(happenings=(Happening(kind="end", step=4),))) == ""
    assert ended(_history()) == ""


def test_the_terminal_says_both_after_the_error() -> None:
    """And neither for a trial that knew no drop and no ending."""
    result = {
        "outcome": "complete", "val_error": 0.1, "steps": 4, "train_gflops": 1.0,
        "seconds": 1.0, "device": "cpu", "state": "s",
    }  # fmt: skip
    told = _history((_drop(a=(1,)),), (_end(0, 7710.0, 0.0),))
    said = trial_result({**result, "history": told}).splitlines()
    assert said[2:4] == [
        "dropped           1 filter in 1 drop",
        "its ending        19,242 parameters before, 7,710 after; logits are the same",
    ]
    plain = trial_result({**result, "history": _history()})
    assert "dropped" not in plain and "ending" not in plain


def test_create_says_how_long_trials_are() -> None:
    """One length where all have that of the base, else from the shortest to the longest: 100 and 200 epochs of 16
    steps in `family`, 40 to 100 in `repr-ablation`."""
    assert [str(total) for total in ends(FAMILY, 16)] == ["100ep", "200ep"]
    assert lengths(FAMILY, 16) == "1,600 to 3,200" and lengths(ABLATION, 16) == "640 to 1,600"
