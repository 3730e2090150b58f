"""Pages of methods that act after every epoch, or begin new generations."""

from __future__ import annotations

from dataclasses import replace

from dashboards import curves, dropmap
from reprtune.history import Drop, Happening, History, Point

LAYERS = {"conv1": 3, "conv2": 4}


def history(n_drops: int) -> History:
    """Ten steps an epoch; after epoch i the filter i modulo 4 of conv2 is dropped."""
    drops = tuple(
        Drop(cycle=i, step=10 * (i + 1), dropped={"conv2": (i % 4,)}, overlap={}) for i in range(n_drops)
    )
    points = tuple(
        Point(step=10 * (i + 1), phase="full", cycle=0, lr=0.1, train_loss=1.0, val_loss=1.0, val_error=0.5,
              gflops=1.0, seconds=1.0, time=0.0)
        for i in range(n_drops)
    )  # fmt: skip
    return History(total_steps=10 * n_drops, steps_per_epoch=10, layers=LAYERS, points=points, drops=drops)


def drawn(n_drops: int) -> tuple[list[str], list[list[int | None]]]:
    """Names and cells of the rows of a trial's map."""
    one = dropmap.drop_map(history(n_drops), "x")
    heat = dropmap.figure(dropmap.DropMapInfo(maps=(one,), n_with_drops=1)).data[len(dropmap.STATES)]
    return list(heat.y), [list(row) for row in heat.z]


def test_a_hundred_drops_are_drawn_as_a_few() -> None:
    """Evenly over the trial, as high as sixteen cycles; whether a filter was dropped before counts those between."""
    names, rows = drawn(100)
    shown = [name for name in names if "conv2" in name]
    assert [name.split()[1] for name in shown] == [str(i * 100 // 16 + 1) for i in range(16)]
    assert len(rows) == 16 * 2 + 15
    at = names.index("cycle 7 · conv2")  # the seventh: filter 2 was dropped in the third, which is not drawn
    assert rows[at] == [0, 0, 2, 0]
    said = dropmap.words(dropmap.DropMapInfo(maps=(dropmap.drop_map(history(100), "x"),), n_with_drops=1))
    assert "Of more than 16 drops of a trial so many are drawn" in said.reading


def test_a_few_drops_are_all_drawn() -> None:
    """As before."""
    names, rows = drawn(5)
    assert [name for name in names if "conv2" in name] == [f"cycle {i} · conv2" for i in range(1, 6)]
    assert rows[names.index("cycle 1 · conv2")] == [1, 0, 0, 0]
    assert rows[names.index("cycle 5 · conv2")] == [2, 0, 0, 0]


def test_a_new_generation_is_a_line_in_the_curve() -> None:
    """At its epoch, once for all networks, and the words say so."""
    renewed = tuple(Happening(kind="renew", step=20, member=member) for member in (0, 1))
    plain = replace(history(5), drops=())
    told = replace(plain, happenings=(*renewed, Happening(kind="measure", step=30, numbers={"a": 1.0})))
    one = curves.curve(told, "x", "complete")
    assert one.renewals == (2.0,)
    info = curves.CurvesInfo(curves=(one,), n=1)
    [line] = curves.figure(info).layout.shapes
    assert (line.x0, line.x1, line.y0, line.y1, line.line.dash) == (2, 2, 0, 1, "dot")
    assert "A dotted line: a new generation begins." in curves.words(info).reading
    none = curves.CurvesInfo(curves=(curves.curve(plain, "x", "complete"),), n=1)
    assert "dotted" not in curves.words(none).reading and not curves.figure(none).layout.shapes
