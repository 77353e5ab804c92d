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
#: Of 2^16, so few kept or dropped that sixteen bits would be too coarse.
RARE = 64


def dropout(x: Tensor, rate: float, training: bool = True) -> Tensor:
    """`x` with each number zero by chance `rate`, the others divided by ``1 - rate``; `x` itself outside training.

    Args:
        x: of any shape and floating type.
        rate: in [0, 1]; met to within 2^-17, and the mean is kept exactly. Masks come from torch's own generator.
    """
    kept = round((1 - rate) * 2**BITS)
    if not training or x.device.type != "cpu" or x.numel() < FEW or not RARE <= kept <= 2**BITS - RARE:
        return F.dropout(x, rate, training)
    drawn = torch.randint(-(2**63), 2**63 - 1, (-(-x.numel() // DRAWS),), device=x.device).view(torch.int16)
    stays = drawn[: x.numel()].view(x.shape) < kept - 2 ** (BITS - 1)
    return x * stays.to(x.dtype).mul_(2**BITS / kept)


class Dropout(nn.Dropout):
    """``torch.nn.Dropout`` by :func:`dropout`."""

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p, self.training)
