"""Attention with several heads (Eq. 1), the one operation behind all of CMSA.

Letters: B videos, Q query rows, K key rows, d width. Rows that are the same for every video (label text)
come without the batch axis and are projected once, not B times.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class CrossAttention(nn.Module):
    """``Attn(X, Y, Y) = softmax(X W_q (Y W_k)^T / sqrt(d_head)) Y W_v``, heads side by side, then ``W_o``.

    Args:
        width: d, of queries, keys and answers; a multiple of `heads`.
        heads: number of heads; one head and ``W_o = 1`` is Eq. 1 as printed.
        dropout: rate on the attention weights.

    Raises:
        ValueError: if `width` is not a multiple of `heads`.
    """

    def __init__(self, width: int, heads: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width={width} is not a multiple of heads={heads}")
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        for weight in (self.query.weight, *self.key_value.weight.chunk(2)):
            nn.init.xavier_uniform_(weight)

    def forward(
        self,
        query: Float[Tensor, "*#B Q d"],
        source: Float[Tensor, "*#B K d"],
        bias: Float[Tensor, "h Q K"] | None = None,
    ) -> Float[Tensor, "*#B Q d"]:
        """Rows of `query` read rows of `source`; `bias` is added to the scores. Either may lack the batch axis."""
        queries = self._heads(self.query(query))
        keys, values = (self._heads(part) for part in self.key_value(source).chunk(2, dim=-1))
        batch = max((queries, keys), key=lambda rows: rows.dim()).shape[:-3]
        answer = F.scaled_dot_product_attention(
            queries.expand(*batch, *queries.shape[-3:]),
            keys.expand(*batch, *keys.shape[-3:]),
            values.expand(*batch, *values.shape[-3:]),
            attn_mask=bias,
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out(answer.transpose(-2, -3).flatten(-2))

    def _heads(self, rows: Tensor) -> Tensor:
        return rows.unflatten(-1, (self.heads, -1)).transpose(-2, -3)
