"""Eq. 1 among seconds at most `window` apart: time and memory grow with T, not with its square.

Queries are cut into blocks; each block attends to its own seconds and to `window` seconds on either side.

Shapes: B videos, h heads, T segments, e width of a head, c seconds in a block, K = c + 2 window keys of a block.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

#: Fewest seconds in a block: matrix products of smaller blocks are slow.
LEAST = 32


def block_offsets(window: int, seconds: int, device: torch.device | None = None) -> Int[Tensor, "c K"]:
    """Seconds from each query of a block to each of its keys; the same for every block.

    A window longer than the video is shortened to it: keys outside would only cost memory.
    """
    window = min(window, seconds - 1)
    block = max(window, LEAST)
    query, key = torch.arange(block, device=device), torch.arange(-window, block + window, device=device)
    return key - query[:, None]


def windowed_attention(query: Float[Tensor, "B h T e"], key: Float[Tensor, "B h T e"], value: Float[Tensor, "B h T e"],
                       window: int, *, bias: Float[Tensor, "#h c K"] | None = None,
                       mask: Bool[Tensor, "B T"] | None = None, dropout: float = 0.0) -> Float[Tensor, "B h T e"]:
    """Scaled dot-product attention over keys at most `window` seconds away.

    Args:
        bias: added to the scores, laid out as :func:`block_offsets` of this video.
        mask: False for keys that are padding; only the query of the same second attends to such a key.
        dropout: rate on the weights.
    """
    videos, heads, seconds, _ = query.shape
    offset, window = block_offsets(window, seconds, query.device), min(window, seconds - 1)
    block = len(offset)
    blocks = -(-seconds // block)
    rest = blocks * block - seconds
    query = F.pad(query, (0, 0, 0, rest)).unflatten(2, (blocks, block))
    key, value = (F.pad(rows, (0, 0, window, rest + window)).unfold(2, offset.shape[1], block).mT
                  for rows in (key, value))
    present = torch.ones(1, seconds, dtype=torch.bool, device=offset.device) if mask is None else mask
    present = F.pad(present, (window, rest + window), value=False).unfold(1, offset.shape[1], block)[:, :, None]
    # A query always attends to itself: padding with no key at all would divide by zero and spoil every gradient.
    visible = present & (offset.abs() <= window) | (offset == 0)
    scores = torch.zeros((), dtype=query.dtype, device=query.device) if bias is None else bias[:, None].to(query.dtype)
    added = torch.where(visible[:, None], scores, -math.inf)  # [B or 1, h or 1, blocks, c, K]
    added = added.expand(videos, heads, *added.shape[2:])
    output = F.scaled_dot_product_attention(
        *(rows.transpose(1, 2).flatten(0, 1) for rows in (query, key, value)),
        attn_mask=added.transpose(1, 2).flatten(0, 1), dropout_p=dropout)
    return output.unflatten(0, (videos, blocks)).transpose(1, 2).flatten(2, 3)[:, :, :seconds]
