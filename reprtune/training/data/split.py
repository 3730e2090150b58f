"""Disjoint parts with the class proportions of the whole.

Notations:
    n_c: images of class c (K,)            m: images a part shall have
    quota of class c: m n_c / n, rounded by largest remainder, so that the quotas add up to m.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def quotas(counts: np.ndarray, size: int, room: np.ndarray) -> np.ndarray:
    """How many images of each class make a part of exactly `size` images.

    Args:
        counts: n_c, whose proportions the part shall have (K,), int64.
        size: m, at most `room.sum()`.
        room: how many of each class may be taken (K,).

    Equal remainders go to the lower class. A class without room passes its image on.
    """
    taken = np.minimum(size * counts // counts.sum(), room)
    wish = size * counts - taken * counts.sum()  # remainders, as exact whole numbers
    while (short := size - int(taken.sum())) > 0:
        order = np.argsort(-wish, kind="stable")
        order = order[room[order] > taken[order]][:short]
        taken[order] += 1
    return taken


def stratified(labels: np.ndarray, sizes: Sequence[int], rng: np.random.Generator) -> list[np.ndarray]:
    """Split into random parts of exactly `sizes` images and, last, the rest; each as sorted indices.

    Args:
        labels: int64 (n,), classes 0..K-1.
        sizes: sizes of the parts, adding up to at most n.
        rng: decides which images; the images of a part do not depend on the sizes of later parts.
    """
    counts = np.bincount(labels)
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # class by class, shuffled within
    classes = labels[order]
    rank = np.arange(len(labels)) - (np.cumsum(counts) - counts)[classes]
    part = np.zeros(len(labels), np.int64)
    used = np.zeros_like(counts)
    for size in sizes:
        used = used + quotas(counts, size, counts - used)
        part += rank >= used[classes]
    return [np.sort(order[part == p]) for p in range(len(sizes) + 1)]
