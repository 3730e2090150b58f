"""Networks whose channels are scaled by gates that layers make from them, for images of 3 x 8 x 8."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.training.toy_networks import Gate, conv


class NormedGate(nn.Module):
    """BatchNorm, slopes per channel, new dimensions and a factor on the gate's way."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(3, 4), nn.BatchNorm2d(4)
        self.squeeze, self.excite = nn.Linear(4, 3), nn.Linear(3, 4)
        self.gate_bn, self.slope = nn.BatchNorm1d(4), nn.PReLU(4)
        self.conv2, self.fc = conv(4, 5), nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        gate = self.slope(self.gate_bn(self.excite(F.relu(self.squeeze(x.mean((2, 3)))))))
        x = x * torch.sigmoid(gate * -2).unsqueeze(-1).unsqueeze(-1)
        return self.fc(F.relu(self.conv2(x)).mean((2, 3)))


class OwnGate(Gate):
    """The gate's layer is a function with parameters of the network's own."""

    def __init__(self) -> None:
        super().__init__()
        self.excite = nn.Identity()
        self.table, self.shift = nn.Parameter(torch.randn(4, 2)), nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        gate = F.linear(F.relu(self.squeeze(x.mean((2, 3)))), self.table, bias=self.shift)
        x = F.gelu(self.conv2(x * torch.sigmoid(gate)[:, :, None, None]))
        return self.fc(x.mean((2, 3)))


class ReadGate(Gate):
    """The gate goes to the answer too: its rows are not one filter's alone."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(9, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3))))))
        x = F.gelu(self.conv2(x * gate[:, :, None, None]))
        return self.fc(torch.cat([x.mean((2, 3)), gate], 1))


class MixedGate(Gate):
    """The gate's channels are weighed against each other: a row of the layer moves all of them."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        gate = torch.softmax(self.excite(F.relu(self.squeeze(x.mean((2, 3))))), 1)
        return self.fc(F.gelu(self.conv2(x * gate[:, :, None, None])).mean((2, 3)))
