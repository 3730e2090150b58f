"""Labels of which a share is wrong: symmetric noise, as in experiments on what a network does with false labels.

An image that is chosen gets one of the other classes, each as likely as any other (Zhang et al. 2017, arXiv
1611.03530, "partially corrupted labels", but never the true class again, so that the share is exact).

Notations:
    n: images of a part         K: classes         share: of the labels that are false, in [0, 1)
    the images stand in a random order, and each has a false class drawn for it; the first round(share n) get theirs.
    So those changed at a smaller share are changed at a larger one too, to the same class.
"""

from __future__ import annotations

import numpy as np

from reprtune.training.platform.seeds import derive


def noisy(labels: np.ndarray, share: float, n_classes: int, seed: int, part: str) -> np.ndarray:
    """The labels, int64 (n,), of which exactly round(share n) are replaced by another class; 0 = as they are.

    Args:
        seed: of the split. part: `train` or `score`; each has draws of its own.
    """
    if share == 0:
        return labels
    rng = np.random.default_rng(derive(seed, "label_noise", part))
    order = rng.permutation(len(labels))
    ahead = rng.integers(1, n_classes, len(labels))  # by how many classes, so never by none
    chosen = order[: round(share * len(labels))]
    result = labels.copy()
    result[chosen] = (labels[chosen] + ahead[chosen]) % n_classes
    return result
