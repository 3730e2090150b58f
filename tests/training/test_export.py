"""An exported network: it needs only torch, answers as the trained one does, and is written whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from reprtune.errors import ReprtuneError
from reprtune.spec.codec import from_plain
from reprtune.spec.task import ModelSpec
from reprtune.spec.trial import TrialSpec
from reprtune.states.store import StateStore
from reprtune.training.chain.chain import Chain
from reprtune.training.data.batches import evaluation_batches
from reprtune.training.export.network import FILES, Network, Trained, files, from_chain, from_state, write
from reprtune.training.models import build_model
from tests.training.tiny import finish, spec

STANDARD = {"method": "standard", "training.total": "1ep"}

# A process in which reprtune cannot be imported loads networks, and writes what they answer.
ELSEWHERE = """
import runpy, sys
sys.modules["reprtune"] = None
import torch
torch.set_num_threads(1)
for folder in sys.argv[1:]:
    script = runpy.run_path(folder + "/load.py")
    network, pixels = script["load"](), torch.load(folder + ".pixels")
    with torch.no_grad():
        answers = [network(script["normalise"](pixels[:n])) for n in (1, 7, len(pixels))]
    torch.save(answers, folder + ".logits")
    runpy.run_path(folder + "/load.py", run_name="__main__")
assert not [name for name in sys.modules if name.startswith("reprtune.")]
"""


def run_elsewhere(code: str, *words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Another process, with nothing of this project on its path."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        cwd=cwd, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def exported(run: Chain, tmp_path: Path) -> Path:
    folder = tmp_path / "network"
    write(files(from_chain(run)), folder)
    return folder


def test_load_answers_as_the_trained_network_without_reprtune(tmp_path: Path) -> None:
    """On real validation images in batches of 1, 7 and all; the error it makes is the recorded one, and
    as a script it prints a line that says so."""
    runs = {"convnet-3": finish(spec()), "resnet-8": finish(spec(**{"model.name": "resnet-8", **STANDARD}))}
    for name, run in runs.items():
        write(files(from_chain(run)), tmp_path / name)
        torch.save(run.networks.task.val.x, tmp_path / f"{name}.pixels")
    said = run_elsewhere(ELSEWHERE, *(tmp_path / name for name in runs), cwd=tmp_path).stdout.splitlines()
    for (name, run), line in zip(runs.items(), said, strict=True):
        task = run.networks.task
        x = torch.cat([x for x, _ in evaluation_batches(task.val, task.mean, task.std)])
        run.networks.model.eval()
        found = torch.load(tmp_path / f"{name}.logits")
        for theirs, n in zip(found, (1, 7, len(x)), strict=True):
            ours = run.networks.model(x[:n]).detach()
            torch.testing.assert_close(theirs, ours, rtol=1e-6, atol=1e-5)
        error = float((found[-1].argmax(1) != task.val.y).double().mean())
        assert error == run.history.points[-1].val_error
        assert line == f"{name} for digits, trained by reprtune, validation error {error}, logits (1, 10)"


def test_the_weights_alone_fit_the_network_they_come_from(tmp_path: Path) -> None:
    """They load without running code, and bit for bit as trained."""
    run = finish(spec(**STANDARD))
    weights = torch.load(exported(run, tmp_path) / "weights.pt", weights_only=True)
    model = build_model(run.spec.model, 1, (8, 8), 10, seed=5)
    model.load_state_dict(weights, strict=True)
    trained = run.networks.model.state_dict()
    assert all(torch.equal(tensor, trained[name]) for name, tensor in model.state_dict().items())


def test_two_trials_of_one_network_keep_their_own_weights(tmp_path: Path) -> None:
    """The traced program is shared, its weights are not."""
    contents = [files(from_chain(finish(spec(seed=seed, **STANDARD)))) for seed in (1, 2)]
    for content, name in zip(contents, "ab", strict=True):
        write(content, tmp_path / name)
    programs = [torch.export.load(tmp_path / name / "network.pt2").state_dict for name in "ab"]
    weights = [torch.load(tmp_path / name / "weights.pt", weights_only=True) for name in "ab"]
    for program, own in zip(programs, weights, strict=True):
        assert all(torch.equal(program[name], tensor) for name, tensor in own.items())
    assert not torch.equal(weights[0]["conv1.weight"], weights[1]["conv1.weight"])


def test_the_description_says_what_the_network_is() -> None:
    """Specification, images, error, cost, what was dropped, where it comes from."""
    run = finish(spec())
    about = json.loads(files(from_chain(run, study="s", slot="3"))["description.json"])
    task, last = run.networks.task, run.history.points[-1]
    assert from_plain(TrialSpec, about["spec"]) == run.spec
    assert (about["input_shape"], about["n_classes"]) == ([1, 8, 8], 10)
    assert (about["mean"], about["std"]) == (list(task.mean), list(task.std))
    assert about["data_digest"] == task.digest and about["state"] == run.last_name
    assert (about["study"], about["slot"], about["seed"]) == ("s", "3", run.spec.seed)
    assert about["val_error"] == last.val_error and about["program"] == "network.pt2"
    assert about["history"]["steps"] == 48 and about["history"]["train_gflops"] == last.gflops
    assert about["history"]["dropped_at"].keys() == {"8", "24"}
    assert about["history"]["restored_at"] == [16, 32]
    assert about["versions"]["torch"] == str(torch.__version__)


def test_a_stored_state_gives_the_network_of_its_run(tmp_path: Path) -> None:
    """The same files, but for the origin, which is given."""
    store = StateStore(tmp_path / "states")
    run = finish(spec(), store)
    payload = store.get(run.last_name)
    direct = from_chain(run)
    assert payload is not None
    stored = from_state(payload, run.spec, direct.facts, run.last_name)
    ours, theirs = files(direct), files(stored)
    assert {name: ours[name] for name in FILES[1:]} == {name: theirs[name] for name in FILES[1:]}
    assert_same_weights(direct, stored)


def assert_same_weights(one: Trained, other: Trained) -> None:
    for ours, theirs in zip(one.networks, other.networks, strict=True):
        assert ours.weights.keys() == theirs.weights.keys() and ours.n_absent == theirs.n_absent
        assert all(torch.equal(ours.weights[name], theirs.weights[name]) for name in ours.weights)


@pytest.mark.parametrize("drop", ["exact", "weights-only"])
def test_a_trial_that_ends_as_a_sub_network_gives_that(tmp_path: Path, drop: str) -> None:
    """Two cycles that fill the total: what is exported answers as the network with its filters dropped."""
    store = StateStore(tmp_path)
    run = finish(spec(training__total="4ep", method__drop=drop), store)
    assert not run.networks.network.is_full
    payload, x = store.get(run.last_name), run.networks.task.val.x.float() / 255
    assert payload is not None
    run.networks.model.eval()
    direct = from_chain(run)
    stored = from_state(payload, run.spec, direct.facts, run.last_name)
    assert_same_weights(direct, stored)
    write(files(stored), tmp_path / "n")
    program = torch.export.load(tmp_path / "n" / "network.pt2").module()
    torch.testing.assert_close(program(x), run.networks.network.forward(x), rtol=1e-6, atol=1e-6)
    about = json.loads((tmp_path / "n" / "description.json").read_text())
    n_absent = sum(map(len, run.history.drops[-1].dropped.values()))
    assert about["history"]["filters_absent_at_the_end"] == n_absent > 0


# -- several networks ------------------------------------------------------------------------------


def test_each_of_several_networks_is_a_whole_export(tmp_path: Path) -> None:
    """Loaded without reprtune each makes the error that is recorded of it; the description beside them lists them."""
    run = finish(spec(method="ensemble", **{"training.total": "2ep"}))
    write(files(from_chain(run)), tmp_path / "both")
    assert {p.name for p in (tmp_path / "both").iterdir()} == {"description.json", "member-0", "member-1"}
    folders = [tmp_path / "both" / f"member-{k}" for k in (0, 1)]
    task = run.networks.task
    for folder in folders:
        assert {p.name for p in folder.iterdir()} == {*FILES}
        torch.save(task.val.x, f"{folder}.pixels")
    run_elsewhere(ELSEWHERE, *folders, cwd=tmp_path)
    answers = [torch.load(f"{folder}.logits")[-1] for folder in folders]
    wrong = [float((z.argmax(1) != task.val.y).double().mean()) for z in answers]
    together = torch.stack([z.softmax(1) for z in answers]).mean(0)
    assert wrong == [*run.history.member_errors[-1]] and wrong[0] != wrong[1]
    about = [
        json.loads((folder / "description.json").read_text()) for folder in (tmp_path / "both", *folders)
    ]
    assert about[0]["members"] == ["member-0", "member-1"] and about[0]["val_error"] == sum(wrong) / 2
    assert about[0]["ensemble_error"] == float((together.argmax(1) != task.val.y).double().mean())
    assert about[0]["history"]["train_gflops"] == run.history.points[-1].gflops
    assert [(a["member"], a["val_error"], a["seed"]) for a in about[1:]] == [(k, wrong[k], 0) for k in (0, 1)]


@pytest.mark.parametrize("total", ["6ep", "4ep"])
def test_a_stored_state_gives_every_network(tmp_path: Path, total: str) -> None:
    """Also one that ends as two sub-networks, each with drops of its own."""
    store = StateStore(tmp_path / "states")
    run = finish(spec(**{"method.n_members": 2, "training.total": total}), store)
    payload = store.get(run.last_name)
    assert payload is not None
    direct = from_chain(run)
    stored = from_state(payload, run.spec, direct.facts, run.last_name)
    assert_same_weights(direct, stored)
    ours, theirs = files(direct), files(stored)
    texts = [name for name in ours if not name.endswith("weights.pt")]
    assert ours.keys() == theirs.keys() and {n: ours[n] for n in texts} == {n: theirs[n] for n in texts}
    for k in (0, 1):
        history = json.loads(ours[f"member-{k}/description.json"])["history"]
        own = [d for d in run.history.drops if d.member == k]
        assert history["dropped_at"] == {str(d.step): sum(map(len, d.dropped.values())) for d in own}
        assert history["restored_at"] == [r.step for r in run.history.restores if r.member == k]
        absent = sum(map(len, own[-1].dropped.values())) if total == "4ep" else 0
        assert history["filters_absent_at_the_end"] == absent


# -- a network that torch.export cannot write ------------------------------------------------------

STUBBORN = """
import torch
from torch import nn

class Stubborn(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3)
        self.linear = nn.Linear(4, classes)
    def forward(self, x):
        x = self.conv(x).relu().mean((2, 3))
        if float(x.sum()) < -1:  # depends on values
            x = -x
        return self.linear(x)

def build(in_channels, input_size, n_classes):
    return Stubborn(in_channels, n_classes)
"""


@pytest.mark.parametrize("name", ["python:stubborn_network:build", "python:lab/stubborn-network.py:build"])
def test_a_network_that_cannot_be_traced_is_built_from_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """No program; the description says why, and load.py imports the factory, of a module or of a file with a
    module beside it; the answers are the same."""
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "stubborn-network.py").write_text(f"import beside_stubborn\n{STUBBORN}")
    (tmp_path / "lab" / "beside_stubborn.py").touch()
    (tmp_path / "stubborn_network.py").write_text(STUBBORN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    model = ModelSpec(name=name)
    network: nn.Module = build_model(model, 1, (8, 8), 10, seed=3).eval()
    folder = write_untrained(network, model, tmp_path)
    about = json.loads((folder / "description.json").read_text())
    assert about["program"] is None and about["no_program_because"]
    assert {path.name for path in folder.iterdir()} == {*FILES} - {"network.pt2"}
    assert "torch and the code of the network" in (folder / "load.py").read_text()
    pixels = torch.arange(3 * 64).reshape(3, 1, 8, 8).to(torch.uint8)
    torch.save(pixels, tmp_path / "network.pixels")
    run_elsewhere("import sys; sys.path.insert(0, '.')\n" + ELSEWHERE, folder, cwd=tmp_path)
    with torch.no_grad():
        expected = network((pixels.float() / 255 - 0.3) / 0.5)
    found = torch.load(tmp_path / "network.logits")
    torch.testing.assert_close(found[-1], expected, rtol=1e-6, atol=1e-6)


def test_a_network_of_ours_that_cannot_be_traced_needs_reprtune(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """load.py builds it from the specification in the description."""

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("not this one\nsecond line")

    monkeypatch.setattr(torch.export, "export", fails)
    model = ModelSpec(width=5)  # not traced by any other test: what is traced is kept
    network = build_model(model, 1, (8, 8), 10, seed=3).eval()
    folder = write_untrained(network, model, tmp_path)
    assert "not this one" in (folder / "description.json").read_text()
    text = (folder / "load.py").read_text()
    assert "Needs torch and reprtune" in text
    scope: dict[str, object] = {"__file__": str(folder / "load.py"), "__name__": "load"}
    exec(compile(text, "load.py", "exec"), scope)
    x = torch.linspace(-1, 1, 128).reshape(2, 1, 8, 8)
    assert torch.equal(scope["load"]()(x), network(x))  # type: ignore[operator]


def write_untrained(network: nn.Module, model: ModelSpec, tmp_path: Path) -> Path:
    facts = {"input_shape": [1, 8, 8], "n_classes": 10, "mean": [0.3], "std": [0.5], "data_digest": "d"}
    trained = Trained(
        spec=TrialSpec(model=model), networks=(Network(weights=network.state_dict(), n_absent=0),), facts=facts,
        points=(), drops=(), restores=(), state=None, origin={},
    )  # fmt: skip
    write(files(trained), tmp_path / "network")
    return tmp_path / "network"


# -- the folder ------------------------------------------------------------------------------------


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_is_replaced_only_by_force(tmp_path: Path) -> None:
    """And then as a whole; nothing else is left beside it."""
    write({"load.py": b"1", "weights.pt": b"1"}, tmp_path / "n")
    with pytest.raises(ReprtuneError, match="is there already") as caught:
        write({"load.py": b"2"}, tmp_path / "n")
    assert "--force" in str(caught.value) and tree(tmp_path) == {"n/load.py": b"1", "n/weights.pt": b"1"}
    write({"load.py": b"2"}, tmp_path / "n", force=True)
    assert tree(tmp_path) == {"n/load.py": b"2"} and [p.name for p in tmp_path.iterdir()] == ["n"]


def test_force_touches_nothing_that_is_no_exported_network(tmp_path: Path) -> None:
    """A folder with other files, a file, a link to a folder."""
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("only copy")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    before = tree(tmp_path)
    for name, strange in (("thesis", "chapter1.tex"), ("file", "file"), ("link", "link")):
        with pytest.raises(ReprtuneError, match=f"holds what no exported network has: {strange}"):
            write({"load.py": b""}, tmp_path / name, force=True)
    assert tree(tmp_path) == before


def test_several_networks_are_replaced_by_one_and_strangers_among_them_left_alone(tmp_path: Path) -> None:
    """As a whole; a folder of a member counts only with the files of an export in it."""
    write({"description.json": b"1", "member-0/load.py": b"1", "member-1/load.py": b"1"}, tmp_path / "n")
    write({"load.py": b"2"}, tmp_path / "n", force=True)
    assert tree(tmp_path) == {"n/load.py": b"2"}
    (tmp_path / "n" / "member-0").mkdir()
    (tmp_path / "n" / "member-0" / "thesis.tex").write_text("only copy")
    with pytest.raises(ReprtuneError, match=r"no exported network has: member-0/thesis\.tex"):
        write({"load.py": b"3"}, tmp_path / "n", force=True)
    assert tree(tmp_path) == {"n/load.py": b"2", "n/member-0/thesis.tex": b"only copy"}


@pytest.mark.parametrize("step", ["write_bytes", "rename"])
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """One sentence; the old network whole, no draft."""
    write({"load.py": b"old"}, tmp_path / "n")

    def full(source: object, *_: object) -> None:
        raise OSError(28, "No space left on device")

    rename = os.rename

    def full_for_drafts(source: Path, target: Path) -> None:
        full(source) if str(source).endswith(".part") else rename(source, target)

    if step == "rename":
        monkeypatch.setattr(os, "rename", full_for_drafts)
    else:
        monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ReprtuneError, match="No space left on device"):
        write({"load.py": b"new"}, tmp_path / "n", force=True)
    monkeypatch.undo()
    assert tree(tmp_path) == {"n/load.py": b"old"} and [p.name for p in tmp_path.iterdir()] == ["n"]
