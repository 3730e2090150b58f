"""torchvision's classification networks: built without warnings, and refused with words."""

from __future__ import annotations

import pytest
import torch

from reprtune.errors import ModelError, SpecError
from reprtune.spec.task import ModelSpec
from reprtune.training.models import build_model, from_torchvision
from reprtune.training.platform.torchvision_import import models
from reprtune.training.surgery.filters import find_filters

LARGE = 100_000_000  # parameters; building more takes longer than it teaches


def build(name: str, size: int = 32, channels: int = 3, classes: int = 7) -> torch.nn.Module:
    return build_model(ModelSpec(name=f"torchvision:{name}"), channels, (size, size), classes, seed=0)


@pytest.mark.parametrize(
    ("name", "size"), [("shufflenet_v2_x0_5", 32), ("googlenet", 32), ("squeezenet1_1", 40)]
)
def test_networks_give_one_score_per_class_in_both_modes(name: str, size: int) -> None:
    """No auxiliary heads: a tensor of images x classes, also while training; no warning on the way."""
    model = build(name, size)
    for mode in (True, False):
        found = model.train(mode)(torch.zeros(2, 3, size, size))
        assert isinstance(found, torch.Tensor) and found.shape == (2, 7)


def test_the_networks_are_torchvisions_own() -> None:
    """Same layers and sizes as torchvision builds them, with fresh weights from the trial's seed alone."""
    model, again = build("resnet18", classes=1000), build("resnet18", classes=1000)
    own = models.resnet18(weights=None)
    shapes = {name: tuple(value.shape) for name, value in own.state_dict().items()}
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == shapes
    assert sum(p.numel() for p in model.parameters()) == 11_689_512  # as torchvision documents it
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert all(m.training for m in model.modules()), "as every fresh network"


def test_trying_a_network_leaves_its_statistics_alone() -> None:
    """BatchNorm begins at mean 0 and variance 1, whatever was tried while building."""
    for name, value in build("shufflenet_v2_x0_5").named_buffers():
        if name.endswith("running_mean"):
            assert not value.any()


def test_the_list_is_classification_only() -> None:
    """All of torchvision.models itself, nothing of its detection, segmentation, video and quantized parts."""
    names = from_torchvision.names()
    assert {"resnet18", "vgg16_bn", "densenet121", "mobilenet_v2", "vit_b_16"} <= set(names)
    assert not {"fcn_resnet50", "fasterrcnn_resnet50_fpn", "r3d_18", "quantized_resnet50"} & set(names)


@pytest.mark.parametrize(
    "name", ["fcn_resnet50", "ssd300_vgg16", "quantized_resnet18", "r3d_18", "raft_small"]
)
def test_networks_for_other_tasks_are_refused(name: str) -> None:
    """They are known, but they do not classify images."""
    with pytest.raises(SpecError, match=rf"must be a classification network.*'torchvision:{name}'"):
        build(name)


def test_an_unknown_network_names_the_nearest() -> None:
    """Before anything is built."""
    with pytest.raises(SpecError, match="torchvision has no network 'resnet19'") as error:
        build("resnet19")
    assert "torchvision:resnet18" in str(error.value.hint)


def test_images_without_three_channels_are_refused() -> None:
    """torchvision's first convolutions read three; the hint says what to do."""
    with pytest.raises(ModelError, match="reads images of 3 channels, but the images have 1") as error:
        build("resnet18", channels=1)
    assert "numpy.repeat" in str(error.value.hint)


@pytest.mark.parametrize(("name", "size", "least"), [("alexnet", 32, "63x63"), ("inception_v3", 32, "75x75")])
def test_images_too_small_say_the_size_that_is_not(name: str, size: int, least: str) -> None:
    """The failure itself, and torchvision's own smallest size."""
    with pytest.raises(
        ModelError, match=rf"torchvision:{name} cannot read images of {size}x{size} px"
    ) as error:
        build(name, size)
    assert least in str(error.value.hint)


TRANSFORMERS = ("vit_", "swin_", "convnext_")  # every convolution is read by a LayerNorm or by attention


@pytest.mark.slow
@pytest.mark.parametrize("name", from_torchvision.names())
def test_every_network_has_filters_or_says_why_not(name: str) -> None:
    """At its smallest size and at least 64 px: filters to drop, but in transformers, which say what is in the way."""
    meta = next(iter(models.get_model_weights(name))).meta
    if meta["num_params"] > LARGE:
        pytest.skip("more than 100 M parameters")
    size = max(64, *meta["min_size"])
    model, example = build(name, size), torch.zeros(1, 3, size, size)
    if name.startswith(TRANSFORMERS):
        with pytest.raises(
            ModelError, match=r"has no filter that can be dropped .*its output passes through"
        ):
            find_filters(model, example)
    else:
        assert sum(find_filters(model, example).layers.values()) >= 64
