from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from reprtune.tracking.journal import Journal


def test_events_come_back_in_order_with_the_offset_just_after_them(tmp_path: Path) -> None:
    """One line for one event; NaN and infinity survive, as diverged trials need."""
    journal = Journal(tmp_path, "s")
    journal.append("search-000", {"event": "metrics", "metrics": [{"value": float("inf")}]})
    journal.append("search-000", {"event": "end", "note": "zwei\nZeilen"})
    events = journal.read("search-000")
    assert [e["event"] for _, e in events] == ["metrics", "end"]
    assert events[0][1]["metrics"][0]["value"] == float("inf")
    lines = journal.path("search-000").read_bytes().splitlines(keepends=True)
    assert [end for end, _ in events] == [len(lines[0]), len(lines[0]) + len(lines[1])]


def test_slots_are_those_of_this_study(tmp_path: Path) -> None:
    """Sorted keys; other studies and the artifacts' folders are not slots."""
    Journal(tmp_path, "other").append("search-009", {"event": "end"})
    journal = Journal(tmp_path, "s")
    assert journal.slots() == []
    assert journal.read("search-000") == []
    journal.append("search-001", {"event": "end"})
    journal.artifact("controls-standard-s1", "plots.html", "<html>")
    assert journal.slots() == ["controls-standard-s1", "search-001"]


@pytest.mark.parametrize("keep", [0, 1, 20, -1])
def test_a_torn_last_line_is_passed_over_and_mended(tmp_path: Path, keep: int) -> None:
    """Whatever part of the last line was written: it counts only when whole, and later events are whole."""
    journal = Journal(tmp_path, "s")
    journal.append("k", {"event": "begin"})
    line = json.dumps({"event": "metrics", "metrics": []}).encode()
    with journal.path("k").open("ab") as file:
        file.write(line[:keep] if keep >= 0 else line)
    assert [e["event"] for _, e in journal.read("k")] == ["begin"]
    journal.append("k", {"event": "end"})
    expected = ["begin", "end"] if keep >= 0 else ["begin", "metrics", "end"]
    assert [e["event"] for _, e in journal.read("k")] == expected


def test_an_artifact_is_a_file_beside_the_journal(tmp_path: Path) -> None:
    """The journal names it; a later one replaces it as a whole and leaves no draft."""
    journal = Journal(tmp_path, "s")
    journal.artifact("k", "plots.html", "first")
    journal.artifact("k", "plots.html", "zweite ✓")
    assert journal.artifact_path("k", "plots.html").read_text(encoding="utf-8") == "zweite ✓"
    assert [p.name for p in (tmp_path / "s" / "k").iterdir()] == ["plots.html"]
    assert [e for _, e in journal.read("k")] == [{"event": "artifact", "name": "plots.html"}] * 2


def test_a_folder_of_files_is_one_artifact(tmp_path: Path) -> None:
    """Bytes as they are; files of the same names are replaced."""
    journal = Journal(tmp_path, "s")
    journal.artifacts("k", "network", {"weights.pt": b"\x00\xff", "load.py": b"first"})
    journal.artifacts("k", "network", {"load.py": b"second"})
    folder = journal.artifact_path("k", "network")
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {
        "weights.pt": b"\x00\xff",
        "load.py": b"second",
    }
    assert [e for _, e in journal.read("k")] == [{"event": "artifact", "name": "network"}] * 2


def _write(folder: Path, writer: int, n: int) -> None:
    journal = Journal(folder, "s")
    for i in range(n):
        journal.append("k", {"event": "metrics", "writer": writer, "i": i, "filler": "x" * 5000})


def test_several_writers_at_once_lose_and_mix_nothing(tmp_path: Path) -> None:
    """A worker that was given up for dead may still write beside its successor."""
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(tmp_path, w, 200)) for w in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    events = [(e["writer"], e["i"]) for _, e in Journal(tmp_path, "s").read("k")]
    assert sorted(events) == [(w, i) for w in range(3) for i in range(200)]
    assert [i for w, i in events if w == 0] == list(range(200))


def test_kill_9_leaves_at_most_a_torn_last_line(tmp_path: Path) -> None:
    """A writer is killed in full swing; what it wrote is a gapless beginning, and writing goes on."""
    context = multiprocessing.get_context("spawn")
    journal = Journal(tmp_path, "s")
    for attempt in range(3):
        writer = context.Process(target=_write, args=(tmp_path, attempt, 10**9))
        writer.start()
        deadline = time.monotonic() + 200
        while not any(e["writer"] == attempt for _, e in journal.read("k")) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join()
    for attempt in range(3):
        written = [e["i"] for _, e in journal.read("k") if e["writer"] == attempt]
        assert written and written == list(range(len(written)))
