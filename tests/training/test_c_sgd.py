"""C-SGD as a whole: filters in clusters, one phase that makes them equal, and a smaller network at the end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import cli
from reprtune.errors import SpecError
from reprtune.spec.study import Arm, Arms, named
from reprtune.spec.trial import TrialSpec
from reprtune.states.store import StateStore
from reprtune.study.foreseen import foreseen_in
from reprtune.training.chain import foreseen as foreseen_module
from reprtune.training.chain import plan
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.foreseen import foreseen
from reprtune.training.chain.member import Interrupted, new_network
from reprtune.training.descent import cuda_graph
from tests.tiny_study import STUDY
from tests.training.recorded import Capture
from tests.training.tiny import LOADED_DATA, STEPS_PER_EPOCH, assert_same_end, finish, spec, until

# Differences are halved in every step; the running statistics of BatchNorm follow within some hundred.
STRONG = {
    "method": "c-sgd", "method.pull": 10.0, "training.momentum": 0.0, "training.weight_decay": 0.0,
    "training.total": "40ep",
}  # fmt: skip
SHORT = {**STRONG, "training.total": "6ep"}


def numbers(run: Chain, kind: str) -> list[dict[str, float]]:
    return [dict(told.numbers) for told in run.history.happenings if told.kind == kind]


def n_parameters(trial: TrialSpec) -> int:
    """Of the network that the specification builds."""
    model = new_network(trial, LOADED_DATA.task(trial.task), 0, 0)
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    "model",
    [
        {"name": "convnet-3", "width": 12},
        {"name": "convnet-3", "width": 12, "head": "flatten", "pool": True},
        {"name": "resnet-8", "width": 8},
    ],
)
def test_a_wide_network_is_squeezed_into_a_narrow_one(model: dict[str, Any]) -> None:
    """Trained twice as wide, it ends with the parameters and the cost of the one built narrow, and says what it said
    before the trim."""
    changes = {f"model.{key}": value for key, value in model.items()}
    wide = spec(**STRONG, **changes, **{"method.kept_share": 0.5})
    narrow = spec(**{"method": "standard", **changes, "model.width": model["width"] // 2})
    run = finish(wide)
    (told,) = numbers(run, "end")
    assert told["params_before"] == n_parameters(wide)
    assert told["params"] == n_parameters(narrow) == run.networks.measured()["params"]
    assert told["inference_gflops"] == finish(narrow).networks.measured()["inference_gflops"]
    assert told["gap"] < 1e-4
    assert run.networks.measured()["val_error"] == run.history.points[-1].val_error < 0.9


def test_the_distance_is_told_at_every_rung() -> None:
    """Halved in every step from the begin on, where it is that of new filters; of 18 filters there are 12 clusters."""
    run = finish(spec(**SHORT))
    (begun,) = numbers(run, "begin")
    assert (begun["channels"], begun["clusters"]) == (18, 12) and begun["distance"] > 0.1
    told = [told for told in run.history.happenings if told.kind == "measure"]
    assert [t.step for t in told] == [*run.rungs, run.total_steps]
    for t in told[:2]:  # then float32 ends
        assert t.numbers["distance"] == pytest.approx(begun["distance"] / 2**t.step, rel=0.01, abs=1e-9)
    assert told[-1].numbers["distance"] < 1e-9


def test_the_phase_ends_when_filters_are_close() -> None:
    """At the first rung at which the distance is small enough, with the trim."""
    run = finish(spec(**SHORT, **{"method.until_distance": 1e-5}))
    *before, last = numbers(run, "measure")
    assert last["distance"] <= 1e-5 < min((m["distance"] for m in before), default=1.0)
    assert run.networks.step_done < 48 and run.networks.measured()["params"] < n_parameters(spec(**SHORT))


def test_before_the_begin_it_is_plain_training() -> None:
    """Bit for bit: a phase that starts at the half leaves the first half alone."""
    late = spec(**SHORT, **{"method.start": 0.5})
    plain = spec(**_plain(SHORT))
    a, b = (Chain(trial, LOADED_DATA) for trial in (late, plain))
    for run in (a, b):
        for advance in run:
            if advance.step == 24:
                break
    weights = b.networks.model.state_dict()
    assert a.networks.step_done == b.networks.step_done == 24
    assert all(torch.equal(t, weights[name]) for name, t in a.networks.model.state_dict().items())


def _plain(changes: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in changes.items() if not k.startswith("method")} | {"method": "standard"}


def test_clusters_of_one_are_plain_training() -> None:
    """Whatever the pull, with as many clusters as filters nothing changes but what is told."""
    alone, plain = finish(spec(**SHORT, **{"method.kept_share": 1.0})), finish(spec(**_plain(SHORT)))
    weights = plain.networks.model.state_dict()
    assert all(torch.equal(t, weights[name]) for name, t in alone.networks.model.state_dict().items())


@pytest.mark.parametrize("model", [{}, {"model.name": "resnet-8", "model.width": 8}])
@pytest.mark.parametrize("stop", [10, 30])
def test_a_stopped_trial_goes_on_as_itself(tmp_path: Path, stop: int, model: dict[str, Any]) -> None:
    """Before the begin and after it: clusters are part of the state. A finished one is found finished, and trimmed."""
    trial = spec(**SHORT, **model, **{"method.start": 0.5})
    whole = finish(trial)
    store = StateStore(tmp_path / "states", "me")
    with pytest.raises(Interrupted):
        finish(trial, store, should_stop=until(stop))
    again = finish(trial, store)
    assert 0 < again.steps_spent < 48
    assert_same_end(whole, again)
    found = finish(trial, store)
    assert found.steps_spent == 0
    assert_same_end(whole, found)


def test_a_captured_step_serves_both_sides_of_the_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Captured before there are clusters, replayed with them: as the eager trial, bit for bit."""
    trial = spec(**SHORT, **{"method.start": 0.5})
    eager = finish(trial)
    monkeypatch.setattr(cuda_graph, "why_eager", lambda *_: None)
    monkeypatch.setattr(cuda_graph, "capture_on_cuda", capture := Capture())
    captured = finish(trial)
    assert capture.n_captures == 1 and capture.n_replays > 0
    assert_same_end(captured, eager)


def test_members_have_clusters_of_their_own() -> None:
    """Each of its own weights; each is trimmed by its own, and all end with one size."""
    run = finish(spec(**SHORT, **{"method.n_members": 2}))
    forms = [member.forms for member in run.networks.members]
    assert forms[0] != forms[1]
    assert len({told["params"] for told in numbers(run, "end")}) == 1


# -- what is refused, and what is foreseen ----------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training.optimizer": "adam"}, "method.gradient = centripetal needs training.optimizer = sgd, but got adam"),
        ({"training.optimizer": "adamw"}, "method.gradient = centripetal needs training.optimizer = sgd, but got adamw"),
        ({"method.gradient": "none"}, "method.selection = clusters takes filters, but nothing is done with them"),
        ({"method.selection": "none"}, "method.schedule = phase lets nothing happen"),
        ({"method.schedule": "cycles", "method.s2": "0ep"}, "method.gradient = centripetal needs method.schedule = phase"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    """As values, before there is a network."""
    with pytest.raises(SpecError) as caught:
        spec(**{"method": "c-sgd", **changes})
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"method.kept_share": 0.95},
            "method.kept_share = 0.95 leaves every filter alone: the layers have 6 to 6",
        ),
        ({"method.exclude": ("x*",)}, "method.exclude must match layers whose filters can be cut"),
    ],
)
def test_clusters_that_cannot_be_made_are_refused(changes: dict[str, Any], message: str) -> None:
    """Before anything is trained, also where the phase begins late."""
    with pytest.raises(SpecError) as caught:
        Chain(spec(**SHORT, **changes, **{"method.start": 0.5}), LOADED_DATA)
    assert caught.value.message.startswith(message)


def test_too_little_contraction_is_foreseen() -> None:
    """With the sum, by hand: 48 steps of 0.05 at a pull of 0.1 without momentum, half of them in the phase."""
    weak = {**SHORT, "method.pull": 0.1, "method.start": 0.5}
    (line,) = foreseen(spec(**weak), STEPS_PER_EPOCH)
    assert "is 0.12, where 20 are needed" in line and "about 0.89 of their differences" in line
    assert foreseen(spec(**SHORT), STEPS_PER_EPOCH) == []
    assert foreseen(spec(), STEPS_PER_EPOCH) == []
    assert foreseen(spec(**weak, **{"method.ending": "none"}), STEPS_PER_EPOCH) == []


def test_what_a_larger_pull_cannot_mend_is_said_so() -> None:
    """By hand: 12 steps of 0.05 with momentum 0.9. A pull of 40 adds up to 240, but no step does more than 0.949; at
    100 the roots of x^2 - (1.9 - 5) x + 0.9 are -2.78 and -0.32, so that differences grow."""
    short = {**SHORT, "method.start": 0.75, "training.momentum": 0.9}
    (few,) = foreseen(spec(**{**short, "method.pull": 40.0}), STEPS_PER_EPOCH)
    assert "too few steps" in few and "factor of 0.949" in few and "Raise training.total" in few
    assert "are needed" not in few and "Raise method.pull" not in few
    (wild,) = foreseen(spec(**{**short, "method.pull": 100.0}), STEPS_PER_EPOCH)
    assert "overshoots" in wild and wild.endswith("Lower method.pull or training.lr.")


def test_the_slowest_member_is_foreseen() -> None:
    """Of two networks the first has half the learning rate: 48 steps of 0.025 at a pull of 10 are 12, not 24."""
    two = {**SHORT, "method.n_members": 2}
    assert foreseen(spec(**two), STEPS_PER_EPOCH) == []
    (line,) = foreseen(spec(**two, **{"method.member_lr": "spread"}), STEPS_PER_EPOCH)
    assert "is 12, where 20 are needed" in line


def test_what_is_foreseen_is_of_the_rates_that_are_trained_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """One rule gives the rates of both: with a tenth of them a tenth is foreseen, 24 / 10."""
    monkeypatch.setattr(foreseen_module, "trial_rates", lambda *given: plan.trial_rates(*given) / 10)
    (line,) = foreseen(spec(**SHORT), STEPS_PER_EPOCH)
    assert "is 2.4, where 20 are needed" in line


def test_a_study_says_which_arm_contracts_too_little() -> None:
    """Of the arms and of the search's base; nothing of those that have no clusters."""
    arms = named(
        Arm(name="squeezed", changes={"method": "c-sgd", "method.pull": 0.001}),
        Arm(name="standard", changes={"method": "standard"}),
    )
    study = replace(STUDY, sections=(Arms(name="controls", design=arms, seeds=(0, 1)), STUDY.search))
    (line,) = foreseen_in(study, 2)
    assert line.startswith("The arm squeezed: Clusters contract too little")


def test_train_says_it_before_it_trains(tmp_path: Path) -> None:
    """A line on stderr, above the first of the progress; nothing with --quiet."""
    words = [
        "train",
        "--method",
        "c-sgd",
        "--total",
        "1ep",
        "--runs",
        str(tmp_path),
        "--set",
        "method.pull=0.01",
    ]
    said = CliRunner().invoke(cli.cli, words)
    assert said.exit_code == 0, said.output
    assert said.stderr.startswith(
        "warning: Clusters contract too little for a trim without loss: the sum of lr"
    )
    assert "warning" not in CliRunner().invoke(cli.cli, ["--quiet", *words]).stderr
