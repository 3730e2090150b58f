"""A trial's page: small, drawn without a script, and every place in its figures that of its number."""

from __future__ import annotations

import base64
import io
import math
import random
import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from dashboards import curves, dropmap, happenings, svg, theme
from dashboards.png import png
from dashboards.svg_axes import axis, nice
from dashboards.trial_page import drawn, trial_html
from reprtune.history import Drop, Happening, History, Point, Restore

N_POINTS, N_CYCLES, PER_EPOCH = 2000, 16, 10
LAYERS = {f"layer{b}.{i}": 16 * b for b in (1, 2, 4) for i in range(6)}
MOST_BYTES = 400_000
HALF = 0.5 / 10_000  # of the range: places are whole ten-thousandths of it
TICK = 0.1 / 400  # of the range: as exactly are ticks placed


def long_trial() -> History:
    """2,000 points with two that are not finite, 16 cycles, two numbers measured at each point."""
    draw = random.Random(0)
    steps = [5 * (i + 1) for i in range(N_POINTS)]
    errors = [0.08 + 0.7 * math.exp(-i / 300) + 0.05 * draw.random() for i in range(N_POINTS)]
    errors[700] = errors[702] = math.nan
    points = tuple(
        Point(
            step=step, phase="sub" if i * N_CYCLES / N_POINTS % 1 >= 0.6 else "full", cycle=i * N_CYCLES // N_POINTS,
            lr=0.1, train_loss=1.0, val_loss=1.0, val_error=error, gflops=1.0, seconds=1.0, time=1.0,
        )
        for i, (step, error) in enumerate(zip(steps, errors, strict=True))
    )  # fmt: skip
    ends = [steps[-1] * (c + 1) // N_CYCLES for c in range(N_CYCLES)]
    drops = tuple(
        Drop(
            step=end - 250, cycle=c, overlap=dict.fromkeys(LAYERS, 0.25),
            dropped={k: tuple(sorted(draw.sample(range(n), n // 3))) for k, n in list(LAYERS.items())[1:]},
        )
        for c, end in enumerate(ends)
    )  # fmt: skip
    restores = tuple(
        Restore(step=end, cycle=c, levels={}, overlap=dict.fromkeys(LAYERS, 0.125))
        for c, end in enumerate(ends)
    )
    told = tuple(
        Happening(kind="measure", step=step, numbers={"distance": 1 / step, "norm": 1 + draw.random()})
        for step in steps
    )
    return History(
        total_steps=steps[-1], steps_per_epoch=PER_EPOCH, layers=LAYERS, points=points, drops=drops,
        restores=restores, happenings=told,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trial() -> History:
    return long_trial()


def parsed(html: str) -> ET.Element:
    return ET.fromstring(f"<div>{html}</div>")


def having(root: ET.Element, kind: str, name: str) -> list[ET.Element]:
    return [e for e in root.iter(kind) if name in e.get("class", "").split()]


def places(path: str) -> list[list[tuple[float, float]]]:
    """Of each line of a path, where its points are, as shares from the left and from the bottom."""
    found = []
    for line in re.findall(r"M[^M]+", path):
        numbers = [float(n) for n in re.findall(r"-?\d+", line.replace("h0", ""))]
        at = np.cumsum(np.array(numbers).reshape(-1, 2), axis=0) / 10_000
        found.append([(x, 1 - y) for x, y in at])
    return found


def scale(root: ET.Element, kind: str, *, log: bool = False):
    """What a reader does: from the outermost two labels of an axis to the value at any place on it."""
    height = float(next(root.iter("svg")).get("height"))
    labels = [t for t in having(root, "text", kind) if re.fullmatch(r"[\d.]+", t.text or "")]
    if kind == "middle":
        at = [(float(t.get("x")[:-1]) / 100, float(t.text)) for t in labels]
    else:
        at = [(1 - (float(t.get("y")) - 4) / height, float(t.text)) for t in labels]
    (a, low), (b, high) = min(at), max(at)
    low, high = (math.log10(low), math.log10(high)) if log else (low, high)
    return lambda share: low + (share - a) / (b - a) * (high - low), (high - low) / (b - a)


def test_a_long_trial_weighs_little_and_loads_nothing(trial):
    """2,000 points, 16 cycles, two things measured: at most 0.4 MB, no script but what prints and folds."""
    page = trial_html(trial, "slot 0")
    assert len(page.encode()) <= MOST_BYTES
    assert re.findall(r"(?:src|href)=\"(?!#|data:)([^\"]*)", page) == []
    assert "<script src" not in page and "plotly" not in page and len(re.findall("<script", page)) == 1
    assert page.count('role="img" aria-label=') == 3


def test_every_point_of_a_curve_is_where_its_axes_say(trial):
    """Read off the labels, each point is its epoch and its error; a number that is not finite is a gap."""
    curve = curves.curve_of_all(trial, "slot 0", "trial")
    root = parsed(svg.drawn(curves.figure(curves.CurvesInfo(curves=(curve,), n=1))))
    [path] = [p for p in having(root, "path", "line") if p.get("stroke") == theme.VERMILLION]
    lines = places(path.get("d"))
    assert [len(line) for line in lines] == [700, 1, N_POINTS - 703]
    finite = [p for p in trial.points if math.isfinite(p.val_error)]
    x, x_range = scale(root, "middle")
    y, y_range = scale(root, "end", log=True)
    got = [(x(a), y(b)) for line in lines for a, b in line]
    assert np.allclose(
        [a for a, _ in got], [p.step / PER_EPOCH for p in finite], atol=x_range * (HALF + TICK)
    )
    assert np.allclose(
        [b for _, b in got], [math.log10(100 * p.val_error) for p in finite], atol=y_range * (HALF + TICK)
    )
    shades = [r for r in root.iter("rect") if r.get("fill") == theme.SKY]
    assert len(shades) == N_CYCLES


def test_points_tell_their_numbers(trial):
    """To whoever points at them: evenly, no more than a figure has pixels; the numbers are the data's."""
    curve = curves.curve_of_all(trial, "slot 0", "trial")
    root = parsed(svg.drawn(curves.figure(curves.CurvesInfo(curves=(curve,), n=1))))
    [told] = having(root, "g", "told")
    titles = [t.text for t in told.iter("title")]
    assert len(titles) == svg.MAX_TOLD
    first = trial.points[0]
    assert titles[0] == f"epoch {first.step / PER_EPOCH:.4g}: {100 * first.val_error:.2f} % (chosen)"


def test_every_cell_has_the_colour_of_its_filter(trial):
    """Kept, dropped, dropped again: pixel by pixel, as a loop over the drops says; each row tells its filters."""
    root = parsed(
        svg.drawn(dropmap.figure(dropmap.DropMapInfo(maps=(dropmap.drop_map(trial, "t"),), n_with_drops=1)))
    )
    [image] = root.iter("image")
    content = base64.b64decode(image.get("href").removeprefix("data:image/png;base64,"))
    pixels = np.array(Image.open(io.BytesIO(content)).convert("RGBA"))
    seen: dict[str, set[int]] = {layer: set() for layer in LAYERS}
    kept, blue, orange = (138, 138, 138, 56), (0x25, 0x63, 0xD9, 255), (0xC0, 0x8A, 0x00, 255)
    n_again, row = 0, 0
    for k, drop in enumerate(trial.drops):
        row += k > 0  # an empty row parts the cycles
        for layer, n in LAYERS.items():
            taken = set(drop.dropped.get(layer, ()))
            looks = [(orange if i in seen[layer] else blue) if i in taken else kept for i in range(n)]
            assert [tuple(p) for p in pixels[row, :n].tolist()] == looks
            assert not pixels[row, n:, 3].any()
            n_again += len(taken & seen[layer])
            seen[layer] |= taken
            row += 1
    assert row == pixels.shape[0]
    dots = max(having(root, "path", "line"), key=lambda path: len(path.get("d")))
    assert dots.get("d").count("h0") == n_again > 0
    titles = [t.text for t in root.iter("title")]
    gone = trial.drops[0].dropped["layer1.1"]
    assert f"cycle 1 · layer1.1; dropped: {', '.join(map(str, gone))}" in titles


def test_what_is_not_drawn_without_plotly_is_refused():
    """Rather than left out in silence."""
    figure = theme.figure(200)
    figure.add_bar(x=[1], y=[2])
    with pytest.raises(ValueError, match="scatter and heatmap, but got bar"):
        svg.drawn(figure)


def test_every_symbol_of_the_theme_has_a_mark():
    """What is measured is told apart by symbols too, on the page and in its legend."""
    numbers = {f"n{i}": 1.0 + i for i in range(len(theme.SYMBOLS))}
    told = tuple(Happening(kind="measure", step=step, numbers=numbers) for step in (10, 20))
    history = History(total_steps=20, steps_per_epoch=10, happenings=told)
    root = parsed(svg.drawn(happenings.figure(happenings.info(history))))
    assert [item.text or item[0].tail for item in root.iter("li")] == list(numbers)
    outlines = [next(m.iter("path")).get("d") for m in root.iter("svg") if m.get("overflow")]
    assert len(set(outlines)) == len(theme.SYMBOLS) and len(outlines) == 3 * len(theme.SYMBOLS)


@pytest.mark.parametrize(
    ("low", "high", "whole", "expected"),
    [
        (0, 60, False, [0, 10, 20, 30, 40, 50, 60]),
        (0, 1, False, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-0.5, 3.5, True, [0, 1, 2, 3]),
        (63.5, -0.5, True, [0, 20, 40, 60]),
    ],
)
def test_ticks_are_round_numbers(low, high, whole, expected):
    """Multiples of 1, 2 or 5, at most about six; whole numbers for whole numbers."""
    assert nice(low, high, whole=whole) == expected


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.001, 1000], ["0.001", "0.01", "0.1", "1", "10", "100", "1000"]),
        ([1, 50], ["1", "2", "5", "10", "20", "50"]),
        ([42, 42], ["20", "50", "100"]),
    ],
)
def test_a_logarithmic_axis_has_round_numbers(values, labels):
    """Powers of ten over many of them, twos and fives too over few; one value has an axis as well."""
    assert [label for _, label in axis({"type": "log"}, values).ticks] == labels


def test_what_users_write_stays_text():
    """In names, labels and what points tell."""
    evil = "<script>alert(1)</script>&"
    point = Point(
        step=10, phase="full", cycle=0, lr=0.1, train_loss=1.0, val_loss=1.0, val_error=0.5, gflops=1.0, seconds=1.0, time=1.0,
    )  # fmt: skip
    drop = Drop(step=10, cycle=0, dropped={evil: (1,)}, overlap={})
    history = History(total_steps=20, steps_per_epoch=10, layers={evil: 4}, points=(point,), drops=(drop,))
    page = trial_html(history, evil)
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;&amp;" in page


def test_pages_of_earlier_versions_are_made_whole():
    """What they stored without plotly.js gets it; the rest stays as it is."""
    old = "<!DOCTYPE html>\n<script>/* here goes plotly.js */</script>\n<script>draw();</script>"
    page = drawn(old)
    assert "plotly.js v" in page and page.endswith("</script>\n<script>draw();</script>")


def test_a_picture_is_what_was_asked_for():
    """Pixel by pixel, clear ones too, as another program reads it."""
    rows = [["#102030", None], [None, "rgba(1,2,3,0.5)"]]
    pixels = np.array(Image.open(io.BytesIO(png(rows))).convert("RGBA")).tolist()
    assert pixels[0][0] == [16, 32, 48, 255] and pixels[1][1] == [1, 2, 3, 128]
    assert pixels[0][1][3] == pixels[1][0][3] == 0
    assert png(rows) == png(rows)
