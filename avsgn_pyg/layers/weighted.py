"""PyG layers in forms whose messages are weighted by the attention of Eq. 7.

SAGE, GIN and FiLM have no argument for an edge weight: on a complete graph their neighbour term would be the same
vector for every node, independent of the attention. Each class gives its formula; ``A_ij`` is the weight of j -> i, and
``sum_j`` runs over the sources of i. Where the weights of a node sum to one, as Eq. 7 makes them, a weighted sum is a
weighted mean.

PyG reads the types of a layer's messages from its comment ``propagate_type``.

SG and ARMA divide by the degrees of both ends. Weights into a node sum to one, so its degree is one and that is
the identity; if a node has only a part of its edges (one relation) or none, it would give zeros and NaN gradients.
The forms here omit the division.

With a layer for each relation (``relations: typed``) the weights of one relation sum to less than one: there
``aggr="mean"`` of SAGE and FiLM is the weighted sum that it is written as, not a mean.

Shapes: M nodes, E edges, D width.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import APPNP, ARMAConv, FiLMConv, GINConv, SAGEConv, SGConv
from torch_geometric.typing import PairTensor  # noqa: F401 (PyG looks it up for propagate_type)


class WeightedSAGE(SAGEConv):
    """``h_i = W_r x_i + W_l sum_j A_ij x_j``; with ``aggr="max"``, ``W_l max_j A_ij x_j`` (GraphSAGE, 2017)."""

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        # propagate_type: (x: PairTensor, edge_weight: Tensor)
        aggregated = self.propagate(edge_index, x=(x, x), edge_weight=edge_weight)
        out = self.lin_l(aggregated) + self.lin_r(x)
        return F.normalize(out, p=2.0, dim=-1) if self.normalize else out

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        return edge_weight.view(-1, 1) * x_j


class WeightedGIN(GINConv):
    """``h_i = MLP((1 + eps) x_i + sum_j A_ij x_j)`` (GIN, 2019)."""

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        # propagate_type: (x: PairTensor, edge_weight: Tensor)
        aggregated = self.propagate(edge_index, x=(x, x), edge_weight=edge_weight)
        return self.nn(aggregated + (1 + self.eps) * x)

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        return edge_weight.view(-1, 1) * x_j


class WeightedFiLM(FiLMConv):
    """``h_i = s(g'_i * W' x_i + b'_i) + sum_j A_ij s(g_i * W x_j + b_i)``, s the ReLU (GNN-FiLM, 2020).

    ``[b_i; g_i] = U x_i`` and ``[b'_i; g'_i] = U' x_i`` are the target's own shift and scale of its messages.
    """

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        beta, gamma = self.film_skip(x).chunk(2, dim=-1)
        out = (gamma * self.lin_skip(x) + beta).relu()
        beta, gamma = self.films[0](x).chunk(2, dim=-1)
        # propagate_type: (x: Tensor, beta: Tensor, gamma: Tensor, edge_weight: Tensor)
        return out + self.propagate(edge_index, x=self.lins[0](x), beta=beta, gamma=gamma, edge_weight=edge_weight)

    def message(self, x_j: Tensor, beta_i: Tensor, gamma_i: Tensor, edge_weight: Tensor) -> Tensor:
        return edge_weight.view(-1, 1) * (gamma_i * x_j + beta_i).relu()


class LinearAPPNP(APPNP):
    """``Z_0 = X W + b``, then K times ``Z <- (1 - alpha) A Z + alpha Z_0`` (APPNP, 2019).

    PyG's layer has no weight matrix; the W of Eq. 8 is applied before it.
    """

    def __init__(self, dim: int, K: int, alpha: float, dropout: float, bias: bool) -> None:
        super().__init__(K, alpha, dropout, add_self_loops=False, normalize=False)
        self.lin = nn.Linear(dim, dim, bias=bias)

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        return super().forward(self.lin(x), edge_index, edge_weight)


class PlainSG(SGConv):
    """``H = A^K X W + b``: K steps of spreading, one weight (SGC, 2019)."""

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        for _ in range(self.K):
            # propagate_type: (x: Tensor, edge_weight: Tensor)
            x = self.propagate(edge_index, x=x, edge_weight=edge_weight)
        return self.lin(x)


class PlainARMA(ARMAConv):
    """Mean over stacks k of ``X_k <- ReLU(A X_k W_k + X V_k + b_k)``, repeated (ARMA, 2019)."""

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        out = given = x.unsqueeze(0)  # [1, M, D], then [stacks, M, D]
        for layer in range(self.num_layers):
            step, again = (0, 0) if self.shared_weights else (layer, layer - 1)
            out = out @ (self.init_weight if layer == 0 else self.weight[again])
            # Stacks travel side by side, as columns: every layer of the table sends [M, *] along the edges.
            # propagate_type: (x: Tensor, edge_weight: Tensor)
            aggregated = self.propagate(edge_index, x=out.transpose(0, 1).flatten(1), edge_weight=edge_weight)
            out = aggregated.unflatten(1, (len(out), -1)).transpose(0, 1)
            out = out + F.dropout(given, self.dropout, self.training) @ self.root_weight[step]
            out = (out if self.bias is None else out + self.bias[step]).relu()
        return out.mean(0)
