"""An exported network of another structure than its specification builds."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from reprtune.spec.task import ModelSpec
from reprtune.training.export import program
from reprtune.training.export.latency import BATCHES, with_latency
from reprtune.training.export.load_script import load_script
from reprtune.training.export.network import FILES, files, from_chain, from_state, write
from tests.training import hand_trim
from tests.training.ended import EXAMPLE, KEEP, export, small, trim
from tests.training.test_export import ELSEWHERE, assert_same_weights, run_elsewhere
from tests.training.tiny import CPU, finish, spec

STANDARD = {"method": "standard", "training.total": "1ep"}
OTHER = {"conv1": [1], "conv2": [0, 5], "conv3": [2, 3, 4]}


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    hand_trim.register(monkeypatch)


def test_the_smaller_network_is_written_and_needs_torch_alone(tmp_path: Path) -> None:
    """It answers in another process as one sliced by hand from the trained weights; its parameters, operations and
    form are in its description; a whole network of the same specification is not mixed up with it."""
    run = finish(spec(**STANDARD))
    whole = copy.deepcopy(run.networks.model)
    export(run, tmp_path / "whole")
    trim(run, KEEP)
    folder = export(run, tmp_path / "n")
    expected, pixels = small(whole, KEEP), run.networks.task.val.x
    torch.save(pixels, tmp_path / "n.pixels")
    run_elsewhere(ELSEWHERE, folder, cwd=tmp_path)
    task = run.networks.task
    x = (pixels.float() / 255 - task.mean[0]) / task.std[0]
    for answer, n in zip(torch.load(tmp_path / "n.logits"), (1, 7, len(x)), strict=True):
        torch.testing.assert_close(answer, expected(x[:n]).detach(), rtol=1e-5, atol=1e-5)
    about, before = (json.loads((tmp_path / k / "description.json").read_text()) for k in ("n", "whole"))
    with FlopCounterMode(display=False) as counter:
        expected(EXAMPLE)
    assert about["forms"] == [{"kind": "hand-trim", "keep": KEEP}] and before["forms"] == []
    assert about["params"] == sum(p.numel() for p in expected.parameters())
    assert about["inference_gflops"] == counter.get_total_flops() / 1e9
    assert before["params"] == sum(p.numel() for p in whole.parameters())
    assert about["history"]["filters_absent_at_the_end"] == 0
    weights = torch.load(folder / "weights.pt", weights_only=True)
    assert {n: t.shape for n, t in weights.items()} == {n: t.shape for n, t in expected.state_dict().items()}


@pytest.mark.parametrize("total", ["6ep", "4ep"])
def test_a_stored_state_gives_the_smaller_networks(tmp_path: Path, total: str) -> None:
    """The same files as the chain itself, for each of two members with a form of its own; also where filters were
    dropped when it ended, for what came out is whole."""
    run = finish(spec(**{"method.n_members": 2, "training.total": total}))
    trim(run, KEEP, OTHER)
    direct = from_chain(run)
    stored = from_state(run.networks.save(end=True), run.spec, direct.facts, run.last_name)
    assert_same_weights(direct, stored)
    ours, theirs = files(direct), files(stored)
    texts = [name for name in ours if not name.endswith("weights.pt")]
    assert ours.keys() == theirs.keys() and {n: ours[n] for n in texts} == {n: theirs[n] for n in texts}
    about = [json.loads(ours[f"member-{k}/description.json"]) for k in (0, 1)]
    assert [a["forms"] for a in about] == [[hand_trim.form(**keep)] for keep in (KEEP, OTHER)]
    assert [a["history"]["filters_absent_at_the_end"] for a in about] == [0, 0]


# -- where torch.export cannot write it ------------------------------------------------------------


def test_what_cannot_be_traced_is_built_in_its_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The description says why there is no program, the script that it needs reprtune, and it answers the same."""

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("not this one")

    run = finish(spec(**STANDARD))
    expected = small(run.networks.model, OTHER)
    trim(run, OTHER)
    program._traced.cache_clear()
    monkeypatch.setattr(torch.export, "export", fails)
    folder = export(run, tmp_path / "n")
    program._traced.cache_clear()
    assert {path.name for path in folder.iterdir()} == {*FILES} - {"network.pt2"}
    assert "not this one" in json.loads((folder / "description.json").read_text())["no_program_because"]
    text = (folder / "load.py").read_text()
    assert text.startswith('"""Loads the network beside this file. Needs torch and reprtune.')
    scope: dict[str, object] = {"__file__": str(folder / "load.py"), "__name__": "load"}
    exec(compile(text, "load.py", "exec"), scope)
    x = torch.linspace(-1, 1, 128).reshape(2, 1, 8, 8)
    torch.testing.assert_close(scope["load"]()(x), expected(x))  # type: ignore[operator]


def test_an_own_network_in_another_form_needs_all_three() -> None:
    """Its code, and reprtune for the form; without a form its code alone."""
    model = ModelSpec(name="python:lab/nets.py:make")
    said = [
        load_script(model, forms, (1, 8, 8), 10, "why").splitlines()[0] for forms in ((), (hand_trim.form(),))
    ]
    assert said[0].endswith('Needs torch and the code of the network."""')
    assert said[1].endswith('Needs torch, reprtune and the code of the network."""')


# -- how long it takes -----------------------------------------------------------------------------


def test_how_long_it_takes_is_written_down(tmp_path: Path) -> None:
    """Of a network in another form: before and after, for one image and for many, with the trial's threads; nothing
    of one as its specification builds it, nor where it was not measured."""
    run = finish(spec(**{**STANDARD, "training.threads": 2}))
    plain = with_latency(from_chain(run), CPU, seconds=0.0)
    assert [network.latency for network in plain.networks] == [()]
    trim(run, KEEP)
    assert "latency" not in json.loads(files(from_chain(run))["description.json"])
    content = files(with_latency(from_chain(run), CPU, seconds=0.0))
    write(content, tmp_path / "n")
    found = json.loads((tmp_path / "n" / "description.json").read_text())["latency"]
    assert [t["batch"] for t in found] == [*BATCHES] and {t["threads"] for t in found} == {2}
    for t in found:
        assert 0 < t["before"]["low"] <= t["before"]["median"] <= t["before"]["high"]
        assert t["after"]["median"] > 0 and t["ratio"]["median"] > 0 and t["unit"] == "ms"
