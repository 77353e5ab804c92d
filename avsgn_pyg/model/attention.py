"""Eq. 1: multi-head attention, the one operation behind CMSA.

Label text is the same for every video and may be given without the batch axis.

Shapes: B videos, Q queries, K keys, d width, h heads, e = d / h.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from avsgn_pyg.model.window import windowed_attention


class CrossAttention(nn.Module):
    """``softmax(X W_q (Y W_k)^T / sqrt(d / h)) Y W_v``, heads concatenated, then ``W_o``.

    Args:
        width: d, of queries, keys and outputs; a multiple of `heads`.
        heads: h; one head with ``W_o = 1`` is Eq. 1 as printed.
        dropout: rate on the attention weights.
        window: largest distance in seconds between a query and its keys, both of one video; ``None``: no limit.

    Raises:
        ValueError: `width` is not a multiple of `heads`.
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

    def forward(self, query: Float[Tensor, "*#B Q d"], source: Float[Tensor, "*#B K d"],
                bias: Float[Tensor, "h q k"] | None = None,
                mask: Bool[Tensor, "B K"] | None = None) -> Float[Tensor, "*#B Q d"]:
        """`query` attends to `source`.

        Args:
            bias: added to the scores; [h, Q, K], or laid out as :func:`.window.block_offsets` with a window.
            mask: False for rows of `source` that are padding.
        """
        constant = min(query, source, key=Tensor.dim)
        if query.dim() == source.dim() or (self.heads - 1) * len(constant) >= constant.shape[-1]:
            return self._plain(query, source, bias, mask)
        return self._constant_query(query, source, mask) if constant is query else self._constant_source(query, source)

    def _plain(self, query: Tensor, source: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
        queries = self._split(self.query(query))
        keys, values = (self._split(part) for part in self.key_value(source).chunk(2, dim=-1))
        dropout = self.dropout if self.training else 0.0
        if self.window is not None:
            output = windowed_attention(queries, keys, values, self.window, bias=bias, mask=mask, dropout=dropout)
        else:
            batch = max(queries.shape[:-3], keys.shape[:-3], key=len)
            if mask is not None:
                visible = mask[:, None, None]
                bias = visible if bias is None else bias.masked_fill(~visible, -math.inf)
            output = F.scaled_dot_product_attention(
                *(part.expand(*batch, *part.shape[-3:]) for part in (queries, keys, values)), attn_mask=bias,
                dropout_p=dropout)
        return self.out(output.transpose(-2, -3).flatten(-2))

    # Rows without a batch axis (Q or K of them) are multiplied into the other projection first, (X W_q) (Y W_k)^T =
    # X (W_q (Y W_k)^T): a product with h K columns instead of d, which saves a sixth of the specified training step.

    def _constant_query(self, query: Float[Tensor, "Q d"], source: Float[Tensor, "B K d"],
                        mask: Bool[Tensor, "B K"] | None) -> Float[Tensor, "B Q d"]:
        key, value = self.key_value.weight.chunk(2)
        folded = self._fold(self._split(self.query(query)) * self.scale, key)
        scores = (source @ folded.T).mT.unflatten(-2, (self.heads, -1))  # [B, h, Q, K]
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None], -math.inf)
        output = self._weights(scores) @ self._split(source @ value.T)
        return self.out(output.transpose(-2, -3).flatten(-2))

    def _constant_source(self, query: Float[Tensor, "B Q d"], source: Float[Tensor, "K d"]) -> Float[Tensor, "B Q d"]:
        keys, values = (self._split(part) for part in self.key_value(source).chunk(2, dim=-1))
        folded = self._fold(keys * self.scale, self.query.weight)
        scores = (query @ folded.T).unflatten(-1, (self.heads, -1))  # [B, Q, h, K]
        return self._weights(scores).flatten(-2) @ self._fold(values, self.out.weight.T)

    def _weights(self, scores: Tensor) -> Tensor:
        return F.dropout(scores.softmax(-1), self.dropout, self.training)

    def _fold(self, rows: Float[Tensor, "h R e"], weight: Float[Tensor, "d d"]) -> Float[Tensor, "hR d"]:
        return (rows @ weight.unflatten(0, (self.heads, -1))).flatten(0, 1)

    def _split(self, rows: Float[Tensor, "*B n d"]) -> Float[Tensor, "*B h n e"]:
        return rows.unflatten(-1, (self.heads, -1)).transpose(-2, -3)
