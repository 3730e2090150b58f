"""`data prepare`: once, and then it says so."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dashboards.live import WorkProgress
from tests.command import Command


def test_data_that_come_with_a_library_are_ready(command: Command) -> None:
    """One line, and nothing is written."""
    said = command.quick("data", "prepare", "digits", "--data-dir", str(command.runs / "data")).stdout
    assert said.startswith("digits: already prepared, 1,438 training and 359 test images of 1 x 8 x 8")
    assert not command.runs.exists()


def test_a_folder_of_images_is_prepared_once(command: Command, tmp_path: Path) -> None:
    """The second call says so."""
    for part, n in (("train", 8), ("test", 2)):
        for name in ("cat", "dog"):
            (tmp_path / "pets" / part / name).mkdir(parents=True)
            for i in range(n):
                pixels = np.full((12, 12, 3), 20 * i, np.uint8)
                Image.fromarray(pixels).save(tmp_path / "pets" / part / name / f"{i}.png")
    words = ["data", "prepare", f"imagefolder:{tmp_path / 'pets'}", "--image-size", "8"]
    words += ["--data-dir", str(tmp_path / "data")]
    first, second = (command.quick(*words).stdout for _ in range(2))
    assert ": prepared, 16 training and 4 test images of 3 x 8 x 8 in 2 classes" in first
    assert ": already prepared, 16 training and 4 test images" in second


def test_an_interrupted_preparation_ends_quietly(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C is exit code 130, without a traceback."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("reprtune.training.data.prepare.prepare", interrupted)
    result = command.quick("data", "prepare", "digits", code=130)
    assert result.stdout == "" and "Traceback" not in result.stderr


def test_progress_is_a_bar_for_each_part_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Named by what is done; elsewhere there is none."""
    for is_terminal in (True, False):
        monkeypatch.setattr(sys.stderr, "isatty", lambda is_terminal=is_terminal: is_terminal, raising=False)
        progress = WorkProgress()
        for text, done in (("reading", 1), ("reading", 2), ("writing", 2)):
            progress(text, done, 2)
        progress.close()
        said = capsys.readouterr().err
        assert ("reading: 100%" in said and "writing: 100%" in said) is is_terminal
        assert is_terminal or said == ""
