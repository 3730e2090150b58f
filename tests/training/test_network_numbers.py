"""Numbers of a network as it stands, against networks of the smaller size built by hand."""

from __future__ import annotations

import pytest
import torch

from reprtune.training.chain.network_numbers import network_numbers
from reprtune.training.surgery.subnetwork import SubNetwork
from tests.training.test_subnetwork import SPECS, build, by_hand, choose, count_flops, kept_rows


@pytest.mark.parametrize("name", SPECS)
def test_numbers_are_those_of_the_smaller_network(name: str) -> None:
    """Parameters counted in the small network's own tensors, operations of one image by torch; with all filters
    back they are the whole network's again."""
    model, filters = build(name, torch.float32)
    network, keep = SubNetwork(model, filters, {}), choose(filters)
    small, _ = by_hand(name, kept_rows(filters, keep))
    for there, present in ((small, keep), (model, torch.ones_like(keep))):
        network.set_keep(present)
        expected = {
            "inference_gflops": count_flops(there) / 1e9,
            "params": sum(p.numel() for p in there.parameters()),
        }
        assert network_numbers(network) == expected


def test_filters_whose_weights_alone_are_dropped_are_counted() -> None:
    """They are computed with, as in the cost of training."""
    model, filters = build("convnet-3", torch.float32)
    network = SubNetwork(model, filters, {}, drop="weights-only")
    before = network_numbers(network)
    network.set_keep(choose(filters))
    assert network_numbers(network) == before


def test_the_device_is_not_asked() -> None:
    """Parameters on the meta device, which has no numbers, are counted all the same: a device may be beyond
    use when a trial ends."""
    model, filters = build("resnet-8", torch.float32)
    network = SubNetwork(model, filters, {})
    network.set_keep(choose(filters))
    expected = network_numbers(network)
    network.parameters = {name: parameter.to("meta") for name, parameter in network.parameters.items()}
    assert network_numbers(network) == expected
