"""The report as a folder: complete, self-contained, escaped, never half-written."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import json
import re
import time
from html.parser import HTMLParser

import pytest
from plotly.offline import get_plotlyjs

from dashboards import html, pages, report
from dashboards.html import SHOWN_ROWS
from dashboards.report import write_report
from dashboards.trial_page import trial_html
from reprtune.errors import StudyError
from reprtune.history import History
from tests.factories import make_study

PAGES = {
    key: page
    for key, page in pages.PAGES.items()
    if page.about not in ("factorial", "regimes", "path", "tuned")
}

EVIL = "</script><script>alert(1)</script><b>&"
VOID = {"meta", "link", "br", "img", "input", "hr"}
NAMES = {"report.html", "manifest.json", *(f"figures/{p}.json" for p in PAGES)}
NAMES |= {
    f"{table}.csv" for table in ("trials", "decisions", "controls", "effects", "confirmation", "comparisons")
}


def names_of(record) -> set[str]:
    """Every file of its report: each page that has a table has it as three files."""
    with_table = [key for key, page in PAGES.items() if page.words(page.info(record)).table]
    return NAMES | {f"tables/{key}.{kind}" for key in with_table for kind in ("csv", "md", "tex")}


class Balanced(HTMLParser):
    """Elements that are opened and closed in order, ids, and what is loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.headings: list[str] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if "id" in values:
            self.ids.append(values["id"])
        self.loads += [values[k] for k in ("src", "data", "action") if k in values]
        if tag == "link":
            self.loads.append(values["href"])
        if re.fullmatch(r"h\d", tag):
            self.headings.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(html: str) -> Balanced:
    page = Balanced()
    page.feed(html)
    page.close()
    assert page.open == []
    return page


def files_below(folder) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    "record",
    [
        make_study(),
        make_study(0, extras=(), control_seeds=()),
        make_study(3, outcomes=("error",), extras=()),
        make_study(1, outcomes=("complete",), extras=(), objectives=("val_error",)),
    ],
    ids=["mixed", "empty", "all failed", "one complete"],
)
def test_a_report_is_complete(record, tmp_path):
    """All files are there, the page is well-formed and the manifest's digests hold."""
    page = write_report(record, tmp_path / "out")
    assert page == tmp_path / "out" / "report.html"
    assert files_below(tmp_path / "out") == names_of(record)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    html = parsed(page.read_text())
    assert len(html.ids) == len(set(html.ids))
    assert html.headings == ["h1", *["h2"] * len(PAGES)]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert set(manifest["files"]) == names_of(record) - {"manifest.json"}
    for name, entry in manifest["files"].items():
        content = (tmp_path / "out" / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    assert manifest["study"] == "synthetic"
    assert manifest["digest"] == record.digest
    assert manifest["attempts"] == record.counts()


def test_the_page_loads_nothing_from_elsewhere(tmp_path):
    """No element names another place to load from, and the policy forbids it to scripts."""
    text = write_report(make_study(), tmp_path / "out").read_text()
    assert parsed(text).loads == ["data:,"]
    assert "default-src 'none'" in text
    [packed] = re.findall('<script type="text/plain" id="library">([^<]+)</script>', text)
    assert gzip.decompress(base64.b64decode(packed)).decode() == get_plotlyjs()


def test_a_report_weighs_at_most_three_megabytes_and_is_always_the_same(tmp_path, monkeypatch):
    """plotly.js is compressed in it, without the time at which that was done."""
    record, now = make_study(), time.time()
    first = report.report_files(record, now)["report.html"]
    html._packed_plotly.cache_clear()
    monkeypatch.setattr(time, "time", lambda: now + 100)
    assert report.report_files(record, now)["report.html"] == first
    assert len(first) <= 3_000_000


def test_csv_holds_every_attempt(tmp_path):
    """One line per attempt, readable as numbers."""
    record = make_study()
    write_report(record, tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out" / "trials.csv").read_text().splitlines()))
    assert len(rows) == len(record.trials) + len(record.controls)
    complete = next(r for r in rows if r["outcome"] == "complete")
    assert 0 < float(complete["val_error"]) < 1
    assert rows[0]["prune_ratio"] == str(record.trials[0].params["prune_ratio"])
    empty = make_study(0, extras=(), control_seeds=())
    write_report(empty, tmp_path / "empty")
    assert (
        (tmp_path / "empty" / "trials.csv")
        .read_text()
        .startswith("slot,optuna_trial,section,arm,seed,outcome,")
    )


def test_what_users_write_is_escaped(tmp_path):
    """A question, layer names and errors with markup stay text, in HTML and inside scripts."""
    record = make_study(3, outcomes=("complete",), question=EVIL, layers={EVIL: 4, "conv3": 8}, extras=())
    text = write_report(record, tmp_path / "out").read_text()
    parsed(text)
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_a_second_report_replaces_the_first_and_leaves_other_files(tmp_path):
    """Writing again is safe; what is not ours stays."""
    folder = tmp_path / "deep" / "out"
    write_report(make_study(2, extras=()), folder)
    (folder / "notes.txt").write_text("mine")
    write_report(make_study(5, extras=()), folder)
    assert files_below(folder) - {"notes.txt"} == names_of(make_study(2, extras=())) | names_of(
        make_study(5, extras=())
    )
    assert (folder / "notes.txt").read_text() == "mine"
    assert sum(json.loads((folder / "manifest.json").read_text())["attempts"].values()) == 5


def test_a_failure_while_making_leaves_nothing(tmp_path, monkeypatch):
    """Everything is made before anything is written."""
    monkeypatch.setattr(report, "control_rows", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(make_study(2, extras=()), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_writing_keeps_the_old_report(tmp_path, monkeypatch):
    """A full disk leaves the former report whole and no litter beside it."""
    folder = tmp_path / "out"
    write_report(make_study(2, extras=()), folder)
    before = {name: (folder / name).read_bytes() for name in NAMES}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(StudyError, match="No space left on device"):
        write_report(make_study(5, extras=()), folder)
    assert {name: (folder / name).read_bytes() for name in NAMES} == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_place_that_cannot_be_a_folder_is_named(tmp_path):
    """A file in the way gives a sentence with the path and a way out."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match=r"file.*") as error:
        write_report(make_study(1, extras=()), tmp_path / "file")
    assert "Give a folder" in error.value.hint
    assert (tmp_path / "file").read_text() == ""


def test_the_page_of_one_trial_is_whole_and_escaped():
    """Curve and drops of one history; nothing is loaded."""
    history = make_study(1, outcomes=("complete",), extras=()).trials[0].history
    text = trial_html(history, EVIL, "a subtitle")
    assert parsed(text).loads == ["data:,"]
    assert "<script>alert" not in text
    assert "a subtitle" in text


def test_the_page_of_a_trial_not_begun_says_so():
    """No points, no drops: words."""
    text = trial_html(History(total_steps=10, steps_per_epoch=1), "slot 0")
    assert "No trial has been evaluated yet." in text


def test_each_table_offers_its_files(tmp_path):
    """Every link below a table leads to a file of the report."""
    text = write_report(make_study(), tmp_path / "out").read_text()
    links = re.findall(r'href="(tables/[^"]+)"', text)
    assert len(links) == 3 * text.count('<details class="table"') > 20
    assert all((tmp_path / "out" / link).stat().st_size for link in links)


def test_a_long_table_is_cut_on_the_page_and_says_so(tmp_path):
    """The page shows the first rows and how many there are; the file has all."""
    record = make_study(SHOWN_ROWS + 10, outcomes=("stopped",), extras=(), control_seeds=())
    text = write_report(record, tmp_path / "out").read_text()
    n = f"{SHOWN_ROWS + 10:,}"
    assert f"Shown are the first {SHOWN_ROWS} of {n} rows." in text
    rows = (tmp_path / "out" / "tables" / "history.csv").read_text().splitlines()
    assert len(rows) == 1 + SHOWN_ROWS + 10


def test_each_sentence_of_the_answer_leads_to_its_numbers(tmp_path):
    """Every warning and sentence of the answer, and not the question, ends with a link to a page of the report."""
    record = make_study()
    info = PAGES["overview"].info(record)
    text = write_report(record, tmp_path / "out").read_text()
    links = re.findall(r'<a class="source" href="#(\w+)">\(([^<]+)\)</a></p>', text)
    assert [key for key, _ in links] == [*["health"] * len(info.warnings), *info.sources]
    assert len(info.sources) == len(info.answer) > 5 and info.warnings
    assert all(f'<section id="{key}"' in text and PAGES[key].short == name for key, name in links)
