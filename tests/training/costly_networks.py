"""Networks much of whose work is done outside nn.Conv2d and nn.Linear, for images of 3 x 8 x 8."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.training.toy_networks import conv


class Attention(nn.Module):
    """A stem of two convolutions, and two blocks of attention between its 16 pixels, as in a ViT."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(3, 6, stride=2, bias=False), nn.BatchNorm2d(6)
        self.conv2 = conv(6, 8)
        self.blocks = nn.Sequential(AttentionBlock(8), AttentionBlock(8))
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(F.relu(self.bn1(self.conv1(x))))
        return self.fc(self.blocks(x.flatten(2).transpose(1, 2)).mean(1))


class AttentionBlock(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(size), nn.LayerNorm(size)
        self.attention = nn.MultiheadAttention(size, 2, batch_first=True)
        self.inner, self.outer = nn.Linear(size, 4 * size), nn.Linear(4 * size, size)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.outer(F.gelu(self.inner(self.norm2(x))))


class Encoder(nn.Module):
    """torch's own layer, of which evaluation makes one operation, and attention written out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(3, 6, stride=2), conv(6, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 24, batch_first=True)
        self.qkv, self.fc = nn.Linear(8, 24), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(self.conv2(F.relu(self.conv1(x))).flatten(2).transpose(1, 2))
        q, k, v = self.qkv(x).view(-1, 16, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.fc(x.transpose(1, 2).reshape(-1, 16, 8).mean(1))


class Autoencoder(nn.Module):
    """Down and up again by transposed convolutions, one of them grouped, then a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = conv(3, 6, stride=2), conv(6, 8, stride=2)
        self.up1 = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.up2 = nn.ConvTranspose2d(6, 4, 4, stride=2, padding=1, groups=2)
        self.head, self.fc = conv(4, 8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.down2(F.relu(self.down1(x))))
        x = F.relu(self.up2(F.relu(self.up1(x))))
        return self.fc(F.relu(self.head(x)).mean((2, 3)))


class Functional(nn.Module):
    """Every second layer is a call with a Parameter of the network's own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(3, 6), nn.BatchNorm2d(6)
        self.kernels, self.shift = nn.Parameter(torch.randn(8, 6, 3, 3)), nn.Parameter(torch.randn(8))
        self.conv2 = conv(8, 4)
        self.table = nn.Parameter(torch.randn(5, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(F.conv2d(x, self.kernels, self.shift, stride=2, padding=1))
        return F.linear(F.relu(self.conv2(x)).mean((2, 3)), self.table)


class Products(nn.Module):
    """einsum, bmm, matmul and @ between what a convolution makes and parameters; a bilinear and an LSTM layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(3, 4, stride=2), conv(4, 6, stride=2)
        self.mixed, self.pixels = nn.Parameter(torch.randn(6, 7)), nn.Parameter(torch.randn(4, 3))
        self.vector = nn.Parameter(torch.randn(7))
        self.both, self.lstm, self.fc = nn.Bilinear(7, 7, 5), nn.LSTM(7, 3), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(F.relu(self.conv1(x))).flatten(2)
        x = torch.einsum("ncp,cd->ndp", x, self.mixed) @ self.pixels
        gram = torch.bmm(x, x.transpose(1, 2))
        y = torch.matmul(gram, self.vector)
        states, _ = self.lstm(x.permute(2, 0, 1))
        return self.fc(torch.cat([self.both(y, y), states[0], y[:, :4]], 1))


COSTLY = {
    "attention": Attention,
    "encoder": Encoder,
    "autoencoder": Autoencoder,
    "functional": Functional,
    "products": Products,
}
