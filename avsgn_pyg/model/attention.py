"""Attention with several heads (Eq. 1), the one operation behind all of CMSA.

Rows that are the same for every video (label text) come without the batch axis. They are projected once, not
B times, and folded into the weight that the other side would meet: ``(X W_q) (Y W_k)^T = X (W_q (Y W_k)^T)``,
h K columns in place of d. The values are the same; docs/benchmark.md says what it saves.

Letters: B videos, Q query rows, K key rows, d width, h heads, e = d / h.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from avsgn_pyg.dropout import dropout
from avsgn_pyg.model.window import windowed_attention


class CrossAttention(nn.Module):
    """``Attn(X, Y, Y) = softmax(X W_q (Y W_k)^T / sqrt(d_head)) Y W_v``, heads side by side, then ``W_o``.

    Args:
        width: d, of queries, keys and answers; a multiple of `heads`.
        heads: number of heads; one head and ``W_o = 1`` is Eq. 1 as printed.
        dropout: rate on the attention weights.
        window: query and source are the seconds of one video, and hear each other only so many seconds away.

    Raises:
        ValueError: if `width` is not a multiple of `heads`.
    """

    def __init__(self, width: int, heads: int = 4, dropout: float = 0.1, window: int | None = None) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width={width} is not a multiple of heads={heads}")
        self.heads, self.dropout, self.window = heads, dropout, window
        self.scale = (width // heads) ** -0.5
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        for weight in (self.query.weight, *self.key_value.weight.chunk(2)):
            nn.init.xavier_uniform_(weight)

    def forward(
        self,
        query: Float[Tensor, "*#B Q d"],
        source: Float[Tensor, "*#B K d"],
        bias: Float[Tensor, "h q k"] | None = None,
        real: Bool[Tensor, "B K"] | None = None,
    ) -> Float[Tensor, "*#B Q d"]:
        """`query` reads `source`; either may lack the batch axis.

        `bias` is added to the scores, [h, Q, K], or a block's with a window (:func:`.window.block_offsets`). Rows of
        `source` that are not `real` are not heard.
        """
        constant = min(query, source, key=lambda rows: rows.dim())
        # Cost per row of the other side: h R columns folded, d + R plain (R constant rows).
        many = (self.heads - 1) * len(constant) >= constant.shape[-1]
        if bias is not None or query.dim() == source.dim() or many:
            return self.plain(query, source, bias, real)
        return self._constant_query(query, source, real) if constant is query else self._constant_source(query, source)

    def plain(self, query: Tensor, source: Tensor, bias: Tensor | None = None, real: Tensor | None = None) -> Tensor:
        """Eq. 1 in the order in which it is written, for any shapes that :meth:`forward` takes."""
        queries = self._heads(self.query(query))
        keys, values = (self._heads(part) for part in self.key_value(source).chunk(2, dim=-1))
        if self.window is not None:
            answer = windowed_attention(queries, keys, values, self.window, bias=bias, real=real,
                                        dropout=self.dropout if self.training else 0.0)
            return self.out(answer.transpose(-2, -3).flatten(-2))
        if real is not None:
            open_to = torch.zeros_like(real, dtype=queries.dtype).masked_fill(~real, -math.inf)[:, None, None]
            bias = open_to if bias is None else bias + open_to
        batch = max((queries, keys), key=lambda rows: rows.dim()).shape[:-3]
        answer = F.scaled_dot_product_attention(
            queries.expand(*batch, *queries.shape[-3:]),
            keys.expand(*batch, *keys.shape[-3:]),
            values.expand(*batch, *values.shape[-3:]),
            attn_mask=bias,
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out(answer.transpose(-2, -3).flatten(-2))

    def _constant_query(
        self, query: Float[Tensor, "Q d"], source: Float[Tensor, "*B K d"], real: Tensor | None
    ) -> Float[Tensor, "*B Q d"]:
        key, value = self.key_value.weight.chunk(2)
        asked = self._fold(self._heads(self.query(query)) * self.scale, key)
        scores = (source @ asked.T).mT.unflatten(-2, (self.heads, -1))  # [B, h, Q, K]
        if real is not None:
            scores = scores.masked_fill(~real[:, None, None], -math.inf)
        values = self._heads(source @ value.T)
        return self.out((self._weights(scores) @ values).transpose(-2, -3).flatten(-2))

    def _constant_source(
        self, query: Float[Tensor, "*B Q d"], source: Float[Tensor, "K d"]
    ) -> Float[Tensor, "*B Q d"]:
        keys, values = (self._heads(part) for part in self.key_value(source).chunk(2, dim=-1))
        told = self._fold(keys * self.scale, self.query.weight)
        scores = (query @ told.T).unflatten(-1, (self.heads, -1))  # [B, Q, h, K]
        return self._weights(scores).flatten(-2) @ self._fold(values, self.out.weight.T)

    def _weights(self, scores: Tensor) -> Tensor:
        return dropout(scores.softmax(-1), self.dropout, self.training)

    def _fold(self, rows: Float[Tensor, "h R e"], weight: Float[Tensor, "d d"]) -> Float[Tensor, "hR d"]:
        """Each head's rows times that head's slice of `weight`, heads below each other."""
        return (rows @ weight.unflatten(0, (self.heads, -1))).flatten(0, 1)

    def _heads(self, rows: Tensor) -> Tensor:
        return rows.unflatten(-1, (self.heads, -1)).transpose(-2, -3)
