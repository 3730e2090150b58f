"""Seeds: one purpose, one stream."""

from __future__ import annotations

import hashlib

import pytest
import torch

from reprtune.training.platform.seeds import derive, generator


def test_a_derived_seed_is_the_start_of_the_sha256_of_the_purpose_as_json() -> None:
    """Anyone can compute it without us: the first 63 bits of the hash of [seed,"purpose",...]."""
    whole = hashlib.sha256(b'[7,"init",0]').hexdigest()
    assert derive(7, "init", 0) == int(whole[:16], 16) // 2


def test_other_seeds_and_purposes_give_other_streams() -> None:
    """Seed, words, numbers, their order and their type all count."""
    seeds = [
        derive(0),
        derive(1),
        derive(0, "init"),
        derive(0, "init", 1),
        derive(0, "init", "1"),
        derive(0, 1, "init"),
        derive(0, "init1"),
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_purpose_without_one_way_to_write_it_is_refused() -> None:
    """An object whose text could change from run to run must not seed anything."""
    with pytest.raises(TypeError):
        derive(0, object())


def test_generators_of_one_purpose_repeat_and_leave_the_global_one_alone() -> None:
    """The same purpose draws the same numbers; torch's own stream does not move."""
    before = torch.random.get_rng_state()
    first = torch.rand(5, generator=generator(3, "epoch", 2))
    again = torch.rand(5, generator=generator(3, "epoch", 2))
    other = torch.rand(5, generator=generator(3, "epoch", 3))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())
