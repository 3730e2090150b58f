"""How many batches each BatchNorm has seen.

torch adds 1 to a tensor of every BatchNorm (`num_batches_tracked`) at every step, a kernel each, and reads it
for cumulative averages only (momentum None). While a network trains, the tensors are therefore kept aside,
where nothing reads them, and the steps are added when they are put back.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from reprtune.training.surgery.filter_map import FilterMap


class Counters:
    """Of a network.

    Args:
        model: the network. filters: what `find_filters` found in it.
    """

    def __init__(self, model: nn.Module, filters: FilterMap) -> None:
        norms = map(model.get_submodule, sorted(filters.counted))
        self._norms = [norm for norm in norms if isinstance(norm, _BatchNorm)]
        self._aside: list[tuple[_BatchNorm, Tensor]] = []
        self._since = 0

    def set_aside(self, step: int) -> None:
        """Before the step of this number; nothing where they are aside already."""
        if self._aside:
            return
        self._since = step
        for norm in self._norms:
            if norm.training and norm.momentum is not None and norm.num_batches_tracked is not None:
                self._aside.append((norm, norm.num_batches_tracked))
                norm.num_batches_tracked = None

    def put_back(self, step: int) -> None:
        """After the last step before that of this number: all of them have seen the steps since."""
        while self._aside:
            norm, count = self._aside.pop()
            norm.num_batches_tracked = count.add_(step - self._since)
