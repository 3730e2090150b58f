"""Batches of image files, decoded by worker processes ahead of the training."""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
import weakref
from collections.abc import Iterator, Sequence
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from reprtune import signals
from reprtune.errors import DataError, SpecError
from reprtune.training.data.files import Failure, ImageFiles, Survey
from reprtune.training.platform.seeds import generator

MOST_LOADERS = 8
LOADERS = "REPRTUNE_LOADERS"
CPU = torch.device("cpu")


class Reading(Iterator[Any]):
    """One pass over batches of files, ahead of whom it serves; its processes end with it.

    Args:
        files: what is decoded. order: rows of each batch, int64 (B,).
        device: where the batches go.

    Raises:
        DataError: from `next`: a file cannot be decoded, or a worker process died.
    """

    def __init__(
        self, files: ImageFiles | Survey, order: Sequence[Tensor], device: torch.device = CPU
    ) -> None:
        self._device, self._process = device, os.getpid()
        self._workers: list[BaseProcess] = []
        # At the exit of any process, also of one that multiprocessing started: before its queues close (10), and
        # before its workers are waited for, who heed no SIGTERM.
        self._at_exit = Finalize(None, _close, (weakref.ref(self),), exitpriority=100)
        n_workers = 0 if len(order) < 2 else min(n_loaders(), len(order))
        before = set(multiprocessing.active_children())
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)  # beside threads
            warnings.filterwarnings("ignore", message=".*worker processes in total")  # the person said so
            self._batches: Iterator[Any] | None = iter(_loader(files, order, n_workers, device))
        self._workers = [p for p in multiprocessing.active_children() if p not in before]

    def __next__(self) -> Any:
        if self._batches is None:
            raise StopIteration
        try:
            batch = next(self._batches)
        except StopIteration:
            self.close()
            raise
        except RuntimeError as error:
            self.close()
            if "DataLoader worker" not in str(error):
                raise
            raise DataError(
                f"A process that decodes images died: {' '.join(str(error).split())}.",
                f"If memory ran out, set {LOADERS} to fewer processes than {MOST_LOADERS}.",
            ) from error
        if isinstance(batch, Failure):
            self.close()
            raise DataError(batch.message, batch.hint)
        return batch.to(self._device, non_blocking=True) if isinstance(batch, Tensor) else batch

    def close(self) -> None:
        """End the worker processes; again is no error."""
        self._at_exit.cancel()
        self._batches = None  # the loader asks its workers to end, and waits for them
        for worker in self._workers:
            if worker.is_alive():
                worker.kill()
            worker.join()
        self._workers = []

    def __del__(self) -> None:
        if not sys.is_finalizing() and os.getpid() == self._process:  # else a worker's copy of another's
            self.close()


def in_batches(rows: Tensor, size: int) -> list[Tensor]:
    """Cut along the first dimension into pieces of `size`, the last of what is left."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def n_loaders() -> int:
    """Worker processes of a pass: one per core, at most 8, unless `REPRTUNE_LOADERS` says otherwise;
    0 = decode in the training process itself.

    Raises:
        SpecError: it is no whole number.
    """
    if multiprocessing.current_process().daemon:
        return 0  # it may have no children
    text = os.environ.get(LOADERS)
    if text is None:
        return min(MOST_LOADERS, _cores())
    if not text.isdecimal():
        raise SpecError(f"{LOADERS} must be a whole number, 0 or more, but is {text!r}.", "Leave it out.")
    return int(text)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _loader(
    files: ImageFiles | Survey, order: Sequence[Tensor], n_workers: int, device: torch.device
) -> DataLoader[Any]:
    forks = n_workers > 0 and "fork" in multiprocessing.get_all_start_methods()
    return DataLoader(
        files,  # type: ignore[arg-type]  # has what a map-style data set needs
        batch_sampler=order,  # type: ignore[arg-type]  # torch names only lists of numbers
        collate_fn=_as_it_is,
        num_workers=n_workers,
        pin_memory=device.type == "cuda",
        multiprocessing_context="fork" if forks else None,  # starts in milliseconds
        worker_init_fn=_stay if n_workers else None,
        generator=generator(0, "loader"),  # else it would draw from the global one, which dropout uses
    )


def _as_it_is(batch: Any) -> Any:
    return batch


def _stay(_worker: int) -> None:
    """Ctrl-C and SIGTERM reach the whole group: the training process decides when its workers end."""
    signals.ignore()


def _close(reading: weakref.ref[Reading]) -> None:
    if (found := reading()) is not None:
        found.close()
