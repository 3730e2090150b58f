"""A study whose networks end smaller than they were trained: error against size and cost of use, and their front."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch

from dashboards import pareto
from reprtune.record.schema import StudyRecord
from reprtune.settings import Settings
from reprtune.spec.edit import changed
from reprtune.spec.space import FloatRange
from reprtune.study.export import slot_network
from reprtune.training.export.network import files
from tests.tiny_study import STUDY
from tests.work.tiny_worker import create, work

pytestmark = pytest.mark.usefixtures("short_lease")
NAMES = ("val_error", "params")
BASE = changed(STUDY.base, {"method": "c-sgd", "model.width": 6, "training.lr": 0.1})
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, StudyRecord]:
    """Eight trials of C-SGD that keep between a third of the filters and almost all."""
    space = {"method.kept_share": FloatRange(low=0.34, high=0.95)}
    folder = tmp_path_factory.mktemp("smaller")
    settings = create(
        folder, objectives=NAMES, base=BASE, space=space, slots=8, controls=(), control_seeds=()
    )
    return settings, work(settings)


def test_the_size_is_that_of_what_is_shipped(found: tuple[Settings, StudyRecord]) -> None:
    """For every slot the objective is the number of entries in the parameters of its exported weights, which differ
    from slot to slot, and what the description says; the cost of use stands beside it."""
    settings, study = found
    sizes = set()
    for trial in study.complete():
        content = files(slot_network(settings, study, str(trial.slot)))
        weights = torch.load(io.BytesIO(content["weights.pt"]), weights_only=True)
        size = sum(t.numel() for name, t in weights.items() if not name.endswith(BUFFERS))
        about = json.loads(content["description.json"])
        assert trial.values is not None and trial.values["params"] == size == about["params"]
        assert trial.result["inference_gflops"] == about["inference_gflops"]
        sizes.add(size)
    assert len(sizes) > 2


def test_the_front_of_error_against_size_is_drawn(
    found: tuple[Settings, StudyRecord], tmp_path: Path
) -> None:
    """By brute force: whoever is not beaten in both; the page holds them, its figure draws them."""
    _, study = found
    values = {t.slot: (t.values["val_error"], t.values["params"]) for t in study.complete() if t.values}
    beaten = {
        slot
        for slot, mine in values.items()
        if any(other != mine and other[0] <= mine[0] and other[1] <= mine[1] for other in values.values())
    }
    page = pareto.info(study)
    assert page.measures == NAMES and page.searched
    assert {point.slot for point in page.front} <= values.keys() - beaten
    assert {values[p.slot] for p in page.front} == {values[slot] for slot in values.keys() - beaten}
    drawn = [x for trace in pareto.figure(page).data for x in (trace.x or ())]
    assert len(drawn) >= len(page.front) + page.n_dominated
