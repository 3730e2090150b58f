"""A trial that begins from another trial's network: in its structure, with its weights, by its content."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from reprtune.errors import SpecError
from reprtune.spec.trial import TrialSpec
from reprtune.states.store import StateStore
from reprtune.training.chain import state
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.member import new_network
from reprtune.training.export.network import files, from_chain, write
from reprtune.training.models.weights import content
from tests.training import family, hand_trim
from tests.training.ended import KEEP, export, trained_and_trimmed, trim
from tests.training.test_export import ELSEWHERE, run_elsewhere
from tests.training.tiny import (
    LOADED_DATA,
    SPEC,
    assert_same_end,
    finish,
    names,
    spec,
    trial_networks,
)

WIDTHS = {name: len(rows) for name, rows in KEEP.items()}
RULES = ("orthogonal", "random", "zero", "old", "as-released")


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    hand_trim.register(monkeypatch)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Chain]:
    """A trial of 48 steps, trimmed by hand to 4, 2 and 5 filters."""
    folder = tmp_path_factory.mktemp("begin") / "first"
    with pytest.MonkeyPatch.context() as patch:
        hand_trim.register(patch)
        return folder, trained_and_trimmed(SPEC, folder)


@pytest.fixture
def folder(original: tuple[Path, Chain], tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(original[0], tmp_path / "copy"))


def begun(folder: Path, **fields: Any) -> TrialSpec:
    return spec(model__weights=str(folder), **fields)


def rewrite(folder: Path, **fields: Any) -> None:
    path = folder / "description.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


# -- what it begins from ---------------------------------------------------------------------------


def test_it_begins_where_the_other_ended(original: tuple[Path, Chain]) -> None:
    """Same structure, same weights and statistics bit for bit, same error before the first step; what is dropped
    counts in its own filters."""
    folder, first = original
    begins = trial_networks(begun(folder))
    ended = first.networks.model.state_dict()
    assert {k: v.shape for k, v in begins.model.state_dict().items()} == {
        k: v.shape for k, v in ended.items()
    }
    assert all(torch.equal(tensor, ended[name]) for name, tensor in begins.model.state_dict().items())
    assert begins.evaluate(begins.task.val).error == first.networks.evaluate(first.networks.task.val).error
    assert begins.filters.layers == WIDTHS
    assert begins.n_drop == round(0.3 * (2 + 5))  # of all but the first layer


@pytest.mark.parametrize("rule", RULES)
def test_it_trains_drops_and_restores(original: tuple[Path, Chain], tmp_path: Path, rule: str) -> None:
    """To the end by every restore rule, and to the same end, bit for bit, when resumed from every other state."""
    store = StateStore(tmp_path / "states", "me")
    trial = begun(original[0], method__restore=rule)
    run = finish(trial, store, keep="all")
    for name in run.names[:-1:2]:
        store.delete([name])
    store.delete([run.names[-1]])
    assert_same_end(run, finish(trial, store))
    assert {n: w.shape[0] for n, w in run.networks.network.filter_weights().items()} == WIDTHS


@pytest.mark.parametrize("name", family.METHODS)
def test_every_method_begins_from_a_smaller_network(original: tuple[Path, Chain], name: str) -> None:
    """Whatever it drops, restores, exchanges, renews or trims: it trains from there to its end, and its network keeps
    the form that it began with."""
    run = finish(family.trial(name, **{"model.weights": str(original[0])}))
    for member in run.networks.members:
        assert member.forms[0] == hand_trim.form(**KEEP)


def test_new_weights_are_drawn_in_its_form() -> None:
    """What a restore draws anew are the rows and columns, kept by hand, of a new network of the specification."""
    forms, task = [hand_trim.form(**KEEP)], LOADED_DATA.task(SPEC.task)
    drawn = new_network(SPEC, task, 7, 0, forms)
    whole = new_network(SPEC, task, 7, 0)
    rows, columns = KEEP["conv3"], KEEP["conv2"]
    expected = whole.get_parameter("conv3.weight")[rows][:, columns]
    assert torch.equal(drawn.get_parameter("conv3.weight"), expected)


def test_several_members_begin_from_one_network_or_each_from_its_own(
    original: tuple[Path, Chain], tmp_path: Path
) -> None:
    """Of a folder of one all have the same weights; of one of two each its own."""
    both = finish(spec(method="ensemble", **{"training.total": "1ep"}))
    trim(both, KEEP, KEEP)
    export(both, tmp_path / "both")
    alike = trial_networks(begun(original[0], method="ensemble"))
    own = trial_networks(begun(tmp_path / "both", method="ensemble"))
    first = original[1].networks.model.get_parameter("conv1.weight")
    assert all(torch.equal(m.model.get_parameter("conv1.weight"), first) for m in alike.members)
    for member, ended in zip(own.members, both.networks.members, strict=True):
        weight = member.model.get_parameter("conv1.weight")
        assert torch.equal(weight, ended.model.get_parameter("conv1.weight"))
    assert (alike.steps_before, own.steps_before) == (48, 16)


# -- names and budget ------------------------------------------------------------------------------


def test_names_are_of_the_content(folder: Path, original: tuple[Path, Chain]) -> None:
    """Not of the place, nor of what else the description says; of the weights, the form, and what a plain trial is
    named by."""
    own = names(begun(original[0]))
    assert names(begun(folder)) == own
    rewrite(folder, what="other words")
    assert names(begun(folder)) == own
    assert not set(own) & set(names(SPEC)) and not set(own) & set(names(begun(folder, seed=3)))
    weights = torch.load(folder / "weights.pt", weights_only=True)
    weights["conv1.weight"][0, 0, 0, 0] += 1
    torch.save(weights, folder / "weights.pt")
    assert not set(names(begun(folder))) & set(own)


def test_the_form_is_in_the_names(folder: Path, original: tuple[Path, Chain]) -> None:
    """The same weights in a form that keeps other filters are another network."""
    rewrite(folder, forms=[hand_trim.form(**{**KEEP, "conv2": [1, 3]})])
    assert not set(names(begun(folder))) & set(names(begun(original[0])))


def test_widths_one_after_another(tmp_path: Path) -> None:
    """Export, train, trim, export, three times: forms add up, so do the steps of all networks; what comes out is
    as small as what was kept, loads with torch alone, and begins a further trial."""
    at = None
    for number, keep in enumerate(({"conv1": [0, 1, 2, 3]}, {"conv2": [1, 2, 5]}, {"conv1": [3, 0]}), 1):
        trial = SPEC if at is None else begun(at)
        at = tmp_path / str(number)
        run = trained_and_trimmed(trial, at, keep)
        about = json.loads((at / "description.json").read_text())
        assert len(about["forms"]) == number and about["forms"][-1] == hand_trim.form(**keep)
        assert (about["history"]["steps"], about["history"]["steps_before"]) == (48, 48 * (number - 1))
        assert state.decode(run.networks.save(end=True))[1]["steps_before"] == 48 * (number - 1)
    torch.save(run.networks.task.val.x, f"{at}.pixels")
    run_elsewhere(ELSEWHERE, at, cwd=tmp_path)
    x = (run.networks.task.val.x.float() / 255 - run.networks.task.mean[0]) / run.networks.task.std[0]
    answer = run.networks.model.eval()(x).detach()
    torch.testing.assert_close(torch.load(f"{at}.logits")[-1], answer, rtol=1e-5, atol=1e-5)
    last = trial_networks(begun(at))
    assert last.filters.layers == {"conv1": 2, "conv2": 3, "conv3": 6} and last.steps_before == 144
    assert torch.equal(last.model.get_parameter("fc.weight"), run.networks.model.get_parameter("fc.weight"))
    assert len(run.networks.members[0].forms) == 3


def test_the_steps_of_all_networks_count(tmp_path: Path) -> None:
    """Of a trial of two networks twice its steps, also for one of them alone: it was trained beside the other."""
    run = finish(spec(method="ensemble", **{"training.total": "2ep"}))
    export(run, tmp_path / "both")
    assert content(str(tmp_path / "both"))[1] == content(str(tmp_path / "both" / "member-1"))[1] == 32


# -- what is refused -------------------------------------------------------------------------------


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def holding(name: str, text: bytes) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        (folder / name).write_bytes(text)

    return act


def saying(**fields: Any) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder, **fields)


def with_absent(folder: Path) -> None:
    about = json.loads((folder / "description.json").read_text())
    rewrite(folder, history={**about["history"], "filters_absent_at_the_end": 3})


def other_weights(folder: Path) -> None:
    torch.save({"fc.weight": torch.zeros(10, 5)}, folder / "weights.pt")


WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "no folder": (shutil.rmtree, "{folder} has no description.json"),
    "no description": (without("description.json"), "{folder} has no description.json"),
    "no weights": (without("weights.pt"), "{folder} has no weights.pt"),
    "broken description": (holding("description.json", b"{"), "does not say what it should"),
    "a list": (holding("description.json", b"[1]"), "does not say what it should"),
    "nothing said": (holding("description.json", b"{}"), "does not say what it should"),
    "no steps": (saying(history={}), "does not say what it should"),
    "broken weights": (holding("weights.pt", b"no weights"), "has files that are no network"),
    "empty weights": (holding("weights.pt", b""), "has files that are no network"),
    "other weights": (other_weights, "has weights that do not fit convnet-3"),
    "no form": (saying(forms=[]), "has weights that do not fit convnet-3"),
    "an unknown form": (saying(forms=[{"kind": "folded"}]), "has files that are no network"),
    "a form of another": (
        saying(forms=[hand_trim.form(conv1=[77])]),
        "has weights that do not fit convnet-3",
    ),
    "larger images": (
        saying(input_shape=[1, 16, 16]),
        "must read images of 1 x 8 x 8 as the task has them, but the network in {folder} reads 1 x 16 x 16",
    ),
    "fewer classes": (
        saying(n_classes=7),
        "must know the 10 classes of the task, but the network in {folder} knows 7",
    ),
    "dropped filters": (with_absent, "ended with 3 filters dropped"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_network_to_begin_from_is_refused(folder: Path, what: str) -> None:
    """Before training: the field, the folder, what is wrong with it, and what to do."""
    act, message = WRONG[what]
    act(folder)
    with pytest.raises(SpecError) as caught:
        trial_networks(begun(folder))
    assert caught.value.message.startswith("model.weights must ")
    assert message.format(folder=folder) in caught.value.message
    assert str(folder) in caught.value.message and caught.value.hint


@pytest.mark.parametrize(
    ("path", "value", "hint"),
    [
        ("model.width", 7, "Set model.width=6."),
        ("model.width", None, "Set model.width=6."),
        ("model.name", "convnet-4", 'Set model.name="convnet-3".'),
        ("model.batch_norm", False, "Set model.batch_norm=true."),
    ],
)
def test_a_network_of_another_specification_is_refused(
    folder: Path, path: str, value: Any, hint: str
) -> None:
    """The field that differs is named with both values, and what to set."""
    with pytest.raises(SpecError) as caught:
        trial_networks(begun(folder, **{path: value}))
    assert f"whose {path} is {value}" in caught.value.message
    assert str(caught.value.hint).startswith(hint)


def test_another_number_of_networks_is_refused(tmp_path: Path) -> None:
    """A folder of two for one network and for three; one of them is named."""
    both = finish(spec(method="ensemble", **{"training.total": "1ep"}))
    export(both, tmp_path / "both")
    for fields, n in (({}, 1), ({"method": "ensemble", "method.n_members": 3}, 3)):
        with pytest.raises(SpecError, match=rf"as many as the trial has \({n}\), but .* holds 2") as caught:
            trial_networks(begun(tmp_path / "both", **fields))
        assert f"{tmp_path / 'both' / 'member-0'}, or set method.n_members=2" in str(caught.value.hint)


def test_members_of_unlike_widths_are_refused(tmp_path: Path) -> None:
    """The layer and its filters in both are named: a drop takes as many of each."""
    both = finish(spec(method="ensemble", **{"training.total": "1ep"}))
    trim(both, KEEP, {**KEEP, "conv2": [1, 2, 3]})
    export(both, tmp_path / "both")
    with pytest.raises(SpecError, match="conv2 has 2 in member-0 and 3 in member-1"):
        trial_networks(begun(tmp_path / "both", method="ensemble"))


@pytest.mark.parametrize("text", ["", "  "])
def test_no_folder_at_all_is_refused(text: str) -> None:
    """When the value is made."""
    with pytest.raises(SpecError, match=r"model\.weights must be the folder of an exported network"):
        replace(SPEC.model, weights=text)


def test_files_of_a_chain_with_a_begin_can_be_written_again(
    original: tuple[Path, Chain], tmp_path: Path
) -> None:
    """Trained on and exported as it is, without a further trim: the form stays, the size too."""
    run = finish(begun(original[0], method="standard"))
    write(files(from_chain(run)), tmp_path / "n")
    about = json.loads((tmp_path / "n" / "description.json").read_text())
    assert about["forms"] == [hand_trim.form(**KEEP)]
    assert about["params"] == sum(p.numel() for p in original[1].networks.model.parameters())
    assert about["spec"]["model"]["weights"] == str(original[0])
