"""What MLflow makes of an exported network."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from reprtune.tracking.mlflow.model import model_files

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
    write(files(from_chain(run)), folder)
    write(model_files(folder), folder)
    return folder


def write(content: Mapping[str, bytes | str], folder: Path) -> None:
    for name, data in content.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


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


ABOUT = b'{"versions": {"torch": "2.11.0+cpu"}, "input_shape": [1, 8, 8], "n_classes": 10}'
MODEL = {"MLmodel", "reprtune_network.py", "requirements.txt"}


def test_a_network_without_a_program_stays_as_it_is(tmp_path: Path) -> None:
    """MLflow could not load it without its code, so it is not called a model."""
    write({"weights.pt": b"w", "description.json": b"{}", "load.py": b""}, tmp_path)
    assert model_files(tmp_path) == {}


def test_files_are_added_and_nothing_of_the_export_is_changed(tmp_path: Path) -> None:
    """Torch without its build in the requirements."""
    write({"weights.pt": b"w", "network.pt2": b"p", "description.json": ABOUT}, tmp_path)
    made = model_files(tmp_path)
    assert made.keys() == MODEL
    assert made["requirements.txt"] == "torch==2.11.0\nnumpy\n"


def test_each_of_several_networks_is_a_model_of_its_own(tmp_path: Path) -> None:
    """Beside its files, and nothing in the folder above them; one without a program stays as it is."""
    write({"description.json": b"{}", "member-1/load.py": b"2"}, tmp_path)
    write({"member-0/network.pt2": b"1", "member-0/description.json": ABOUT}, tmp_path)
    assert model_files(tmp_path).keys() == {f"member-0/{name}" for name in MODEL}
