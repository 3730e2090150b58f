"""The store of states: whole or absent, claimed by one, clear words when the disk says no."""

from __future__ import annotations

import builtins
import hashlib
import os
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from reprtune.errors import StateError
from reprtune.states import store as module
from reprtune.states.store import CLAIM_SECONDS, LEFTOVER_SECONDS, MAGIC, StateStore, machine

NAME = "ab" + "0" * 62
OTHER = "cd" + "1" * 62


@pytest.fixture
def store(tmp_path: Path) -> StateStore:
    return StateStore(tmp_path / "states", "me")


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_what_is_put_is_got(store: StateStore) -> None:
    """The same bytes; nothing before, and nothing under another name."""
    assert store.get(NAME) is None and not store.has(NAME)
    assert store.put(NAME, b"payload")
    assert store.get(NAME) == b"payload" and store.has(NAME)
    assert store.get(OTHER) is None
    assert StateStore(store.folder).get(NAME) == b"payload"


def test_the_file_is_as_documented(store: StateStore) -> None:
    """Ten bytes of magic, the SHA-256 of the payload, the payload; nothing else is left in the folder."""
    store.put(NAME, b"payload")
    assert store.path(NAME).read_bytes() == MAGIC + hashlib.sha256(b"payload").digest() + b"payload"
    assert len(MAGIC) == 10
    assert files(store.folder) == [f"ab/{NAME}.state"]


def test_a_name_is_written_once(store: StateStore) -> None:
    """The second write says so and changes nothing, unless it is told to replace."""
    assert store.put(NAME, b"first")
    assert not store.put(NAME, b"second")
    assert store.get(NAME) == b"first"
    assert store.put(NAME, b"third", replace=True)
    assert store.get(NAME) == b"third"


DAMAGE = {
    "truncated": lambda b: b[:-1],
    "longer": lambda b: b + b"x",
    "empty": lambda _: b"",
    "only the head": lambda b: b[:42],
    "half a head": lambda b: b[:20],
    "one bit": lambda b: b[:-3] + bytes([b[-3] ^ 1]) + b[-2:],
    "checksum": lambda b: b[:12] + bytes([b[12] ^ 128]) + b[13:],
    "magic": lambda b: b"x" + b[1:],
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_file_counts_as_absent(store: StateStore, how: str) -> None:
    """It is taken away, so that the state can be written again."""
    store.put(NAME, b"payload of some length")
    store.path(NAME).write_bytes(DAMAGE[how](store.path(NAME).read_bytes()))
    assert store.get(NAME) is None
    assert not store.has(NAME)
    assert store.put(NAME, b"payload of some length")


def test_a_pickle_is_not_opened(store: StateStore, tmp_path: Path) -> None:
    """A pickle under a state's name is refused unread: what it would run is not run."""
    flag = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(flag),)

    store.path(NAME).parent.mkdir()
    store.path(NAME).write_bytes(pickle.dumps(Evil()))
    assert store.get(NAME) is None
    assert not flag.exists()


def test_delete_and_forget(store: StateStore) -> None:
    """Absent names are no matter; a study takes with it what was noted under its name, and nothing else."""
    for name in (NAME, OTHER):
        store.put(name, b"x")
    store.note("study", "end", [NAME])
    store.note("study", "beginning", ["ee" + "2" * 62])
    store.note("another", "end", [OTHER])
    assert store.noted("study", "end") == {NAME} and store.noted("nothing", "end") == set()
    store.forget("study")
    assert not store.has(NAME) and store.has(OTHER)
    assert store.noted("study", "end") == set() and store.noted("another", "end") == {OTHER}
    store.delete([OTHER, NAME])
    assert not store.has(OTHER)


def test_what_two_studies_left_goes_with_the_second(store: StateStore) -> None:
    """Equal trials of two studies end in the same state, from which either can be exported."""
    store.put(NAME, b"x")
    store.note("one", "end", [NAME])
    store.note("two", "end", [NAME])
    store.forget("one")
    assert store.has(NAME) and store.noted("one", "end") == set()
    store.forget("two")
    assert not store.has(NAME)


# -- a disk that says no ------------------------------------------------------------------------------


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are made, and writing into them fails as the kernel's own full device does."""

    def open_full(self: Path, mode: str = "r", *more: Any, **named: Any) -> Any:
        if mode == "wb":
            self.touch()
            return builtins.open("/dev/full", "wb")  # noqa: PTH123 - not this path
        return builtins.open(self, mode, *more, **named)  # noqa: PTH123

    monkeypatch.setattr(Path, "open", open_full)


def test_a_full_disk(store: StateStore, full_disk: None) -> None:
    """Nothing half-written is left, and the error says what to do."""
    with pytest.raises(StateError, match=r"Cannot write states in .*: No space left on device") as caught:
        store.put(NAME, b"payload" * 1000)
    assert caught.value.hint is not None and "Free some space" in caught.value.hint
    assert files(store.folder) == []
    assert not store.has(NAME)


def test_a_full_disk_while_replacing(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there before stays whole."""
    store.put(NAME, b"old")
    monkeypatch.setattr(os, "replace", _no_space)
    with pytest.raises(StateError, match="No space left"):
        store.put(NAME, b"new", replace=True)
    assert store.get(NAME) == b"old"
    assert files(store.folder) == [f"ab/{NAME}.state"]


def _no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_claim_on_a_full_disk(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The empty file it would leave is taken away: nobody waits for it."""
    monkeypatch.setattr(os, "fdopen", _no_space)
    with pytest.raises(StateError, match="No space left"):
        store.claim(NAME)
    assert files(store.folder) == []


def test_a_folder_that_is_gone_is_not_written_elsewhere(store: StateStore) -> None:
    """As when its disk is no longer mounted: nothing is kept below the place where it was, and people are told."""
    shutil.rmtree(store.folder)
    with pytest.raises(StateError, match="No such file or directory") as caught:
        store.put("ab" * 32, b"payload")
    assert caught.value.hint is not None and "is its disk still mounted?" in caught.value.hint
    assert not list(store.folder.rglob("*.state"))


@pytest.mark.parametrize("where", ["file", "file/inside"])
def test_a_folder_that_cannot_be(tmp_path: Path, where: str) -> None:
    """A file is in the way: the error names the folder and the option that chooses another."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StateError, match=f"Cannot prepare states in {tmp_path / where}") as caught:
        StateStore(tmp_path / where)
    assert caught.value.hint is not None and "--states" in caught.value.hint


def test_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before anything is trained. (The superuser may write everywhere, so access is feigned.)"""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StateError, match="Permission denied"):
        StateStore(tmp_path / "states")


def test_a_state_that_may_not_be_read(store: StateStore) -> None:
    """An error of the disk is not taken for absence: the state would be trained again for nothing."""
    store.path(NAME).mkdir(parents=True)
    with pytest.raises(StateError, match="Cannot read states"):
        store.get(NAME)


# -- claims -------------------------------------------------------------------------------------------


def test_one_of_two_gets_the_claim(store: StateStore) -> None:
    """The other gets it once it is released; other names are free."""
    other = StateStore(store.folder, "you")
    mine = store.claim(NAME)
    assert mine is not None
    assert other.claim(NAME) is None and store.claim(NAME) is None
    assert other.claim(OTHER) is not None
    mine.release()
    assert other.claim(NAME) is not None


def test_a_claim_says_whose_it_is(store: StateStore) -> None:
    """For people who look: owner, machine, process."""
    claim = store.claim(NAME)
    assert claim is not None
    assert claim.path.read_text().split("\n")[:3] == ["me", machine(), str(os.getpid())]


def grow_old(store: StateStore, seconds: float) -> None:
    path = store.folder / "claims" / NAME
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_stale_claim_is_taken_over(store: StateStore) -> None:
    """Not refreshed for a minute: it is void. Refreshed in time: it is not."""
    first = store.claim(NAME)
    assert first is not None
    grow_old(store, CLAIM_SECONDS - 5)
    assert store.claim(NAME) is None
    grow_old(store, CLAIM_SECONDS + 5)
    first.refresh()
    assert store.claim(NAME) is None
    grow_old(store, CLAIM_SECONDS + 5)
    assert StateStore(store.folder, "you").claim(NAME) is not None


def test_who_lost_a_claim_leaves_it_alone(store: StateStore) -> None:
    """Neither its refreshing nor its release touches the claim of who took it over."""
    first = store.claim(NAME)
    grow_old(store, CLAIM_SECONDS + 5)
    second = StateStore(store.folder, "you").claim(NAME)
    assert first is not None and second is not None
    grow_old(store, CLAIM_SECONDS - 5)
    before = second.path.stat().st_mtime
    first.refresh()
    assert second.path.stat().st_mtime == before
    first.release()
    assert second.path.read_text() == second.text
    second.release()
    assert not second.path.exists()
    second.refresh()
    second.release()


def test_the_claim_of_a_dead_process_is_void(store: StateStore) -> None:
    """At once, on the machine where it ran: the same command can continue without waiting."""
    code = "import sys; from pathlib import Path; from reprtune.states.store import StateStore\n"
    code += f"StateStore(Path(sys.argv[1])).claim({NAME!r})"
    root = Path(module.__file__).parents[2]
    subprocess.run([sys.executable, "-c", code, str(store.folder)], cwd=root, check=True)
    assert (store.folder / "claims" / NAME).exists()
    assert store.claim(NAME) is not None


@pytest.mark.parametrize("text", ["", "who", "a\nanother machine\n1\nx", f"a\n{machine()}\nx\ny"])
def test_a_claim_that_tells_nothing_is_waited_for(store: StateStore, text: str) -> None:
    """Of another machine, or not written yet: only its age counts."""
    (store.folder / "claims" / NAME).write_text(text)
    assert store.claim(NAME) is None
    grow_old(store, CLAIM_SECONDS + 5)
    assert store.claim(NAME) is not None


def test_leftovers_go_after_a_day(store: StateStore) -> None:
    """What killed processes left in the middle of a write; younger files may still be in use."""
    for name, age in (("old", LEFTOVER_SECONDS + 60), ("young", LEFTOVER_SECONDS - 60)):
        path = store.folder / "tmp" / name
        path.write_bytes(b"half a state")
        os.utime(path, (time.time() - age, time.time() - age))
    StateStore(store.folder)
    assert files(store.folder) == ["tmp/young"]
