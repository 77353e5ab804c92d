"""Eq. 1 among seconds that hear no further than so many seconds: time and memory grow with T, not with its square.

Queries are cut into blocks; each block meets the keys of its own seconds and of those within reach on either side.

Letters: B videos, h heads, T segments, e width of a head, c seconds in a block, K = c + 2 reach keys of a block.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

#: Least seconds in a block: smaller ones make products too thin to be quick.
LEAST = 32


def block_offsets(reach: int, seconds: int, device: torch.device | None = None) -> Int[Tensor, "c K"]:
    """How many seconds after its query each key of a block stands; the same for every block.

    A reach beyond the video is cut to it: what lies outside is heard by nobody, and would cost its square.
    """
    reach = min(reach, seconds - 1)
    block = max(reach, LEAST)
    query, key = torch.arange(block, device=device), torch.arange(-reach, block + reach, device=device)
    return key - query[:, None]


def windowed_attention(query: Float[Tensor, "B h T e"], key: Float[Tensor, "B h T e"], value: Float[Tensor, "B h T e"],
                       reach: int, *, bias: Float[Tensor, "#h c K"] | None = None,
                       real: Bool[Tensor, "B T"] | None = None, dropout: float = 0.0) -> Float[Tensor, "B h T e"]:
    """Scaled dot-product attention over keys at most `reach` seconds away.

    Args:
        bias: added to the scores, laid out as :func:`block_offsets` of this video.
        real: False for keys that only fill a shorter video up; no real query hears them.
        dropout: rate on the weights.
    """
    videos, heads, seconds, _ = query.shape
    offset, reach = block_offsets(reach, seconds, query.device), min(reach, seconds - 1)
    block = len(offset)
    blocks = -(-seconds // block)
    rest = blocks * block - seconds
    query = F.pad(query, (0, 0, 0, rest)).unflatten(2, (blocks, block))
    key, value = (F.pad(rows, (0, 0, reach, rest + reach)).unfold(2, offset.shape[1], block).mT
                  for rows in (key, value))
    # A query always hears itself: rows that only fill up would divide by zero, and their gradient spoil all others.
    heard = _real_keys(real, seconds, blocks, reach, offset) & (offset.abs() <= reach) | (offset == 0)
    scores = torch.zeros((), dtype=query.dtype, device=query.device) if bias is None else bias[:, None].to(query.dtype)
    mask = torch.where(heard[:, None], scores, -math.inf)  # [B or 1, h or 1, blocks, c, K]
    mask = mask.expand(videos, heads, *mask.shape[2:])
    answer = F.scaled_dot_product_attention(
        *(rows.transpose(1, 2).flatten(0, 1) for rows in (query, key, value)),
        attn_mask=mask.transpose(1, 2).flatten(0, 1), dropout_p=dropout)
    return answer.unflatten(0, (videos, blocks)).transpose(1, 2).flatten(2, 3)[:, :, :seconds]


def _real_keys(real: Bool[Tensor, "B T"] | None, seconds: int, blocks: int, reach: int,
               offset: Int[Tensor, "c K"]) -> Bool[Tensor, "_ blocks 1 K"]:
    block, keys = offset.shape
    there = torch.ones(1, seconds, dtype=torch.bool, device=offset.device) if real is None else real
    padded = F.pad(there, (reach, blocks * block - seconds + reach), value=False)
    return padded.unfold(1, keys, block)[:, :, None]
