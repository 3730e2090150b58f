"""An exported network as a model of MLflow: `mlflow.pyfunc.load_model("runs:/ID/network").predict(images)`.

The files of `training.export` stay as they are; beside them come `MLmodel` (MLflow's description), a module
that MLflow loads them with, and `requirements.txt`. None of them needs reprtune.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROGRAM = "network.pt2"
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


def model_files(folder: Path) -> dict[str, str]:
    """What makes each exported network in the folder (one, or one for each member, in folders of their own) a model
    of MLflow: path inside the folder -> text. Nothing for a network without a program (torch.export could not write
    it)."""
    found: dict[str, str] = {}
    for program in sorted(folder.rglob(PROGRAM)):
        inside = program.parent.relative_to(folder)
        about = json.loads((program.parent / "description.json").read_bytes())
        found |= {(inside / name).as_posix(): text for name, text in _of_one(about).items()}
    return found


def _of_one(about: Mapping[str, Any]) -> dict[str, str]:
    """For a network that is described so."""
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
        "MLmodel": json.dumps(model, indent=2) + "\n",  # JSON is YAML
        f"{LOADER}.py": LOADER_TEXT,
        "requirements.txt": f"torch=={torch_version}\nnumpy\n",
    }


def _tensor(shape: list[int]) -> str:
    return json.dumps([{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": shape}}])
