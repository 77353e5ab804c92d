"""Section 3.4, Eq. 7-8: one subgraph of CMGI, its adjacency and its layers of message passing.

Letters: B videos, T and R rows of its two modalities, N = T + R nodes, D width, L layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from avsgn_pyg.dropout import Dropout
from avsgn_pyg.graph.topology import Layout, SparseAdjacency, Topology
from avsgn_pyg.model.adjacency import AttentionAdjacency
from avsgn_pyg.model.propagation import Propagation
from avsgn_pyg.model.relations import TypedPropagation
from avsgn_pyg.model.time import SubgraphTime

#: Matrices of an adjacency's size that training holds at once for each of them: scores, weights, gradients.
COPIES = 4.5
#: The same of an edge, in numbers of four bytes, along a list: both its ends besides, and again turned round with the
#: order that turns them.
EDGE_COPIES = 14.5


class GraphLayer(nn.Module):
    """Eq. 8: ``ReLU(A H W)`` (or another convolution), with an optional residual and layer norm around it."""

    def __init__(self, propagation: Propagation | TypedPropagation, dim: int, *, residual: bool, norm: str,
                 dropout: float) -> None:
        super().__init__()
        self.propagation = propagation
        self.dropout = Dropout(dropout)
        self.norm = nn.LayerNorm(dim) if norm == "layer" else nn.Identity()
        self.residual = residual

    def forward(self, x: Float[Tensor, "B N D"], adjacency: Float[Tensor, "B N N"] | SparseAdjacency,
                layout: Layout | None = None) -> Float[Tensor, "B N D"]:
        message = self.dropout(self.propagation(x, adjacency, layout).relu())
        return self.norm(x + message if self.residual else message)


class Subgraph(nn.Module):
    """One subgraph: its adjacency (computed once, or once a layer) and its L layers.

    Args:
        layers: L of them.
        dim: D.
        adjacency: ``shared`` or ``per_layer``.
        time_bias: a relative-time score for Eq. 7, where wanted.
        topology: which edges there are.
        timed: for each of the two modalities, whether its rows are seconds.
    """

    def __init__(self, layers: Sequence[GraphLayer], dim: int, *, adjacency: str, time_bias: SubgraphTime | None,
                 topology: Topology | None = None, timed: tuple[bool, bool] = (True, True)) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.topology, self.timed = topology or Topology(), timed
        convs = [module for module in self.layers.modules() if isinstance(module, Propagation)]
        # Along sparse edges, a layer that only sums makes no message.
        self.native = any(conv.backend == "native" and (self.topology.complete or not conv.summed) for conv in convs)
        self.wide = max((conv.wide for conv in convs), default=0)
        self.adjacency = nn.ModuleList(
            AttentionAdjacency(dim) for _ in range(len(self.layers) if adjacency == "per_layer" else 1))
        self.time_bias = time_bias

    def forward(self, first: Tensor, second: Tensor, real: Bool[Tensor, "B N"] | None = None,
                scores: Float[Tensor, "N N"] | None = None) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """[B, T, D] and [B, R, D] -> the same shapes, and every adjacency that was made, [B, T + R, T + R].

        `real` is False where a row only fills a shorter video up: it is no source. `scores` are :meth:`time_scores`,
        where they are made already. Adjacencies of a topology that is not complete come as sparse COO tensors.
        """
        x, layout = torch.cat((first, second), dim=1), Layout((first.shape[1], second.shape[1]), self.timed, real)
        made: list[Tensor | SparseAdjacency] = []
        for number, layer in enumerate(self.layers):
            if number < len(self.adjacency):
                made.append(self._attend(self.adjacency[number], x, layout, scores))
            x = layer(x, made[-1], layout)
        matrices = tuple(found.matrix(*x.shape[:2]) if isinstance(found, SparseAdjacency) else found for found in made)
        return *x.split(layout.rows, dim=1), matrices

    def time_scores(self, first: int, second: int) -> Float[Tensor, "N N"] | None:
        """What time adds to the scores of Eq. 7 on a complete graph with so many rows of each modality."""
        return None if self.time_bias is None else self.time_bias(first, second)

    def numbers(self, videos: int, layout: Layout, dim: int) -> tuple[float, float]:
        """How many numbers a pass holds at least: in attention, for all of it; in messages, for one layer.

        Without gradients nothing is kept for later: an adjacency counts once.
        """
        edges, learns = float(videos * self.topology.count(layout)), torch.is_grad_enabled()
        messages = max(self.wide - (not learns), 0) if self.topology.complete else 0
        copies = (COPIES if learns else 1) if self.topology.complete else (EDGE_COPIES if learns else 5)
        return copies * len(self.adjacency) * edges, max(self.native, messages) * edges * dim

    def _attend(self, adjacency: AttentionAdjacency, x: Tensor, layout: Layout,
                scores: Tensor | None) -> Tensor | SparseAdjacency:
        if not self.topology.complete:
            return adjacency.on_edges(x, self.topology, layout, self.time_bias)
        return adjacency(x, self.time_scores(*layout.rows) if scores is None else scores, layout.real)
