"""What MLflow makes of an exported network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reprtune.tracking.mlmodel import as_mlflow_model

CODE = """
import sys, json
import numpy as np
import mlflow.pyfunc, torch
folder = sys.argv[1]
model = mlflow.pyfunc.load_model(folder)
images = np.random.default_rng(0).normal(size=(3, 1, 8, 8)).astype("float32")
said = model.predict(images)
program = torch.export.load(f"{folder}/network.pt2").module()
assert np.allclose(said, program(torch.from_numpy(images)).detach().numpy(), atol=1e-6)
assert tuple(model.metadata.signature.inputs.to_dict()[0]["tensor-spec"]["shape"]) == (-1, 1, 8, 8)
assert not any(name == "reprtune" or name.startswith("reprtune.") for name in sys.modules)
print(said.shape)
"""


def exported(folder: Path) -> Path:
    """The network of a short training, as MLflow gets it."""
    from reprtune.spec.edit import changed
    from reprtune.spec.trial import TrialSpec
    from reprtune.training.chain.chain import Chain
    from reprtune.training.export.network import files, from_chain
    from tests.work.tiny_worker import LOADED_DATA

    run = Chain(
        changed(TrialSpec(), {"method": "standard", "training.total": "4it", "training.segment": "4it"}),
        LOADED_DATA,
    )
    for _ in run:
        pass
    folder.mkdir()
    for name, data in as_mlflow_model(files(from_chain(run))).items():
        (folder / name).write_bytes(data)
    return folder


def test_mlflow_loads_the_network_without_reprtune(tmp_path: Path) -> None:
    """`mlflow.pyfunc.load_model(folder).predict(images)` gives the program's logits; its form is known."""
    folder = exported(tmp_path / "network")
    environment = {**os.environ, "DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(folder)], capture_output=True, text=True, cwd=tmp_path, env=environment,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(3, 10)"


def test_a_network_without_a_program_stays_as_it_is() -> None:
    """MLflow could not load it without its code, so it is not called a model."""
    files = {"weights.pt": b"w", "description.json": b"{}", "load.py": b""}
    assert as_mlflow_model(files) == files


@pytest.mark.parametrize("name", ["weights.pt", "network.pt2", "description.json"])
def test_nothing_of_the_export_is_changed(name: str) -> None:
    """Only files are added."""
    about = b'{"versions": {"torch": "2.11.0+cpu"}, "input_shape": [1, 8, 8], "n_classes": 10}'
    files = {"weights.pt": b"w", "network.pt2": b"p", "description.json": about}
    made = as_mlflow_model(files)
    assert made[name] == files[name]
    assert made.keys() - files.keys() == {"MLmodel", "reprtune_network.py", "requirements.txt"}
    assert made["requirements.txt"] == b"torch==2.11.0\nnumpy\n"


def test_each_of_several_networks_is_a_model_of_its_own() -> None:
    """Beside its files, and nothing in the folder above them; one without a program stays as it is."""
    about = json.dumps({"versions": {"torch": "2.11"}, "input_shape": [1, 8, 8], "n_classes": 10}).encode()
    one = {"network.pt2": b"1", "description.json": about}
    content = {"description.json": b"{}", "member-1/load.py": b"2"}
    found = as_mlflow_model({**content, **{f"member-0/{name}": data for name, data in one.items()}})
    expected = {f"member-0/{name}": data for name, data in as_mlflow_model(one).items()}
    assert found == {**content, **expected} and "member-0/MLmodel" in found
