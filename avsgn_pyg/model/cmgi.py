"""Section 3.4: cross-modal graph interaction (CMGI), Eq. 7-8.

Three subgraphs per video (audio-visual, visual-text, audio-text). Attention along a subgraph's edges is its adjacency
(Eq. 7), graph convolutions pass messages weighted by it (Eq. 8), and a modality's output is the sum over its two
subgraphs. Nodes of all videos are concatenated, so videos of different length need no padding here.

Shapes: M nodes of one modality, or of one subgraph, in the whole batch; E edges; D width; L layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from avsgn_pyg.graph.edges import Complete, EdgeList
from avsgn_pyg.graph.schema import SUBGRAPHS

#: One weight per edge: [E] along a list, [B, N, N] where every pair is connected.
Weights = Float[Tensor, "..."]


class Adjacency(nn.Module):
    """Eq. 7: ``A = softmax(X W_q (X W_k)^T / sqrt(D))`` over the sources of every node."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim, bias=False)

    def forward(self, x: Float[Tensor, "M D"], edges: EdgeList | Complete, bias: Tensor | None = None) -> Weights:
        """The attention of every edge; the weights into a node sum to one. `bias` is added to the scores."""
        # X W_q (X W_k)^T = X (W_q W_k^T) X^T: for many nodes, one product over them instead of two.
        first, second = self.query.weight.T, self.key.weight * x.shape[-1] ** -0.5
        scores = edges.scores(x @ (first @ second) if len(x) > x.shape[-1] else x @ first @ second, x)
        return edges.softmax(scores if bias is None else scores + bias)


class GraphLayer(nn.Module):
    """Eq. 8: ``ReLU(A H W)``, or another convolution instead of ``A H W``, with optional residual and layer norm."""

    def __init__(self, conv: nn.Module, dim: int, *, residual: bool, norm: str, dropout: float) -> None:
        super().__init__()
        self.conv, self.residual = conv, residual
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim) if norm == "layer" else nn.Identity()

    def forward(self, x: Float[Tensor, "M D"], edges: EdgeList | Complete, weight: Weights) -> Float[Tensor, "M D"]:
        """The nodes after the messages along `edges`."""
        update = self.dropout(self.conv(x, edges, weight).relu())
        return self.norm(x + update if self.residual else update)


class Interaction(NamedTuple):
    """A*, V* and T* as flat nodes, and every subgraph's distinct adjacencies as [B, N, N]."""

    nodes: dict[str, Float[Tensor, "M D"]]
    adjacency: dict[str, tuple[Tensor, ...]]


class CMGI(nn.Module):
    """Subgraphs of Table 3 and their sums: ``A* = A_av + A_at``, ``V* = V_av + V_vt``, ``T* = T_vt + T_at``.

    Args:
        dim: D.
        conv: ``subgraph -> convolution``, called once for every layer; it takes (nodes, edges, weights).
        layers: L.
        subgraphs: any subset of ``av``, ``vt``, ``at``; a modality in none of them keeps its aligned features.
        residual, norm: around every layer; ``residual=False, norm="none"`` is Eq. 8 as printed.
        adjacency: ``shared`` (Eq. 7 once, from the aligned features) or ``per_layer``.
        topk: after Eq. 7, keep only the `topk` strongest edges into every node; ``None`` keeps all.
        as_list: pass every subgraph to the convolutions as an :class:`~avsgn_pyg.graph.edges.EdgeList`.
        dropout: rate on every layer's output, before the residual is added.
        time: ``subgraph -> module`` with scores by distance in time for Eq. 7, shared by its layers; or ``None``.
    """

    def __init__(self, dim: int, conv: Callable[[str], nn.Module], *, layers: int = 2,
                 subgraphs: Sequence[str] = tuple(SUBGRAPHS), residual: bool = True, norm: str = "layer",
                 adjacency: str = "shared", topk: int | None = None, as_list: bool = False, dropout: float = 0.1,
                 time: Callable[[str], nn.Module] | None = None) -> None:
        super().__init__()
        around = {"residual": residual, "norm": norm, "dropout": dropout}
        self.topk, self.as_list = topk, as_list or topk is not None
        self.time = nn.ModuleDict({} if time is None else {name: time(name) for name in subgraphs})
        self.layers = nn.ModuleDict({
            name: nn.ModuleList(GraphLayer(conv(name), dim, **around) for _ in range(layers)) for name in subgraphs})
        self.adjacency = nn.ModuleDict({
            name: nn.ModuleList(Adjacency(dim) for _ in range(layers if adjacency == "per_layer" else 1))
            for name in subgraphs})

    def forward(self, aligned: Mapping[str, Float[Tensor, "M D"]],
                edges: Mapping[str, EdgeList | Complete]) -> Interaction:
        """Aligned nodes by modality and edges by subgraph -> interacted nodes by modality."""
        sums: dict[str, list[Tensor]] = {modality: [] for modality in aligned}
        adjacency: dict[str, tuple[Tensor, ...]] = {}
        for name in self.layers:
            members = SUBGRAPHS[name]
            parts, adjacency[name] = self.subgraph(name, *(aligned[modality] for modality in members), edges[name])
            for modality, part in zip(members, parts, strict=True):
                sums[modality].append(part)
        nodes = {modality: sum(parts[1:], parts[0]) if parts else aligned[modality] for modality, parts in sums.items()}
        return Interaction(nodes, adjacency)

    def subgraph(self, name: str, first: Float[Tensor, "M1 D"], second: Float[Tensor, "M2 D"],
                 edges: EdgeList | Complete) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, ...]]:
        """Eq. 7-8 on one subgraph: the nodes of its two modalities, and its adjacencies."""
        x, matrices = edges.join(first, second), []
        bias = self.time[name](edges.offset, edges.relation) if name in self.time else None
        for number, layer in enumerate(self.layers[name]):
            if number < len(self.adjacency[name]):
                along, weight = edges, self.adjacency[name][number](x, edges, bias)
                if self.topk is not None:
                    along, weight = edges.strongest(weight, self.topk)
                matrices.append(along.matrix(weight))
            x = layer(x, along, weight)
        return edges.split(x), tuple(matrices)
