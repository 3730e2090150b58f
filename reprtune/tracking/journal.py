"""The local journal: what a worker tells the tracker, written down first.

One file of JSON lines for each slot, `FOLDER/STUDY/KEY.jsonl`, and a folder `KEY/` beside it with the
slot's artifacts. Workers append, the shipper reads. Every event carries the times at which it
happened, so that sending it twice sends the same thing twice.

A line is written by one call. A writer killed in the middle leaves one torn line at the end: readers
pass it over, and the next writer begins a new line after it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from reprtune.files import write_atomically
from reprtune.settings import Settings
from reprtune.tracking.older import as_today

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Journal:
    """The journal of one study.

    Attributes:
        folder: of all journals of this machine (`Settings.journal_dir`). study: the study's name.
        is_kept: False where nothing is written, see `NoJournal`.
    """

    folder: Path
    study: str
    is_kept: ClassVar[bool] = True

    @property
    def root(self) -> Path:
        return self.folder / self.study

    def path(self, key: str) -> Path:
        return self.root / f"{key}.jsonl"

    def slots(self) -> list[str]:
        """Keys of the slots that have a journal here, sorted."""
        return sorted(path.stem for path in self.root.glob("*.jsonl"))

    def append(self, key: str, event: Event) -> None:
        """Write one event of a slot down. Safe to call from several processes.

        Raises:
            OSError: when the folder cannot be written.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        line = json.dumps(event, separators=(",", ":")).encode() + b"\n"
        handle = os.open(self.path(key), os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            end = os.lseek(handle, 0, os.SEEK_END)
            if end and os.pread(handle, 1, end - 1) != b"\n":
                line = b"\n" + line
            while line:
                line = line[os.write(handle, line) :]
        finally:
            os.close(handle)

    def artifact(self, key: str, name: str, text: str, *, drawn_from: str | None = None) -> None:
        """Keep a text artifact (`environment.txt`) of a slot; a later one of that name replaces it.

        Args:
            drawn_from: the text is the data of a page called `name`, which is drawn where it is sent; the data are
                kept in this file.
        """
        write_atomically(self.artifact_path(key, drawn_from or name), text.encode())
        self.append(key, {"event": "artifact", "name": name})

    def artifacts(self, key: str, name: str, content: Mapping[str, bytes]) -> None:
        """Keep a folder of files (`network`) of a slot; later ones of the same names replace them."""
        for file, data in content.items():
            write_atomically(self.artifact_path(key, name) / file, data)
        self.append(key, {"event": "artifact", "name": name})

    def artifact_path(self, key: str, name: str) -> Path:
        return self.root / key / name

    def read(self, key: str) -> list[tuple[int, dict[str, Any]]]:
        """The whole events of a slot, each with the offset in bytes just after it."""
        try:
            data = self.path(key).read_bytes()
        except FileNotFoundError:
            return []
        events, start = [], 0
        while (end := data.find(b"\n", start) + 1) > 0:
            with contextlib.suppress(ValueError):  # a torn line, mended by the next writer
                event = json.loads(data[start:end])
                if isinstance(event, dict):
                    events.append((end, as_today(event)))
            start = end
        return events


class NoJournal(Journal):
    """Of a machine where tracking is off: nothing is written, and what was written before waits."""

    is_kept = False

    def slots(self) -> list[str]:
        return []

    def append(self, key: str, event: Event) -> None:
        pass

    def artifact(self, key: str, name: str, text: str, *, drawn_from: str | None = None) -> None:
        pass

    def artifacts(self, key: str, name: str, content: Mapping[str, bytes]) -> None:
        pass


def journal_for(settings: Settings, study: str) -> Journal:
    """The journal of a study on this machine."""
    return (Journal if settings.tracks else NoJournal)(settings.journal_dir, study)
