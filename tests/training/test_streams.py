"""Streamed images are the resident ones, bit for bit, and leave no process behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reprtune.errors import DataError, SpecError
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed
from reprtune.spec.presets import compose
from reprtune.spec.task import AUGMENTATIONS, ModelSpec, TaskSpec
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain.chain import Chain, LoadedData
from reprtune.training.chain.trial_networks import Interrupted
from reprtune.training.data import memory
from reprtune.training.data.batches import Batches, evaluation_batches
from reprtune.training.data.pictures import Pictures
from reprtune.training.data.streams import n_loaders
from reprtune.training.data.task import Task, load_task
from reprtune.training.platform.seeds import generator
from tests.conftest import ROOT
from tests.training.images import make_folder
from tests.training.tiny import SPEC

CPU = torch.device("cpu")
STREAMED, RESIDENT = "0", str(10**9)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the images `mine`, which is also the data folder."""
    place = tmp_path_factory.mktemp("place")
    make_folder(place / "mine")
    return place


def task(place: Path, limit: str, monkeypatch: pytest.MonkeyPatch, **fields: object) -> Task:
    monkeypatch.setenv("REPRTUNE_RESIDENT_BYTES", limit)
    spec = TaskSpec(dataset="imagefolder:mine", image_size=9, **fields)  # type: ignore[arg-type]
    return load_task(spec, place, CPU)


def batches(task: Task, augment: str = "none") -> Batches:
    return Batches(Pictures(task.train, augment=augment, mean=task.mean, std=task.std, cutout=3), 4)


def test_a_task_is_the_same_resident_and_streamed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digest, statistics, sizes and labels; only the images are elsewhere."""
    one, other = (task(place, limit, monkeypatch) for limit in (RESIDENT, STREAMED))
    for field in ("digest", "mean", "std", "n_classes", "input_shape"):
        assert getattr(one, field) == getattr(other, field)
    for part in ("train", "score", "val", "test"):
        a, b = getattr(one, part), getattr(other, part)
        assert isinstance(a.x, torch.Tensor) and not isinstance(b.x, torch.Tensor)
        assert a.x.shape == b.x.shape and torch.equal(a.y, b.y) and len(a) == len(b)


@pytest.mark.parametrize("loaders", ["0", "1", "3"])
def test_evaluation_is_the_same_resident_and_streamed(
    place: Path, monkeypatch: pytest.MonkeyPatch, loaders: str
) -> None:
    """Every part in order, whatever the number of processes."""
    monkeypatch.setenv("REPRTUNE_LOADERS", loaders)
    one, other = (task(place, limit, monkeypatch) for limit in (RESIDENT, STREAMED))
    for part in ("train", "test"):
        a, b = (list(evaluation_batches(getattr(t, part), t.mean, t.std, size=4)) for t in (one, other))
        assert len(a) == len(b) > 1
        for (x, y), (streamed_x, streamed_y) in zip(a, b, strict=True):
            assert torch.equal(x, streamed_x) and torch.equal(y, streamed_y)
            assert streamed_x.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_batches_are_the_same_resident_and_streamed(
    place: Path, monkeypatch: pytest.MonkeyPatch, augment: str
) -> None:
    """Two epochs of every augmentation, and the second one begun in its middle."""
    monkeypatch.setenv("REPRTUNE_LOADERS", "1")
    one, other = (batches(task(place, limit, monkeypatch), augment) for limit in (RESIDENT, STREAMED))
    assert one.resident and not other.resident and one.steps_per_epoch == other.steps_per_epoch == 6
    for epoch, steps in enumerate((range(6), range(4, 6))):
        for source in (one, other):
            source.start_epoch(generator(epoch, "epoch"))
        for step in steps:
            for expected, found in zip(one.batch(step), other.batch(step), strict=True):
                assert torch.equal(expected, found) and expected.stride() == found.stride()


def test_steps_may_be_fetched_in_any_order(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that is asked for another step than its next one begins anew there."""
    one, other = (batches(task(place, limit, monkeypatch), "crop") for limit in (RESIDENT, STREAMED))
    for source in (one, other):
        source.start_epoch(generator(0, "epoch"))
    for step in (3, 4, 1, 1, 5):
        assert torch.equal(one.batch(step)[0], other.batch(step)[0])
    other.close()
    assert torch.equal(one.batch(2)[0], other.batch(2)[0])
    other.close()


def trial(augment: str) -> TrialSpec:
    training = replace(
        SPEC.training, total=Duration.parse("24it"), batch_size=8, segment=Duration.parse("7it")
    )
    method = compose(SPEC.method, cycles=1, s1="6it", s2="6it")
    spec = TaskSpec(dataset="imagefolder:mine", image_size=9, augment=augment, cutout=3)
    return replace(
        SPEC, task=spec, model=ModelSpec(name="convnet-3", width=4), training=training, method=method
    )


def trained(run: Chain) -> dict[str, torch.Tensor]:
    for _ in run:
        pass
    assert run.finished and not run.diverged
    return {k: v.clone() for k, v in run.networks.model.state_dict().items()}


@pytest.mark.parametrize("coupled", [False, True])
def test_a_trial_is_the_same_resident_and_streamed(
    place: Path, monkeypatch: pytest.MonkeyPatch, coupled: bool
) -> None:
    """Weights, every point of the history and the test error, with segments that end within epochs; also of two
    members that read in turns because they learn from each other."""
    spec = trial("crop+flip+cutout")
    if coupled:
        spec = changed(spec, {"method.n_members": 2, "method.losses": "distillation"})
    ends = []
    for limit in (RESIDENT, STREAMED):
        monkeypatch.setenv("REPRTUNE_RESIDENT_BYTES", limit)
        run = Chain(spec, LoadedData(place, CPU))
        weights = trained(run)
        points = [replace(p, seconds=0.0, time=0.0) for p in run.history.points]
        ends.append((weights, points, run.names, run.test()))
        assert not multiprocessing.active_children()
    (weights, *rest), (streamed_weights, *streamed_rest) = ends
    assert rest == streamed_rest
    assert all(torch.equal(weights[k], streamed_weights[k]) for k in weights)


def test_a_streamed_trial_interrupted_within_an_epoch_goes_on_there(
    place: Path, store: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped before step 10 of 24, it ends as without the stop, and no process is left in between."""
    monkeypatch.setenv("REPRTUNE_LOADERS", "1")
    monkeypatch.setenv("REPRTUNE_RESIDENT_BYTES", STREAMED)
    spec = trial("crop")
    expected = trained(Chain(spec, LoadedData(place, CPU)))
    loaded_data = LoadedData(place, CPU)
    run: Chain
    run = Chain(spec, loaded_data, store, should_stop=lambda: run.networks.step_done == 10)  # type: ignore[arg-type]
    with pytest.raises(Interrupted):
        trained(run)
    assert run.networks.step_done == 10 and not multiprocessing.active_children()
    again = Chain(spec, loaded_data, store)  # type: ignore[arg-type]
    found = trained(again)
    assert again.steps_spent == 14 and not multiprocessing.active_children()
    assert all(torch.equal(expected[k], found[k]) for k in expected)


def test_reading_draws_nothing_from_the_global_generator(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropout would otherwise differ between resident and streamed."""
    streamed = task(place, STREAMED, monkeypatch)
    before = torch.get_rng_state()
    list(evaluation_batches(streamed.train, streamed.mean, streamed.std, size=4))
    assert torch.equal(torch.get_rng_state(), before)


def test_leaving_an_evaluation_early_ends_its_processes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an error in the middle of it would."""
    streamed = task(place, STREAMED, monkeypatch)
    pieces = evaluation_batches(streamed.train, streamed.mean, streamed.std, size=2)
    next(pieces)
    assert multiprocessing.active_children()
    pieces.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()


def read_all(streamed: Task) -> None:
    for part in (streamed.train, streamed.score, streamed.val):
        list(evaluation_batches(part, streamed.mean, streamed.std, size=4))


def fetch(source: Batches, steps: range) -> None:
    for step in steps:
        source.batch(step)


def test_a_file_that_changes_or_goes_while_training_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest would no longer be true; the file is named, and no process stays."""
    file = make_folder(tmp_path / "mine") / "train" / "ant" / "000.png"
    streamed = task(tmp_path, STREAMED, monkeypatch, score_frac=0.03, val_frac=0.03)
    for change, message in ((lambda: os.utime(file), "has changed"), (file.unlink, "cannot be read")):
        change()
        with pytest.raises(DataError, match=rf"000.png {message}"):
            read_all(streamed)
        assert not multiprocessing.active_children()


def test_a_process_that_dies_is_an_error(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed for want of memory, say: the error says how to use less."""
    source = batches(task(place, STREAMED, monkeypatch))
    source.start_epoch(generator(0, "epoch"))
    source.batch(0)
    for worker in multiprocessing.active_children():
        os.kill(worker.pid or 0, signal.SIGKILL)
        worker.join()
    with pytest.raises(DataError, match="process that decodes images died") as error:
        fetch(source, range(1, 6))
    assert "REPRTUNE_LOADERS" in str(error.value.hint)
    assert not multiprocessing.active_children()


CHILD = """
import os, signal, sys, time, multiprocessing
from pathlib import Path
import torch
from reprtune.spec.presets import compose
from reprtune.spec.task import TaskSpec
from reprtune.training.data.batches import Batches
from reprtune.training.data.pictures import Pictures
from reprtune.training.data.task import load_task
from reprtune.training.platform.seeds import generator

asked = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: asked.append(1))
task = load_task(TaskSpec(dataset="imagefolder:mine", image_size=9), Path(sys.argv[1]), torch.device("cpu"))
batches = Batches(Pictures(task.train, augment="none", mean=task.mean, std=task.std), 1)
batches.start_epoch(generator(0, "epoch"))
batches.batch(0)
print(*[p.pid for p in multiprocessing.active_children()], flush=True)
while len(asked) < 2:
    time.sleep(0.01)
for step in range(batches.steps_per_epoch - 3):
    batches.batch(step)
print("whole", flush=True)
"""


def test_signals_to_the_whole_group_end_no_reading_and_exit_leaves_no_process(place: Path) -> None:
    """Ctrl-C and SIGTERM reach every process: the batches go on; with a reading open, the process ends at once."""
    environment = {**os.environ, "REPRTUNE_RESIDENT_BYTES": "0", "REPRTUNE_LOADERS": "2"}
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(place)],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    with process:
        check_group(process)


def check_group(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    workers = [int(pid) for pid in process.stdout.readline().split()]
    assert len(workers) == 2
    for number in (signal.SIGINT, signal.SIGTERM):
        os.killpg(process.pid, number)
        time.sleep(0.05)
    assert process.stdout.read() == "whole\n"
    assert process.wait(timeout=60) == 0
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def leave_open(place: Path) -> None:
    streamed = load_task(TaskSpec(dataset="imagefolder:mine", image_size=9), place, CPU)
    source = batches(streamed)
    source.start_epoch(generator(0, "epoch"))
    source.batch(0)
    raise SystemExit(0 if multiprocessing.active_children() else 1)


def test_a_process_of_multiprocessing_ends_with_a_reading_open(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs no atexit, and would wait for its workers for ever."""
    monkeypatch.setenv("REPRTUNE_RESIDENT_BYTES", STREAMED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads
        process = multiprocessing.get_context("fork").Process(target=leave_open, args=(place,))
        process.start()
    process.join(60)
    assert process.exitcode == 0


@pytest.mark.parametrize(("text", "expected"), [("0", 0), ("3", 3)])
def test_the_number_of_processes_can_be_set(
    monkeypatch: pytest.MonkeyPatch, text: str, expected: int
) -> None:
    """And otherwise there is one per core, 8 at most."""
    assert 1 <= n_loaders() <= 8
    monkeypatch.setenv("REPRTUNE_LOADERS", text)
    assert n_loaders() == expected


@pytest.mark.parametrize("name", ["REPRTUNE_LOADERS", "REPRTUNE_RESIDENT_BYTES"])
def test_other_words_in_the_environment_are_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable, its rule and its value."""
    monkeypatch.setenv(name, "-1")
    with pytest.raises(SpecError, match=rf"{name} must be a whole number.*'-1'"):
        n_loaders() if "LOADERS" in name else memory.resident_limit(CPU)


@pytest.mark.parametrize(
    ("augment", "stored"),
    [
        ("none", 36 * 9 * 9),
        ("crop", 36 * 17 * 17),
        ("flip", 72 * 9 * 9),
        ("crop+flip+cutout", 72 * 17 * 17),
    ],
)
def test_images_stay_in_memory_up_to_the_limit(
    place: Path, monkeypatch: pytest.MonkeyPatch, augment: str, stored: int
) -> None:
    """42 images of 3 x 9 x 9 bytes, and the 36 for training once more, twice with mirror images and 17 px wide
    with crops: at the limit they stay, a byte below not."""
    need = 3 * (42 * 9 * 9 + stored)
    for limit, resident in ((need, True), (need - 1, False)):
        found = task(place, str(limit), monkeypatch, augment=augment)
        assert isinstance(found.train.x, torch.Tensor) is resident


def test_the_limit_is_half_of_what_machine_and_container_have_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: 1000 kB free; a container of 600,000 bytes that uses 100,000; one without a limit."""
    (tmp_path / "meminfo").write_text("MemTotal: 2000 kB\nMemAvailable:    1000 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert memory.resident_limit(CPU) == 512_000
    (tmp_path / "memory.current").write_text("100000\n")
    (tmp_path / "memory.max").write_text("600000\n")
    assert memory.resident_limit(CPU) == 250_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.resident_limit(CPU) == 512_000
