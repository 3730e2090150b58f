"""An exported network as a model of MLflow: `mlflow.pyfunc.load_model("runs:/ID/network").predict(images)`.

The files of `training.export` stay as they are; beside them come `MLmodel` (MLflow's description), a module
that MLflow loads them with, and `requirements.txt`. None of them needs reprtune.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping

LOADER = "reprtune_network"
LOADER_TEXT = '''"""How MLflow loads the network in this folder. Needs torch and nothing else."""

from pathlib import Path

import torch


class Predictor:
    """Images -> logits, both float32 arrays; see description.json for form and normalisation."""

    def __init__(self, folder):
        self.network = torch.export.load(Path(folder) / "network.pt2").module()

    @torch.no_grad()
    def predict(self, images):
        return self.network(torch.as_tensor(images, dtype=torch.float32)).numpy()


def _load_pyfunc(path):
    return Predictor(path)
'''


def as_mlflow_model(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files with those for MLflow, a model for each of several networks; without a program (torch.export
    could not write it) as they are."""
    found: dict[str, bytes] = {}
    for folder in {name.rpartition("/")[0]: None for name in files}:
        start = f"{folder}/" if folder else ""
        own = {n.removeprefix(start): data for n, data in files.items() if n.rpartition("/")[0] == folder}
        found |= {f"{start}{name}": data for name, data in _with_model(own).items()}
    return found


def _with_model(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of one network."""
    if "network.pt2" not in files:
        return dict(files)
    about = json.loads(files["description.json"])
    torch_version = about["versions"]["torch"].partition("+")[0]
    function = {
        "loader_module": LOADER,
        "data": ".",
        "code": ".",
        "python_version": platform.python_version(),
    }
    model = {
        "flavors": {"python_function": function},
        "signature": {
            "inputs": _tensor([-1, *about["input_shape"]]),
            "outputs": _tensor([-1, about["n_classes"]]),
        },
    }
    return {
        **files,
        "MLmodel": json.dumps(model, indent=2).encode() + b"\n",  # JSON is YAML
        f"{LOADER}.py": LOADER_TEXT.encode(),
        "requirements.txt": f"torch=={torch_version}\nnumpy\n".encode(),
    }


def _tensor(shape: list[int]) -> str:
    return json.dumps([{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": shape}}])
