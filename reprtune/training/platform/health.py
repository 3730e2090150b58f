"""Do torch, torchvision and the device work here, and which data sets are in the folder? Looking makes nothing."""

from __future__ import annotations

import importlib
from pathlib import Path
from urllib.parse import urlsplit

import torch

from reprtune.training.data.converted import Conversion
from reprtune.training.data.torchvision_sets import SOURCES


def versions() -> tuple[str, str, bool]:
    """Of torch and torchvision, and whether torchvision's compiled operations fit this torch. Nothing here
    uses those, but they tell that the two were not installed together."""
    importlib.import_module("reprtune.training.platform.torchvision_import")
    torchvision = importlib.import_module("torchvision")
    boxes, scores = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0])
    try:
        torchvision.ops.nms(boxes, scores, 0.5)
    except (RuntimeError, AttributeError, NotImplementedError):
        return str(torch.__version__), str(torchvision.__version__), False
    return str(torch.__version__), str(torchvision.__version__), True


def try_device(device: torch.device) -> float:
    """Multiply and convolve on the device, and compare with the CPU; the largest difference.

    Raises:
        Exception: of torch, when the device does not compute.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 8, 8, generator=generator)
    w = torch.rand(4, 3, 3, 3, generator=generator)
    there = torch.nn.functional.conv2d(x.to(device), w.to(device)).cpu()
    return float((there - torch.nn.functional.conv2d(x, w)).abs().max())


def gpu_memory(device: torch.device) -> tuple[int, int] | None:
    """(free, all) bytes; None on a CPU."""
    return torch.cuda.mem_get_info(device) if device.type == "cuda" else None


def data_sets(data_dir: Path) -> dict[str, str]:
    """Name -> `prepared`, `there`, `archives` (to be unpacked) or `absent`, by the names of the files."""
    folder = data_dir.expanduser().resolve()
    return {name: _state(name, folder) for name in SOURCES}


def _state(name: str, folder: Path) -> str:
    if Conversion(folder, name).path.exists():
        return "prepared"
    source = SOURCES[name]()
    if all((folder / file).is_file() for file in source.files):
        return "there"
    return "archives" if all((folder / file).is_file() for file in source.archives) else "absent"


def download_host(name: str) -> str:
    """The host that a data set is downloaded from; its first mirror."""
    sets = importlib.import_module("torchvision.datasets")
    kinds = {"fashion-mnist": "FashionMNIST", "mnist": "MNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}
    kind = getattr(sets, kinds.get(name, "SVHN"))
    if hasattr(kind, "mirrors"):
        url = kind.mirrors[0]
    else:
        url = getattr(kind, "url", None) or kind.split_list["train"][0]
    return urlsplit(url).hostname or url
