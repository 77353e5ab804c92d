"""Section 3.4, Eq. 7: attention over a subgraph's nodes is its adjacency.

On a complete subgraph that is a matrix, one product over all nodes. Where fewer edges exist, scores are made on
these alone: no [N, N] is ever held, and memory grows with the number of edges.

Letters: B videos, N nodes of a subgraph, M = B N, D width, E edges.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch_geometric.utils import softmax

from avsgn_pyg.graph.topology import Layout, SparseAdjacency, TopK, Topology, batch_edges
from avsgn_pyg.model.time import SubgraphTime

#: Numbers gathered at once where scores are made edge by edge.
CHUNK = 2**22


class AttentionAdjacency(nn.Module):
    """Eq. 7: ``A = softmax(X W_q (X W_k)^T / sqrt(D))`` over the sources of a node, self included."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.scale = 1 / math.sqrt(dim)

    def forward(self, x: Float[Tensor, "B N D"], bias: Tensor | None = None,
                real: Bool[Tensor, "B N"] | None = None) -> Float[Tensor, "B N N"]:
        """`bias` [N, N], if any, is added to the scores; a source that is not `real` weighs nothing."""
        if x.shape[0] * x.shape[1] < x.shape[2]:  # fewer rows than D: a product of two weights costs more than it saves
            score = (self.query(x) * self.scale) @ self.key(x).transpose(1, 2)
        else:
            score = x @ self._pair() @ x.transpose(1, 2)
        score = score if bias is None else score + bias
        return (score if real is None else score.masked_fill(~real[:, None], -math.inf)).softmax(-1)

    def on_edges(self, x: Float[Tensor, "B N D"], topology: Topology, layout: Layout,
                 time: SubgraphTime | None = None) -> SparseAdjacency:
        """The same over the edges that `topology` has: weights into a node sum to one over these."""
        flat, nodes = x.flatten(0, 1), layout.nodes
        asked = (flat @ self._pair()).to(flat.dtype)  # autocast may have made it coarser
        if isinstance(topology, TopK):
            index = _strongest(asked.detach().view_as(x), x.detach(), topology.strongest, layout, time)
        else:
            index = batch_edges(topology, layout, len(x), x.device)
        score = EdgeScores.apply(asked, flat, index)
        if time is not None:
            score = score + time.at(index[1] % nodes, index[0] % nodes, layout.rows[0])
        return SparseAdjacency(index, softmax(score, index[1], num_nodes=len(flat)))

    def _pair(self) -> Float[Tensor, "D D"]:
        # X W_q (X W_k)^T = X (W_q W_k^T) X^T: one product over all nodes in place of two.
        return self.query.weight.T @ self.key.weight * self.scale


@torch.no_grad()
def _strongest(asked: Float[Tensor, "B N D"], x: Float[Tensor, "B N D"], count: int, layout: Layout,
               time: SubgraphTime | None) -> Int[Tensor, "2 E"]:
    """The edges from the `count` highest-scored sources of every node, a block of targets at a time."""
    videos, nodes, _ = x.shape
    count = min(count, nodes)
    offset = torch.arange(videos, device=x.device)[:, None, None] * nodes
    member, found = torch.arange(nodes, device=x.device), []
    for target in member.split(max(CHUNK // (videos * nodes), 1)):
        score = asked[:, target] @ x.transpose(1, 2)
        if time is not None:
            score = score + time.at(*torch.broadcast_tensors(target[:, None], member), layout.rows[0])
        if layout.real is not None:
            score = score.masked_fill(~layout.real[:, None], -math.inf)
        source = score.topk(count).indices.sort().values + offset
        found.append(torch.stack((source, (target[:, None] + offset).expand_as(source))))
    index = torch.cat(found, dim=2).flatten(1)
    return index if layout.real is None else index[:, layout.real.flatten()[index].all(0)]


class EdgeScores(torch.autograd.Function):
    """``asked[target] . told[source]`` for every edge; the gathered rows are held for one block of edges only."""

    @staticmethod
    def forward(ctx: Any, asked: Tensor, told: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(asked, told, index)
        score = [(asked[part[1]] * told[part[0]]).sum(-1) for part in _blocks(index, asked.shape[1])]
        return torch.cat(score)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        asked, told, index = ctx.saved_tensors
        of_asked, of_told = torch.zeros_like(asked), torch.zeros_like(told)
        parts = _blocks(index, asked.shape[1])
        for part, weight in zip(parts, gradient.split([part.shape[1] for part in parts]), strict=True):
            of_asked.index_add_(0, part[1], weight[:, None] * told[part[0]])
            of_told.index_add_(0, part[0], weight[:, None] * asked[part[1]])
        return of_asked, of_told, None


def _blocks(index: Int[Tensor, "2 E"], width: int) -> tuple[Tensor, ...]:
    return index.split(max(CHUNK // width, 1), dim=1)
