"""Section 3.4: cross-modal graph interaction (CMGI), Eq. 7-8.

Three complete subgraphs a video (audio-visual, visual-text, audio-text). Attention over a subgraph's 2T nodes is
its adjacency; graph convolutions pass messages along it; a modality's answers from its two subgraphs are summed.

Letters: B videos, N nodes of a subgraph (the rows of its two modalities), D width, L layers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from avsgn_pyg.graph.schema import SUBGRAPHS
from avsgn_pyg.model.cmsa import Streams
from avsgn_pyg.model.propagation import Propagation


class AttentionAdjacency(nn.Module):
    """Eq. 7: ``A = softmax(X W_q (X W_k)^T / sqrt(D))`` over the source (last) axis, self included."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.scale = 1 / math.sqrt(dim)

    def forward(self, x: Float[Tensor, "B N D"], bias: Tensor | None = None) -> Float[Tensor, "B N N"]:
        """`bias` [N, N], if any, is added to the scores."""
        # X W_q (X W_k)^T = X (W_q W_k^T) X^T: one product over all nodes in place of two.
        score = x @ (self.query.weight.T @ self.key.weight * self.scale) @ x.transpose(1, 2)
        return (score if bias is None else score + bias).softmax(-1)


class GraphLayer(nn.Module):
    """Eq. 8: ``ReLU(A H W)`` (or another convolution), with an optional residual and layer norm around it."""

    def __init__(self, propagation: Propagation, dim: int, *, residual: bool, norm: str, dropout: float) -> None:
        super().__init__()
        self.propagation = propagation
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim) if norm == "layer" else nn.Identity()
        self.residual = residual

    def forward(self, x: Float[Tensor, "B N D"], adjacency: Float[Tensor, "B N N"]) -> Float[Tensor, "B N D"]:
        message = self.dropout(self.propagation(x, adjacency).relu())
        return self.norm(x + message if self.residual else message)


class Subgraph(nn.Module):
    """One complete subgraph: its adjacency (computed once, or once a layer) and its L layers.

    `time_bias`, if given, makes a [N, N] score from the first modality's number of rows.
    """

    def __init__(self, layers: Sequence[GraphLayer], dim: int, *, adjacency: str, time_bias: nn.Module | None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.adjacency = nn.ModuleList(
            AttentionAdjacency(dim) for _ in range(len(self.layers) if adjacency == "per_layer" else 1))
        self.time_bias = time_bias

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """[B, T, D] and [B, R, D] -> the same shapes, and every adjacency that was made, [B, T + R, T + R]."""
        x = torch.cat((first, second), dim=1)
        bias = None if self.time_bias is None else self.time_bias(first.shape[1], second.shape[1])
        made: list[Tensor] = []
        for number, layer in enumerate(self.layers):
            if number < len(self.adjacency):
                made.append(self.adjacency[number](x, bias))
            x = layer(x, made[-1])
        return *x.split((first.shape[1], second.shape[1]), dim=1), tuple(made)


class Interaction(NamedTuple):
    """A*, V* and T* (the sums over subgraphs), and every subgraph's adjacency."""

    audio: Float[Tensor, "B T D"]
    visual: Float[Tensor, "B T D"]
    text: Float[Tensor, "B R D"]
    adjacency: dict[str, tuple[Tensor, ...]]


class CMGI(nn.Module):
    """The subgraphs of Table 3 and their sums: ``A* = A_av + A_at``, ``V* = V_av + V_vt``, ``T* = T_vt + T_at``.

    Args:
        dim: D.
        subgraphs: any subset of ``av``, ``vt``, ``at``. A modality in no subgraph keeps its aligned features,
            so with none at all ``A* = F_a`` and ``V* = F_v``.
        conv, conv_options, backend: the layer, see :class:`~avsgn_pyg.model.propagation.Propagation`.
        layers: L.
        residual, norm: around every layer; ``residual=False, norm="none"`` is Eq. 8 as printed.
        adjacency: ``shared`` (Eq. 7 once, from the layer-0 features) or ``per_layer``.
        dropout: rate on every layer's message.
        time_bias: subgraph -> module of a relative-time score for Eq. 7, where wanted.
    """

    def __init__(self, dim: int, *, subgraphs: Sequence[str] = tuple(SUBGRAPHS), conv: str = "gcn",
                 conv_options: Mapping[str, Any] | None = None, layers: int = 2, residual: bool = True,
                 norm: str = "layer", adjacency: str = "shared", backend: str = "auto", dropout: float = 0.1,
                 time_bias: Mapping[str, nn.Module] | None = None) -> None:
        super().__init__()

        def build(name: str) -> Subgraph:
            stack = [GraphLayer(Propagation(dim, conv, conv_options, backend), dim, residual=residual, norm=norm,
                                dropout=dropout) for _ in range(layers)]
            return Subgraph(stack, dim, adjacency=adjacency, time_bias=(time_bias or {}).get(name))

        self.subgraphs = nn.ModuleDict({name: build(name) for name in subgraphs})

    def forward(self, streams: Streams) -> Interaction:
        answers: dict[str, list[Tensor]] = {modality: [] for modality in Streams._fields}
        adjacency: dict[str, tuple[Tensor, ...]] = {}
        for name, subgraph in self.subgraphs.items():
            first, second = SUBGRAPHS[name]
            one, two, adjacency[name] = subgraph(getattr(streams, first), getattr(streams, second))
            answers[first].append(one)
            answers[second].append(two)
        kept = {modality: sum(found[1:], found[0]) if found else getattr(streams, modality)
                for modality, found in answers.items()}
        return Interaction(**kept, adjacency=adjacency)
