"""The edges of one subgraph of a batch: an edge list, or a complete graph that stores none.

:func:`subgraph_edges` reads them from the batch. Both classes have the same methods, so Section 3.4 is written once:
attention scores, their softmax over the sources of every node, and joining and splitting the nodes of the two
modalities.

Shapes: B videos, M nodes of the subgraph in the whole batch, T and R nodes of its two modalities in one video,
N = T + R, E edges, D width.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch_geometric.data import Batch
from torch_geometric.utils import softmax

from avsgn_pyg.blocks import CompleteIndex
from avsgn_pyg.graph.schema import SUBGRAPHS, relations
from avsgn_pyg.graph.topology import is_complete, starts
from avsgn_pyg.graph.views import node_counts


@dataclass(frozen=True, eq=False)
class EdgeList:
    """One subgraph as PyG's list of edges; nodes are all of the first modality, then all of the second.

    Attributes:
        index: source and target of every edge, sorted by target and source.
        relation: ``2 * target + source``, each 0 or 1 for the modality of that node.
        place: video, target and source of every edge, nodes counted within their video (the first modality's, padded to
            the longest video, then the second's).
        nodes: nodes of either modality in the whole batch.
        size: B, and T and R of the longest video.
    """

    index: Int[Tensor, "2 E"]
    relation: Int[Tensor, "E"]
    place: Int[Tensor, "3 E"]
    nodes: tuple[int, int]
    size: tuple[int, int, int]

    @property
    def offset(self) -> Int[Tensor, "E"]:
        """Seconds from target to source."""
        _, target, source = self.place
        return source - self.relation % 2 * self.size[1] - target + self.relation // 2 * self.size[1]

    def join(self, first: Float[Tensor, "M1 D"], second: Float[Tensor, "M2 D"]) -> Float[Tensor, "M D"]:
        """The nodes of both modalities in this subgraph's order."""
        return torch.cat((first, second))

    def split(self, x: Float[Tensor, "M D"]) -> tuple[Float[Tensor, "M1 D"], Float[Tensor, "M2 D"]]:
        """The inverse of :meth:`join`."""
        return x.split(self.nodes)

    def scores(self, query: Float[Tensor, "M D"], key: Float[Tensor, "M D"]) -> Float[Tensor, "E"]:
        """``query_target . key_source`` of every edge, in single precision at least."""
        dtype = torch.promote_types(query.dtype, torch.float32)
        query, key = query.to(dtype), key.to(dtype)
        if self.rowptr is None or torch.is_autocast_enabled(query.device.type):
            source, target = self.index
            return (query[target] * key[source]).sum(-1)
        # Gathering query and key rows would store 2 D numbers per edge and take fifteen times as long.
        nothing = self.adj_t(query.new_zeros(self.index.shape[1]))
        return _Scores.apply(query, key, nothing)

    def softmax(self, scores: Float[Tensor, "E"]) -> Float[Tensor, "E"]:
        """Weights that sum to one over the sources of every node."""
        return softmax(scores, self.index[1], num_nodes=sum(self.nodes))

    @functools.cached_property
    def rowptr(self) -> Int[Tensor, "M1"] | None:
        """Where the edges into each node begin, as in a CSR matrix; ``None`` if two edges join the same nodes.

        ``None`` too on devices without torch's sparse kernels.
        """
        source, target = self.index
        twice = ((target[1:] == target[:-1]) & (source[1:] == source[:-1])).any()
        if self.index.device.type not in ("cpu", "cuda") or twice:
            return None
        return starts(torch.bincount(target, minlength=sum(self.nodes)))

    def adj_t(self, weight: Float[Tensor, "E"]) -> Tensor:
        """The weights as a sparse CSR matrix [M, M], targets along rows: PyG's ``adj_t``."""
        _silence_beta_warning()
        return _Sparse.apply(weight, self.rowptr, self.index[0].contiguous(), sum(self.nodes))

    def select(self, chosen: Bool[Tensor, "E"]) -> EdgeList:
        """The chosen edges between the same nodes."""
        return replace(self, index=self.index[:, chosen], relation=self.relation[chosen], place=self.place[:, chosen])

    def strongest(self, weight: Float[Tensor, "E"], count: int) -> tuple[EdgeList, Float[Tensor, "kept"]]:
        """The `count` edges of largest weight into every node, whose weights again sum to one."""
        target, nodes = self.index[1], sum(self.nodes)
        order = weight.argsort(descending=True, stable=True)
        order = order[target[order].argsort(stable=True)]  # by target, and by falling weight within
        rank = torch.arange(len(order), device=order.device)
        rank = rank - starts(torch.bincount(target, minlength=nodes))[target]
        chosen = torch.zeros_like(target, dtype=torch.bool).index_fill(0, order[rank < count], True)
        total = weight.new_zeros(nodes).index_add(0, target[chosen], weight[chosen])
        return self.select(chosen), weight[chosen] / total[target[chosen]]

    def matrix(self, weight: Float[Tensor, "E"]) -> Float[Tensor, "B N N"]:
        """The weights as a sparse COO tensor; entry (b, i, j) weighs the message into node i from node j."""
        videos, first, second = self.size
        return torch.sparse_coo_tensor(self.place, weight, (videos, first + second, first + second),
                                       check_invariants=False)


@dataclass(frozen=True, eq=False)
class Complete:
    """A complete subgraph of equally long videos: its weights are matrices, and no edge list is stored.

    Nodes are ordered video by video, those of the first modality before those of the second.

    Attributes:
        size: B, T and R.
        index: what a convolution takes for the edge list.
    """

    size: tuple[int, int, int]
    index: CompleteIndex

    @property
    def offset(self) -> Int[Tensor, "N N"]:
        """Seconds from target (row) to source (column)."""
        _, first, second = self.size
        seconds = torch.cat([torch.arange(count, device=self.index.device) for count in (first, second)])
        return seconds - seconds[:, None]

    @property
    def relation(self) -> Int[Tensor, "N N"]:
        """As of :class:`EdgeList`."""
        _, first, second = self.size
        part = (torch.arange(first + second, device=self.index.device) >= first).long()
        return 2 * part[:, None] + part

    def join(self, first: Float[Tensor, "M1 D"], second: Float[Tensor, "M2 D"]) -> Float[Tensor, "M D"]:
        """As of :class:`EdgeList`."""
        return torch.cat([part.unflatten(0, (self.size[0], -1)) for part in (first, second)], dim=1).flatten(0, 1)

    def split(self, x: Float[Tensor, "M D"]) -> tuple[Float[Tensor, "M1 D"], Float[Tensor, "M2 D"]]:
        """As of :class:`EdgeList`."""
        return tuple(part.flatten(0, 1) for part in self._blocks(x).split(self.size[1:], dim=1))

    def scores(self, query: Float[Tensor, "M D"], key: Float[Tensor, "M D"]) -> Float[Tensor, "B N N"]:
        """As of :class:`EdgeList`."""
        return self._blocks(query) @ self._blocks(key).mT

    def softmax(self, scores: Float[Tensor, "B N N"]) -> Float[Tensor, "B N N"]:
        """As of :class:`EdgeList`."""
        return scores.softmax(-1)

    def matrix(self, weight: Float[Tensor, "B N N"]) -> Float[Tensor, "B N N"]:
        """As of :class:`EdgeList`, but dense."""
        return weight

    def _blocks(self, x: Float[Tensor, "M D"]) -> Float[Tensor, "B N D"]:
        return x.unflatten(0, (self.size[0], -1))


def subgraph_edges(batch: Batch, subgraph: str, *, as_list: bool = False) -> EdgeList | Complete:
    """The edges that `batch` has in one subgraph.

    Args:
        as_list: never :class:`Complete`, whatever the edges are.

    Raises:
        ValueError: the batch has none of the subgraph's relations, or an edge connects nodes of two videos.
    """
    members = SUBGRAPHS[subgraph]
    stores = {relation: batch[relation] for relation in relations(subgraph) if relation in batch.edge_types}
    if not stores:
        raise ValueError(f"the batch has no edges in subgraph {subgraph!r}; build it with a topology, or write the "
                         f"edge_index of {', '.join(map(str, relations(subgraph)))}")
    counts = [node_counts(batch, name) for name in members]
    size = (batch.num_graphs, *map(max, counts))
    equal = all(min(count) == max(count) for count in counts)
    if equal and len(stores) == 4 and not as_list and all(
            is_complete(store.edge_index, size[0], *(size[1 + members.index(name)] for name in (source, target)))
            for (source, _, target), store in stores.items()):
        return Complete(size, CompleteIndex(size[0], sum(size[1:]), device=batch[members[0]].batch.device))
    return _edge_list(batch, subgraph, list(stores), size)


def _edge_list(batch: Batch, subgraph: str, kinds: Sequence[tuple[str, str, str]],
               size: tuple[int, int, int]) -> EdgeList:
    members = SUBGRAPHS[subgraph]
    nodes = tuple(int(batch[name].num_nodes) for name in members)
    start, begin = dict(zip(members, (0, nodes[0]), strict=True)), dict(zip(members, (0, size[1]), strict=True))
    index, relation, place = [], [], []
    for kind in kinds:
        source, _, target = kind
        ends = batch[kind].edge_index.long()
        if ends.numel() and int(ends.min()) < 0:
            raise ValueError(f"{kind}: expected node numbers from 0, got {int(ends.min())}")
        videos = [batch[name].batch[end] for name, end in zip((source, target), ends, strict=True)]
        if not torch.equal(*videos):
            raise ValueError(f"{kind}: expected edges within one video, got an edge between two videos")
        local = [end - batch[name].ptr[video] + begin[name]
                 for name, end, video in zip((source, target), ends, videos, strict=True)]
        index.append(torch.stack((ends[0] + start[source], ends[1] + start[target])))
        relation.append(torch.full_like(ends[0], 2 * members.index(target) + members.index(source)))
        place.append(torch.stack((videos[1], local[1], local[0])))
    index = torch.cat(index, dim=1)
    order = (index[1] * sum(nodes) + index[0]).argsort(stable=True)
    return EdgeList(index[:, order], torch.cat(relation)[order], torch.cat(place, dim=1)[:, order], nodes, size)


class _Sparse(torch.autograd.Function):
    """Edge weights as a CSR matrix [M, M].

    A product's gradient has the same pattern, so its values are the gradient of the weights. torch's own rule searches
    for the pattern first, which takes two fifths of an hour-long video's step.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, rows: Tensor, columns: Tensor, nodes: int) -> Tensor:
        return torch.sparse_csr_tensor(rows, columns, weight, (nodes, nodes), check_invariants=False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return gradient.values(), None, None, None


class _Scores(torch.autograd.Function):
    """``query_target . key_source`` at the entries of a CSR matrix; a second derivative is an error."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, nothing: Tensor) -> Tensor:
        ctx.save_for_backward(query, key, nothing)
        return torch.sparse.sampled_addmm(nothing, query, key.T, beta=0.0).values()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        query, key, nothing = ctx.saved_tensors
        matrix = _Sparse.apply(gradient, nothing.crow_indices(), nothing.col_indices(), len(query))
        return matrix @ key, matrix.mT @ query, None


@functools.cache
def _silence_beta_warning() -> None:
    """torch warns once a process that sparse CSR tensors are in beta; the two kernels used here are tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        empty = torch.zeros(0)
        torch.sparse_csr_tensor(torch.zeros(2, dtype=torch.int64), empty.long(), empty, (1, 1), check_invariants=False)
