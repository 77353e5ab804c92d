"""Dropout whose masks cost a CPU a fifth: sixteen random bits a number, four numbers a draw.

``torch.nn.Dropout`` draws each number of a mask by itself on a CPU, which came to a quarter of a training step. On
other devices, and for few numbers, this *is* ``torch.nn.functional.dropout``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Numbers below which a draw of its own is cheap enough.
FEW = 4096
#: Bits of a draw, and draws in one 64-bit integer.
BITS, DRAWS = 16, 4


def dropout(x: Tensor, rate: float, training: bool = True) -> Tensor:
    """`x` with each number zero by chance `rate`, the others divided by ``1 - rate``; `x` itself outside training.

    Args:
        x: of any shape and floating type.
        rate: in [0, 1); met to within 2^-17. Masks come from torch's own generator.
    """
    if not training or not 0 < rate < 1 or x.device.type != "cpu" or x.numel() < FEW:
        return F.dropout(x, rate, training)
    count = -(-x.numel() // DRAWS)
    drawn = torch.randint(-(2**63), 2**63 - 1, (count,)).view(torch.int16)[: x.numel()]
    half = 2 ** (BITS - 1)
    kept = drawn < min(round((1 - rate) * 2**BITS) - half, half - 1)
    return x * kept.view(x.shape).to(x.dtype).mul_(1 / (1 - rate))


class Dropout(nn.Dropout):
    """``torch.nn.Dropout`` by :func:`dropout`."""

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p, self.training)
