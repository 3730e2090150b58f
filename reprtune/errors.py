"""The errors a person may meet, each with the sentence that says how to mend it.

`cli.py` turns them into one line on stderr; everything else is a defect and keeps its traceback.
None of them holds a password.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from reprtune.passwords import hide


class ReprtuneError(Exception):
    """An expected failure.

    Args:
        message: names the thing, the rule and the value it got.
        hint: what to do about it, as a sentence; shown on a line of its own.
    """

    exit_code: int = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        self.message = hide(message)
        self.hint = None if hint is None else hide(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  {self.hint}"


class SpecError(ReprtuneError):
    """A value in a specification breaks its rule. Nothing has been created or trained."""

    exit_code = 2


class DataError(ReprtuneError):
    """A data set is absent, incomplete or not of the promised form."""


class ModelError(ReprtuneError):
    """A network cannot be built, or cannot be trained with filters dropped."""


class PartError(ReprtuneError):
    """A part of a person's own cannot be found, fails, or gives what its place does not take."""


class StateError(ReprtuneError):
    """The folder of training states cannot be used."""


class StudyError(ReprtuneError):
    """A study is missing, is there already, or is not what the command needs."""


class StorageError(ReprtuneError):
    """The database that holds the studies cannot be reached or is not ours."""


class TrackingError(ReprtuneError):
    """The tracker (MLflow) or the journal that feeds it cannot be reached or used."""


MANY = 40  # words: nobody reads through more
CLOSE = 0.9  # a word misspelt in a letter or two


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word and lists them all; of many the nearest ones, and how many there are.

    >>> did_you_mean("resnet", ["convnet-3", "resnet-20"])
    'Did you mean resnet-20? Known: convnet-3, resnet-20.'
    """
    known = list(known)
    lower, many = {word.lower(): word for word in known}, len(known) > MANY
    near = difflib.get_close_matches(value.lower(), lower, n=1, cutoff=CLOSE)
    near = near or difflib.get_close_matches(value.lower(), lower, n=5 if many else 1, cutoff=0.5)
    start = f"Did you mean {' or '.join(lower[word] for word in near)}? " if near else ""
    if many:
        return f"{start}There are {len(known)}, such as {', '.join(known[:3])}."
    return f"{start}Known: {', '.join(known) or 'none'}."
