"""Section 3.4, Eq. 7: attention over a subgraph's nodes is its adjacency.

On a complete subgraph that is a matrix, one product over all nodes. Where fewer edges exist, scores are made on
these alone: no [N, N] is ever held, and memory grows with the number of edges.

Letters: B videos, N nodes of a subgraph, M = B N, D width, E edges.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch_geometric.utils import softmax

from avsgn_pyg.graph.topology import Layout, SparseAdjacency, TopK, Topology, batch_edges
from avsgn_pyg.model.edgewise import CHUNK, edge_scores
from avsgn_pyg.model.time import SubgraphTime


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
        score = edge_scores(asked, flat, index)
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
