"""The pages of arms: findings in words, forests, slopes and costs, against the errors that were put in."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from dashboards import arms_pareto, effects, slopes
from dashboards.effects import LONG
from dashboards.labels import wrapped
from dashboards.pages import pages_of
from dashboards.tables import latex, markdown
from reprtune.record.schema import StudyRecord
from reprtune.spec.designs.arm import Arm
from reprtune.spec.designs.named import NamedArms
from tests.ablated import STANDARD, designed, leave_one_out
from tests.factories import comparison, make_study

A4_TEXT = 455.2  # pt: 210 mm less two margins of 2.5 cm
DIGIT, SEPARATION = 4.25, 6.0  # pt: of Computer Modern at 8 pt (cmr8), and twice a tabcolsep of 3 pt


def many(*, diverged: bool = False) -> StudyRecord:
    """30 arms with long names, which cost more and more and get worse."""
    rng = np.random.default_rng(4)
    base = rng.normal(0.06, 0.004, 5)
    words = (
        "criterion-ortho-dim-per-layer",
        "lr",
        "a-very-long-name-of-an-arm",
        "wide_bottleneck",
        "unbroken" * 3,
    )
    arms = [Arm(name=f"{words[i % 5]}-{i}", changes={"method": "repr"}) for i in range(30)]
    errors: dict[str, tuple[float | str, ...]] = {"standard": tuple(map(float, base))}
    for i, arm in enumerate(arms):
        errors[arm.name] = tuple(float(x) for x in base + (i - 12) * 0.0004 + rng.normal(0, 0.0015, 5))
    if diverged:
        errors[arms[3].name] = (*errors[arms[3].name][:4], "diverged")
    cost = {arm.name: 40 + 3.0 * i for i, arm in enumerate(arms)}
    return designed(NamedArms(list=(STANDARD, *arms)), errors, cost=cost)


def test_parts_of_a_whole_are_told_first() -> None:
    """Which part helps, which harms, how many show nothing; the control of the whole stands by itself."""
    found = effects.info(
        leave_one_out(8, gains={"standard": 0.02, "restore-random": 0.02, "scope-layer": -0.02})
    )
    first, second, third = effects.words(found).lead
    assert re.fullmatch(
        r"Of 8 ways to take one of 7 parts away from repr, 1 shows that the part helps: restore \(.\d\.\d\d points against "
        r"restore-random\); 1 that it harms: scope \(\+\d\.\d\d points against scope-layer\); 6 show neither\.",
        first,
    )
    assert re.fullmatch(
        r"repr is shown to help against standard \(.\d\.\d\d points of test error\)\.", second
    )
    assert third.startswith("Not shown is not the same as no effect")


def test_arms_against_one_control() -> None:
    """In the plural and singular, by what was put in."""
    arms = tuple(Arm(name=name, changes={"method": "repr"}) for name in ("a", "b", "c"))
    base = (0.060, 0.062, 0.058, 0.061, 0.063)
    noise = (0.0003, -0.0002, 0.0001, -0.0003, 0.0002)
    errors = {
        "standard": base,
        "a": tuple(e - 0.01 + x for e, x in zip(base, noise, strict=True)),
        "b": tuple(e - 0.02 - x for e, x in zip(base, noise, strict=True)),
        "c": tuple(e + x for e, x in zip(base, noise, strict=True)),
    }
    said = effects.words(effects.info(designed(NamedArms(list=(STANDARD, *arms)), errors))).lead[0]
    assert said == (
        "Of 3 arms against standard, 2 are shown to help: b (\N{MINUS SIGN}2.00 points) and a (\N{MINUS SIGN}1.00 points); none to harm; 1 is not shown to "
        "do either."
    )


@pytest.mark.parametrize("diverged", [False, True])
def test_a_row_for_each_of_thirty(diverged: bool) -> None:
    """Labels do not overlap; one diverged run does not squeeze the others, and is written at the edge."""
    figure = effects.figure(effects.info(many(diverged=diverged)))
    places, labels = figure.layout.yaxis.tickvals, figure.layout.yaxis.ticktext
    assert len(labels) == 31 and len({*labels}) == 31
    lines = [1 + label.count("<br>") for label in labels]
    for (y, n), (z, m) in zip(
        zip(places, lines, strict=True), list(zip(places, lines, strict=True))[1:], strict=False
    ):
        assert z - y >= 14 * (n + m) / 2
    low, high = figure.layout.xaxis.range
    assert -5 < low < 0 < high < 5
    edge = [a.text for a in figure.layout.annotations if "diverged" in (a.text or "")]
    assert len(edge) == diverged and all("1 run diverged" in text for text in edge)


def test_verdicts_have_symbols_of_their_own() -> None:
    """The colour is never the only sign."""
    figure = effects.figure(
        effects.info(leave_one_out(8, gains={"restore-random": 0.02, "scope-layer": -0.02}))
    )
    symbols = {t.name: t.marker.symbol for t in figure.data if t.name in LONG.values()}
    assert len(symbols) == 3 == len({*symbols.values()})


def test_slopes_are_the_errors_by_seed() -> None:
    """At most six panels, the largest differences; a line from the control's error to the arm's for each seed."""
    record = leave_one_out(5, gains={"standard": 0.02})
    found = slopes.info(record)
    assert len(found.slopes) == 6 and found.slopes[0].effect.control == "standard"
    error = {(t.arm, t.seed): 100 * t.result["test_error"] for t in record.controls}
    lines = [t for t in slopes.figure(found).data if t.xaxis in (None, "x") and t.name != "mean"]
    assert [list(t.y) for t in lines] == [
        pytest.approx([error["standard", s], error["repr", s]]) for s in range(5)
    ]
    assert {t.line.dash for t in lines} == {"solid"}


def test_arms_by_cost() -> None:
    """Means over seeds; the front by brute force."""
    record = many()
    points = arms_pareto.info(record).points
    mean = {
        arm.name: np.mean([t.result["test_error"] for t in record.controls if t.arm == arm.name])
        for arm in record.spec.arms
    }
    cost = {
        arm.name: np.mean([(t.values or {})["train_gflops"] for t in record.controls if t.arm == arm.name])
        for arm in record.spec.arms
    }
    for one in points:
        beaten = any(mean[o] <= mean[one.arm] and cost[o] < cost[one.arm] for o in mean)
        assert one.error == pytest.approx(mean[one.arm]) and one.on_front == (not beaten)


def test_no_accuracy_that_cannot_be_is_drawn() -> None:
    """The t intervals of few seeds near 0 and 1 reach beyond; the axis does not, and holds every other end."""
    arms = (STANDARD, Arm(name="a", changes={"method": "repr"}))
    near = designed(NamedArms(list=arms), {"standard": (0.0, 0.001, 0.02), "a": (0.97, 1.0, 0.9)})
    assert tuple(arms_pareto.figure(arms_pareto.info(near)).layout.yaxis.range) == (0, 100)
    far = designed(NamedArms(list=arms), {"standard": (0.3, 0.31, 0.32), "a": (0.4, 0.41, 0.42)})
    low, high = arms_pareto.figure(arms_pareto.info(far)).layout.yaxis.range
    half = 4.302653 * 1 / 3**0.5  # t of 2 degrees of freedom, sd 1 point
    assert 0 < low < 59 - half < 69 + half < high < 100


def test_what_is_missing_is_said() -> None:
    """One comparison, none, nothing trained."""
    arms = (STANDARD, Arm(name="a", changes={"method": "repr"}))
    one = designed(NamedArms(list=arms), {"standard": (0.1, 0.11, 0.12), "a": (0.1, 0.1, 0.1)})
    alone = designed(NamedArms(list=arms[:1]), {"standard": (0.1, 0.11, 0.12)})
    for record in (one, alone, make_study(0, extras=(), control_seeds=())):
        for page in (effects, slopes):
            assert page.words(page.info(record)).missing
            page.figure(page.info(record))
    assert arms_pareto.words(arms_pareto.info(alone)).missing
    assert {"effects", "slopes", "arms_pareto"} <= {*pages_of(comparison())}
    assert "effects" not in pages_of(make_study(3, controls=(), control_seeds=()))


@pytest.mark.parametrize("diverged", [False, True])
def test_the_table_fits_a_page(diverged: bool) -> None:
    """Counted in characters at the width of a digit, whatever the names: every column that does not wrap by its longest
    cell, the others as their head says; and no piece of a wrapped cell is wider than its column."""
    table = effects.table(effects.info(many(diverged=diverged)).effects)
    text = latex(table, "effects")
    head = re.search(r"\\begin\{(?:tabular|longtable)\}\{(.*)\}$", text, re.MULTILINE)
    assert head is not None and r"\footnotesize" in text
    kinds = re.findall(r">\{\\ragged\w+\\arraybackslash\}p\{(\d+)pt\}|([lr])", head[1])
    columns = list(zip(table.header, *table.rows, strict=True))
    assert len(kinds) == len(columns)
    width = 0.0
    for (points, _), column in zip(kinds, columns, strict=True):
        width += SEPARATION + (float(points) if points else DIGIT * max(map(len, column)))
        if points:
            words = [w for cell in column for w in re.split(r"[-_. ]", cell) if not re.search(r"\d", w)]
            assert max(min(len(w), 12) for w in words) * 4.0 <= float(points)
    assert width <= A4_TEXT
    assert "Better: share of seeds" in markdown(table)


def test_a_real_latex_finds_nothing_too_wide(tmp_path: Path) -> None:
    """Of the widest table, on A4 with margins of 2.5 cm: no overfull box."""
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("no pdflatex: apt-get install texlive-latex-base texlive-latex-recommended")
    table = latex(effects.table(effects.info(many(diverged=True)).effects), "effects")
    head = "\\documentclass[a4paper]{article}\\usepackage[margin=2.5cm]{geometry}\\usepackage{array,booktabs,longtable}\n"
    (tmp_path / "x.tex").write_text(
        f"{head}\\begin{{document}}\n{table}\\end{{document}}\n", encoding="ascii"
    )
    done = subprocess.run(
        [program, "-interaction=nonstopmode", "-halt-on-error", "x.tex"],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull \\hbox" not in done.stdout


def test_labels_wrap_at_their_signs() -> None:
    """By hand; and escaped."""
    assert wrapped("short") == "short"
    assert wrapped("criterion-ortho-dim-per-layer") == "criterion-ortho-<br>dim-per-layer"
    assert wrapped("x" * 40).count("<br>") == 2


@pytest.mark.parametrize(
    ("ours", "alike"),
    [
        ((0.05, 0.05, 0.05), True),
        ((0.07, 0.07, 0.07), True),
        ((0.07, 0.07, 0.06), False),
        ((0.05, 0.05, 0.06), False),
    ],
)
def test_an_equal_seed_runs_neither_way(ours: tuple[float, ...], alike: bool) -> None:
    """Every seed lower, or every seed higher; one that is equal is neither, whichever way the others run."""
    arm = Arm(name="ours", changes={"method": "repr"})
    record = designed(NamedArms(list=(STANDARD, arm)), {"standard": (0.06, 0.06, 0.06), "ours": ours})
    assert [one.all_alike for one in slopes.info(record).slopes] == [alike]
