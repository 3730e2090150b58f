"""A teacher out of a folder: its answers, its name, and what is no teacher."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from reprtune.errors import SpecError
from reprtune.spec.task import ModelSpec
from reprtune.states.store import StateStore
from reprtune.training.data.task import Task
from reprtune.training.export import network as export
from reprtune.training.models import build_model
from reprtune.training.parts.losses.teacher import load_teacher
from reprtune.training.platform.seeds import generator
from tests.training.dropping import shaken
from tests.training.tiny import CPU, LOADED_DATA, SPEC, assert_same_end, finish, names, spec, trial_networks

MEAN, STD = [0.25], [0.5]
TEACHER = ModelSpec(name="convnet-2", width=5)


def network() -> nn.Module:
    return shaken(build_model(TEACHER, 1, (8, 8), 10, seed=9)).eval()


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher for the digits, written with torch alone."""
    folder = tmp_path_factory.mktemp("teacher")
    model = network().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    program = torch.export.export(
        model, (torch.zeros(2, 1, 8, 8),), dynamic_shapes=({0: torch.export.Dim("batch")},)
    )
    torch.export.save(program, folder / "network.pt2")
    torch.save(model.state_dict(), folder / "weights.pt")
    about = {"input_shape": [1, 8, 8], "n_classes": 10, "mean": MEAN, "std": STD, "what": "a teacher"}
    (folder / "description.json").write_text(json.dumps(about))
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """One that a test may damage."""
    return Path(shutil.copytree(original, tmp_path / "teacher"))


def task() -> Task:
    return LOADED_DATA.task(SPEC.task)


def load(folder: Path) -> Any:
    return load_teacher(str(folder), task(), CPU)


def taught(folder: Path, **fields: Any) -> Any:
    losses = {"method.losses": "teacher", "method.teacher_folder": str(folder), "method.teacher_weight": 0.75}
    return spec(**{**losses, **fields})


@pytest.mark.parametrize("n", [1, 7])
def test_it_answers_as_the_network_for_its_own_normalisation(original: Path, n: int) -> None:
    """For any number of images: what the student sees is turned back to pixels / 255 and normalised as the
    teacher's images were; BatchNorm uses its statistics, so that one image has the answer it has in a crowd."""
    pixels = torch.rand(7, 1, 8, 8, generator=generator(0, "pixels"))
    seen = (pixels - task().mean[0]) / task().std[0]
    with torch.no_grad():
        expected = network()((pixels - MEAN[0]) / STD[0])
    answers = load(original)(seen[:n])
    torch.testing.assert_close(answers, expected[:n], rtol=1e-4, atol=1e-4)
    assert not answers.requires_grad and answers.dtype == torch.float32


def test_what_its_answers_cost_is_counted(original: Path) -> None:
    """By hand: 8 x 8 x 9 multiply-adds for 1 x 5 and 5 x 5 pairs of channels and 5 x 10 in the linear layer, 2
    operations each, on top of 6 for each of the student's."""
    macs = 64 * 9 * (5 + 25) + 50
    assert load(original).macs == macs
    student, alone = trial_networks(taught(original)), trial_networks()
    assert student.gflops_per_step == pytest.approx(alone.gflops_per_step + 2 * macs * 16 / 1e9, rel=1e-12)


def test_the_weights_are_those_of_the_file_of_weights(folder: Path) -> None:
    """Other weights beside the same program give other answers, and another digest."""
    x = torch.rand(3, 1, 8, 8, generator=generator(0, "x"))
    before = load(folder)
    weights = torch.load(folder / "weights.pt", weights_only=True)
    weights["fc.bias"] = weights["fc.bias"] + 1
    torch.save(weights, folder / "weights.pt")
    after = load(folder)
    torch.testing.assert_close(after(x), before(x) + 1)
    assert after.digest != before.digest


class Scaled(nn.Module):
    """Logits times a number that is neither a parameter nor a stored buffer."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.inner = network()
        self.register_buffer("factor", torch.tensor(factor), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x) * self.factor


def test_constants_of_the_program_are_in_the_digest(folder: Path) -> None:
    """Numbers that are not among the weights change the answers, and so the digest."""
    digests = set()
    for factor in (1.0, 2.0, 2.0):
        model = Scaled(factor).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        torch.export.save(torch.export.export(model, (torch.zeros(2, 1, 8, 8),)), folder / "network.pt2")
        torch.save(model.state_dict(), folder / "weights.pt")
        digests.add(load(folder).digest)
    assert len(digests) == 2


def test_where_it_lies_is_not_in_its_digest(folder: Path, original: Path) -> None:
    """A copy is the same teacher, also with other words in its description; another normalisation is not."""
    assert load(folder).digest == load(original).digest
    rewrite(folder, what="another text")
    assert load(folder).digest == load(original).digest
    rewrite(folder, mean=[0.26])
    assert load(folder).digest != load(original).digest


def rewrite(folder: Path, **fields: Any) -> None:
    path = folder / "description.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_moved_teacher_leaves_the_names_of_states(folder: Path, original: Path) -> None:
    """Its digest, share and temperature are in the names, its folder is not."""
    assert names(taught(folder)) == names(taught(original))
    assert not set(names(taught(original))) & set(names(SPEC))
    for field, value in (("teacher_weight", 0.5), ("teacher_temperature", 2.0)):
        other = taught(original, **{f"method.{field}": value})
        assert not set(names(other)) & set(names(taught(original)))


def test_a_trial_learns_from_it(original: Path, tmp_path: Path) -> None:
    """It ends with finite losses, as itself when resumed from every state, and elsewhere than without."""
    store = StateStore(tmp_path / "states", "me")
    run = finish(taught(original), store, keep="all")
    for name in run.names[:-1:2]:
        store.delete([name])
    store.delete([run.names[-1]])
    assert_same_end(run, finish(taught(original), store))
    alone = finish(SPEC)
    assert run.history.points[-1].train_loss != alone.history.points[-1].train_loss


def test_it_does_not_learn(original: Path) -> None:
    """After an epoch of its student it answers as before."""
    x = torch.rand(3, 1, 8, 8, generator=generator(0, "x"))
    student = trial_networks(taught(original))
    teacher = student.step.loss.terms[0].teacher
    before = teacher(x)
    for step in range(3):
        student.step.lr.fill_(0.1)
        student.step(torch.rand(16, 1, 8, 8, generator=generator(0, step)), torch.arange(16) % 10)
    assert torch.equal(teacher(x), before)


def damage(name: str, content: bytes | None) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)

    return act


def other_weights(folder: Path) -> None:
    torch.save({"fc.weight": torch.zeros(10, 5)}, folder / "weights.pt")


WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "no folder": (shutil.rmtree, "has no network.pt2"),
    "no program": (damage("network.pt2", None), "has no network.pt2"),
    "no weights": (damage("weights.pt", None), "has no weights.pt"),
    "no description": (damage("description.json", None), "has no description.json"),
    "broken program": (damage("network.pt2", b"PK\x03\x04 no zip"), "has files that are no network"),
    "empty program": (damage("network.pt2", b""), "has files that are no network"),
    "broken weights": (damage("weights.pt", b"no weights"), "has files that are no network"),
    "other weights": (other_weights, "has files that are no network"),
    "broken description": (damage("description.json", b"{"), "does not say what it should"),
    "a list": (damage("description.json", b"[1]"), "does not say what it should"),
    "nothing said": (damage("description.json", b"{}"), "does not say what it should"),
    "means of three channels": (
        lambda folder: rewrite(folder, mean=[0.1, 0.2, 0.3]),
        "another number of means than of channels",
    ),
    "larger images": (
        lambda folder: rewrite(folder, input_shape=[1, 16, 16]),
        "must read images of 1 x 8 x 8 as the task has them, but the network in {folder} reads 1 x 16 x 16",
    ),
    "fewer classes": (
        lambda folder: rewrite(folder, n_classes=7),
        "must know the 10 classes of the task, but the network in {folder} knows 7",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_teacher_is_refused(folder: Path, what: str) -> None:
    """Before training: the field, the folder, what is wrong with it, and what to do."""
    act, message = WRONG[what]
    act(folder)
    with pytest.raises(SpecError) as caught:
        trial_networks(taught(folder))
    assert caught.value.message.startswith("method.teacher_folder must ")
    assert message.format(folder=folder) in caught.value.message
    assert str(folder) in caught.value.message and caught.value.hint


def test_an_exported_trial_is_a_teacher(tmp_path: Path) -> None:
    """What the export writes of a finished trial answers as that trial's network does."""
    run = finish(SPEC)
    export.write(export.files(export.from_chain(run)), tmp_path / "exported")
    teacher = load(tmp_path / "exported")
    x = torch.rand(5, 1, 8, 8, generator=generator(0, "x"))
    with torch.no_grad():
        expected = run.networks.model.eval()(x)
    torch.testing.assert_close(teacher(x), expected, rtol=1e-4, atol=1e-5)


def test_a_folder_of_several_networks_is_no_teacher_but_each_of_them_is(tmp_path: Path) -> None:
    """The hint names one."""
    run = finish(spec(method="ensemble", **{"training.total": "1ep"}))
    export.write(export.files(export.from_chain(run)), tmp_path / "both")
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "both")
    assert caught.value.message == (
        f"method.teacher_folder must be the folder of one network, but {tmp_path / 'both'} holds several."
    )
    one, other = tmp_path / "both" / "member-0", tmp_path / "both" / "member-1"
    assert caught.value.hint == f"Name one of them, such as {one}."
    assert load(one).digest != load(other).digest
