"""Section 3.4, Eq. 8: one layer of message passing over a weighted subgraph, and the roads it may take.

The layer is a convolution of :data:`~avsgn_pyg.model.convs.CONVS`, untouched. ``blocks`` hands it an edge index that
knows it is complete graphs, so that it runs as dense algebra; ``native`` hands it the real edges, as PyG means it.
Both are tested equal in values and gradients for every row of the table. Blocks cost a matrix however few edges there
are; where a topology is sparse, edges are the road, and memory grows with their number. There a layer that adds up
weighted sources needs no message at all (:data:`SUMMED`); others make them for some targets at a time.

Letters: B videos, N nodes in one subgraph, D width, E edges. ``adjacency[b, i, j]`` weighs the message into i from j.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint
from torch_geometric.nn import Aggregation, GCNConv, GraphConv, MessagePassing, SumAggregation, TAGConv
from torch_geometric.utils import scatter

from avsgn_pyg.blocks import CompleteIndex, FallbackError
from avsgn_pyg.blocks.count import count_fallback
from avsgn_pyg.graph.topology import Layout, SparseAdjacency
from avsgn_pyg.model.convs import EDGE_ATTR, build_conv, find_conv, held_messages
from avsgn_pyg.model.edgewise import weighted_sum
from avsgn_pyg.model.weighted import LinearAPPNP, PlainARMA, PlainSG, WeightedGIN, WeightedSAGE

try:
    import torch_scatter
except ImportError:  # PyG's own scatter gives the same sums
    torch_scatter = None

BACKENDS = ("auto", "blocks", "native")

#: Bytes of one message tensor [E, D] above which a layer's messages are made again in the backward pass. From there on
#: glibc maps and unmaps a tensor at every use, and making its pages costs more than making its numbers again.
REMAKE_ABOVE = 32 * 2**20
#: Bytes of messages that a layer makes at once if it can take its targets some at a time.
PIECE = 16 * 2**20


#: Layers whose message is ``edge_weight * x_j``. Where they add these up, a sum along sparse edges is one product.
SUMMED = (GCNConv, GraphConv, TAGConv, WeightedSAGE, WeightedGIN, PlainSG, LinearAPPNP, PlainARMA)


class ScatterSum(Aggregation):
    """Sum of messages into their targets by torch_scatter where it runs, else by PyG's scatter (equal to the bit)."""

    def forward(self, x: Tensor, index: Tensor | None = None, ptr: Tensor | None = None,
                dim_size: int | None = None, dim: int = -2) -> Tensor:
        if torch_scatter is not None and (x.device.type == "cpu" or torch.ops.torch_scatter.cuda_version() != -1):
            return torch_scatter.scatter(x, index, dim=dim, dim_size=dim_size, reduce="sum")
        return scatter(x, index, dim=dim, dim_size=dim_size, reduce="sum")


class SortedEdges(Tensor):
    """A real edge index whose order is known: by target. Nothing else about it is special."""


class Summing:
    """What stands in for the ``propagate`` of a layer of :data:`SUMMED`: on sorted edges its sums need no messages."""

    def __init__(self, layer: MessagePassing) -> None:
        self.layer = layer

    def __call__(self, edge_index: Tensor, size: Any = None, **given: Any) -> Tensor:
        if not isinstance(edge_index, SortedEdges):
            return type(self.layer).propagate(self.layer, edge_index, size=size, **given)
        x = given["x"] if isinstance(given["x"], Tensor) else given["x"][0]
        return weighted_sum(x, given["edge_weight"], edge_index.as_subclass(Tensor))


class Propagation(nn.Module):
    """One convolution on B subgraphs.

    Args:
        dim: D, kept by the layer.
        conv: a name in :data:`~avsgn_pyg.model.convs.CONVS`.
        options: the convolution's own settings (``{"heads": 4}``).
        backend: ``blocks`` | ``native`` | ``auto`` (blocks where the adjacency is a matrix, else native; native too
            where blocks refuse an operation of the layer, as they do where rows are padded and it has no rule. A
            :func:`~avsgn_pyg.blocks.count_paths` counts that as a fallback, by the layer's name).

    Raises:
        ValueError: for an unknown convolution, option or road; it names what would work.
    """

    def __init__(self, dim: int, conv: str = "gcn", options: Mapping[str, Any] | None = None,
                 backend: str = "auto") -> None:
        super().__init__()
        if backend not in BACKENDS:
            raise ValueError(f"backend={backend!r}; choose one of {list(BACKENDS)}")
        self.name, self.hears, self.backend = conv, find_conv(conv).hears, backend
        self.conv = build_conv(conv, dim, options)
        self.hops = int(getattr(self.conv, "K", 1))
        self.wide = 0 if backend == "native" else held_messages(conv, options)
        # Statistics over all nodes would see those of other targets without their messages.
        self.local = find_conv(conv).local and not any(isinstance(m, _BatchNorm) for m in self.conv.modules())
        layers = [module for module in self.conv.modules() if isinstance(module, MessagePassing)]
        self.summed = backend == "native" and bool(layers) and all(
            type(layer) in SUMMED and type(layer.aggr_module) is SumAggregation for layer in layers)
        for layer in layers if self.summed else ():
            layer.propagate = Summing(layer)
        for layer in layers if backend == "native" else ():
            if type(layer.aggr_module) is SumAggregation:
                layer.aggr_module = ScatterSum()

    def forward(self, x: Float[Tensor, "B N D"], adjacency: Float[Tensor, "B N N"] | SparseAdjacency,
                layout: Layout | None = None) -> Float[Tensor, "B N D"]:
        """`layout` says which rows only fill up: no edge joins them."""
        return self.pass_messages(x, adjacency, None if layout is None else layout.kept)

    def pass_messages(self, x: Float[Tensor, "B N D"], adjacency: Float[Tensor, "B N N"] | SparseAdjacency,
                      kept: Bool[Tensor, "*#B N N"] | None) -> Float[Tensor, "B N D"]:
        """Along all edges of a sparse adjacency, or those of a matrix that are `kept`.

        Raises:
            ValueError: the adjacency is sparse, and blocks were asked for.
        """
        if isinstance(adjacency, Tensor) and self.backend != "native":
            try:
                return self._blocks(x, adjacency, kept)
            except FallbackError:
                if self.backend == "blocks":
                    raise
                count_fallback(f"{self.name} on real edges")
                return self._native(x, SparseAdjacency.of(adjacency, kept))
        if self.backend == "blocks":
            raise ValueError("backend=blocks runs matrices, and a sparse adjacency came; use auto or native")
        if isinstance(adjacency, Tensor):
            return self._native(x, SparseAdjacency.of(adjacency, kept))
        return self._sums(x, adjacency) if self.summed else self._native(x, adjacency)

    def _blocks(self, x: Tensor, adjacency: Tensor, kept: Tensor | None) -> Tensor:
        index = CompleteIndex(*x.shape[:2], device=x.device, mask=kept)
        return self._call(x.flatten(0, 1), index, adjacency.reshape(-1)).view(x.shape)

    def _sums(self, x: Tensor, edges: SparseAdjacency) -> Tensor:
        return self._call(x.flatten(0, 1), edges.index.as_subclass(SortedEdges), edges.weight).view(x.shape)

    def _native(self, x: Tensor, edges: SparseAdjacency) -> Tensor:
        size = edges.weight.numel() * x.shape[-1] * x.element_size()
        flat = x.flatten(0, 1)
        if size <= REMAKE_ABOVE:
            return self._call(flat, edges.index, edges.weight).view(x.shape)
        if not self.local:
            return self._remade(flat, edges.index, edges.weight).view(x.shape)
        pieces = min(-(-size // PIECE), len(flat))
        return self._by_target(flat, edges, pieces).view(x.shape)

    def _by_target(self, x: Float[Tensor, "M D"], edges: SparseAdjacency, pieces: int) -> Float[Tensor, "M D"]:
        """Some targets after others, edges being sorted by these: one piece's messages are held at once.

        A piece is given its own nodes alone, so that what a layer does to every node is not done again for each piece.
        """
        target = edges.index[1].contiguous()
        shares = torch.arange(1, pieces, device=x.device) * len(target) // pieces
        ends = sorted({0, *target[shares].tolist(), len(x)})
        cuts = torch.searchsorted(target, torch.tensor(ends, device=x.device)).diff().tolist()
        parts = [_renumbered(index, first, last)
                 for index, (first, last) in zip(edges.index.split(cuts, dim=1), itertools.pairwise(ends), strict=True)]
        rows = x[torch.cat([nodes for nodes, *_ in parts])].split([len(nodes) for nodes, *_ in parts])
        return torch.cat([self._remade(some, index, weight, here) for some, (_, index, here), weight
                          in zip(rows, parts, edges.weight.split(cuts), strict=True)])

    def _call(self, x: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        if self.hears == EDGE_ATTR:
            weight = weight[:, None]
            # As blocks, a layer's linear map of the attribute stays a product and is never written out at [E, D].
            weight = index.edges(weight) if isinstance(index, CompleteIndex) else weight
        return self.conv(x, index, **{self.hears: weight})

    def _remade(self, x: Tensor, index: Tensor, weight: Tensor, here: slice = slice(None)) -> Tensor:
        """Answers of the nodes `here`, whose messages the backward pass makes again."""
        if not torch.is_grad_enabled():
            return self._call(x, index, weight)[here]
        return checkpoint(lambda *given: self._call(*given)[here], x, index, weight, use_reentrant=False)


def _renumbered(index: Int[Tensor, "2 E"], first: int, last: int) -> tuple[Int[Tensor, "M"], Int[Tensor, "2 E"], slice]:
    """The nodes of these edges and of [first, last), in order; the edges over them; where [first, last) stand."""
    targets = torch.arange(first, last, device=index.device)
    nodes, places = torch.cat((index.flatten(), targets)).unique(return_inverse=True)
    begin = int(torch.searchsorted(nodes, first))
    return nodes, places[: index.numel()].view_as(index), slice(begin, begin + last - first)
