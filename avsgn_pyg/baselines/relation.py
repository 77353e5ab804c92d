"""Relation-aware attention, introduced by CMRAN and used by CMBS and CACE-Net.

Shapes: B videos, T segments, R regions, M rows of memory, D width, d_a / d_v widths of the features.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


def check_heads(dim: int, heads: int) -> None:
    """Raise ValueError if `heads` does not divide `dim`.
    """
    if dim % heads:
        raise ValueError(f"dim={dim} is not a multiple of heads={heads}")


class Relation(nn.Module):
    """Attention to a memory, then a feed-forward layer, each with a residual and a norm."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float = 0.1) -> None:
        super().__init__()
        check_heads(dim, heads)
        self.attention = nn.MultiheadAttention(dim, heads, dropout=dropout, batch_first=True)
        self.feed_forward = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Dropout(dropout),
                                          nn.Linear(hidden, dim))
        self.after_attention, self.after_feed_forward = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, rows: Float[Tensor, "B T D"], memory: Float[Tensor, "B M D"]) -> Float[Tensor, "B T D"]:
        attended, _ = self.attention(rows, memory, memory, need_weights=False)
        rows = self.after_attention(rows + self.dropout(attended))
        return self.after_feed_forward(rows + self.dropout(self.feed_forward(rows)))


class TemporalRelation(nn.Module):
    """Self-attention of a modality: a linear layer to width D and `layers` blocks."""

    def __init__(self, width: int, dim: int, *, heads: int, hidden: int, layers: int = 2) -> None:
        super().__init__()
        self.enter = nn.Linear(width, dim)
        self.layers = nn.ModuleList(Relation(dim, heads, hidden) for _ in range(layers))

    def forward(self, rows: Float[Tensor, "B T d"]) -> Float[Tensor, "B T D"]:
        rows = self.enter(rows)
        for layer in self.layers:
            rows = layer(rows, rows)
        return rows


class CrossModalRelation(nn.Module):
    """CMRA: attention of a modality to the other and itself at once, so that both compete for the weights."""

    def __init__(self, width: int, dim: int, *, heads: int, hidden: int) -> None:
        super().__init__()
        self.enter = nn.Linear(width, dim)
        self.layer = Relation(dim, heads, hidden)

    def forward(self, rows: Float[Tensor, "B T d"], other: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        rows = self.enter(rows)
        return self.layer(rows, torch.cat((other, rows), 1))


class Interaction(nn.Module):
    """Attention of the product of both streams to both streams, with a residual and a norm."""

    def __init__(self, dim: int, *, heads: int, attention_dropout: float) -> None:
        super().__init__()
        check_heads(dim, heads)
        self.attention = nn.MultiheadAttention(dim, heads, dropout=attention_dropout, batch_first=True)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(0.1)

    def forward(self, one: Float[Tensor, "B T D"], two: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        product, memory = one * two, torch.cat((two, one), 1)
        attended, _ = self.attention(product, memory, memory, need_weights=False)
        return self.norm(product + self.dropout(attended))


class ChannelAttention(nn.Module):
    """Audio weighs the visual channels: ``v_r (1 + sigmoid(W relu(U mean_r(relu(A a) * relu(V s_r)))))``.

    `s` is compared with audio; in CMRAN it is `v` itself. Regions are weighed by
    :class:`avsgn_pyg.baselines.regions.SpatialAttention`.
    """

    def __init__(self, audio_width: int, width: int, bottleneck: int = 256) -> None:
        super().__init__()
        self.ask_audio = nn.Linear(audio_width, width)
        self.ask_visual = nn.Linear(width, width)
        self.weigh = nn.Sequential(nn.Linear(width, bottleneck), nn.ReLU(), nn.Linear(bottleneck, width), nn.Sigmoid())

    def forward(self, audio: Float[Tensor, "B T a"], compared: Float[Tensor, "B T R v"],
                visual: Float[Tensor, "B T R v"]) -> Float[Tensor, "B T R v"]:
        product = self.ask_audio(audio).relu() * self.ask_visual(compared).relu().mean(-2)
        return visual * (1 + self.weigh(product).unsqueeze(-2))


class RegionFeatures(nn.Sequential):
    """The layer before the attention in every published code: linear, ReLU, dropout."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__(nn.Linear(width, out), nn.ReLU(), nn.Dropout(0.2))


class LocalizationHeads(nn.Module):
    """The class from the maximum over time of every feature, and the relevance of every second."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.relevance = nn.Linear(dim, 1)
        self.category = nn.Linear(dim, classes)

    def forward(self, fused: Float[Tensor, "B T D"]) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B T"]]:
        return self.category(fused.amax(1)), self.relevance(fused).squeeze(-1)
