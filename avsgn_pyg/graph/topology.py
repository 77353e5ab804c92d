"""Which edges a subgraph has: all of them, or fewer, so that long videos stay within reach.

A topology answers for one subgraph of one video, the rows of its first modality followed by those of its second
(:class:`Layout`); :func:`batch_edges` repeats the answer for a batch. Edges are (source, target), sorted by target.
Nothing here is learned: attention over the edges that exist is Eq. 7's, in :mod:`avsgn_pyg.model.adjacency`.

Letters: B videos, T and R rows of the two modalities, N = T + R nodes, E edges.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

#: Edges (16 bytes each) up to which a list that was made is kept.
KEPT = 2**22


@dataclass(frozen=True, eq=False)
class Layout:
    """The nodes of a subgraph.

    Attributes:
        rows: T and R, of the first and of the second modality.
        timed: for each of the two, whether its rows are seconds (label text's are not).
        real: [B, N] False where a row only fills a shorter video up; ``None`` where no row does.
    """

    rows: tuple[int, int]
    timed: tuple[bool, bool] = (True, True)
    real: Bool[Tensor, "B N"] | None = None

    @property
    def nodes(self) -> int:
        """N."""
        return sum(self.rows)

    @functools.cached_property
    def kept(self) -> Bool[Tensor, "B N N"] | None:
        """Which entries of a matrix join real rows; ``None`` where all do."""
        return None if self.real is None else self.real[:, None] & self.real[:, :, None]


class SparseAdjacency(NamedTuple):
    """Attention on the edges that exist, of a batch whose nodes are numbered through: node i of video b is b N + i."""

    index: Int[Tensor, "2 E"]
    weight: Float[Tensor, "E"]

    def where(self, kept: Bool[Tensor, "E"]) -> SparseAdjacency:
        """The edges that are `kept`, at their weights."""
        return SparseAdjacency(self.index[:, kept], self.weight[kept])

    def matrix(self, videos: int, nodes: int) -> Tensor:
        """A sparse COO [B, N, N]; entry (b, i, j) weighs the message into i from j."""
        source, target = self.index
        place = torch.stack((target // nodes, target % nodes, source % nodes))
        return torch.sparse_coo_tensor(place, self.weight, (videos, nodes, nodes), is_coalesced=True,
                                       check_invariants=False)

    @classmethod
    def of(cls, adjacency: Float[Tensor, "B N N"], kept: Bool[Tensor, "*#B N N"] | None = None) -> SparseAdjacency:
        """A dense adjacency as edges, without those that are not `kept`."""
        edges = cls(complete_edges(*adjacency.shape[:2], adjacency.device), adjacency.reshape(-1))
        return edges if kept is None else edges.where(kept.expand(adjacency.shape).reshape(-1))


@dataclass(frozen=True)
class Topology:
    """Every node hears every node of its subgraph, itself included (Section 3.4 as printed)."""

    complete = True

    def pairs(self, layout: Layout) -> Int[Tensor, "2 E"]:
        """(source, target) of one video, sorted by target."""
        blocks, first = [], (0, layout.rows[0])
        for target in (0, 1):
            for source in (0, 1):
                found = self._relation(target, source, layout)
                blocks.append(found + torch.tensor([[first[source]], [first[target]]]))
        index = torch.cat(blocks, dim=1)
        return index[:, (index[1] * layout.nodes + index[0]).argsort()]

    def count(self, layout: Layout) -> int:
        """Edges of one video, counted without making them."""
        return sum(self._count(target, source, layout) for target in (0, 1) for source in (0, 1))

    def _relation(self, target: int, source: int, layout: Layout) -> Int[Tensor, "2 E"]:
        return _all_pairs(layout.rows[target], layout.rows[source])

    def _count(self, target: int, source: int, layout: Layout) -> int:
        return layout.rows[target] * layout.rows[source]


@dataclass(frozen=True)
class Window(Topology):
    """Seconds hear seconds at most `reach` away, in either modality; label text, in no second, all and by all."""

    reach: int
    complete = False

    def _relation(self, target: int, source: int, layout: Layout) -> Int[Tensor, "2 E"]:
        if not (layout.timed[target] and layout.timed[source]):
            return super()._relation(target, source, layout)
        hearer = torch.arange(layout.rows[target])[:, None]
        heard = hearer + torch.arange(-self.reach, self.reach + 1)
        inside = (heard >= 0) & (heard < layout.rows[source])
        return torch.stack((heard[inside], hearer.expand_as(heard)[inside]))

    def _count(self, target: int, source: int, layout: Layout) -> int:
        if not (layout.timed[target] and layout.timed[source]):
            return super()._count(target, source, layout)
        rows, reach = layout.rows[target], min(self.reach, layout.rows[target] - 1)
        return rows * (2 * reach + 1) - reach * (reach + 1)


@dataclass(frozen=True)
class CrossModalOnly(Topology):
    """A node hears the other modality alone: no second of its own, not itself."""

    complete = False

    def _relation(self, target: int, source: int, layout: Layout) -> Int[Tensor, "2 E"]:
        return torch.empty(2, 0, dtype=torch.int64) if target == source else super()._relation(target, source, layout)

    def _count(self, target: int, source: int, layout: Layout) -> int:
        return 0 if target == source else super()._count(target, source, layout)


@dataclass(frozen=True)
class TopK(Topology):
    """A node hears the `strongest` nodes by its scores of Eq. 7 (all of them where there are fewer)."""

    strongest: int
    complete = False

    def count(self, layout: Layout) -> int:
        return layout.nodes * min(self.strongest, layout.nodes)


#: Name in a config -> topology, from the settings that some of them need.
TOPOLOGIES: dict[str, Callable[[int, int], Topology]] = {
    "complete": lambda window, topk: Topology(),
    "window": lambda window, topk: Window(window),
    "topk": lambda window, topk: TopK(topk),
    "cross_modal_only": lambda window, topk: CrossModalOnly(),
}


def batch_edges(topology: Topology, layout: Layout, videos: int, device: torch.device) -> Int[Tensor, "2 E"]:
    """The edges of `videos` subgraphs, numbered through; none at a row that only fills up."""
    index = _repeated(topology, layout.rows, layout.timed, videos, device)
    return index if layout.real is None else index[:, _both_real(index, layout.real)]


# A tensor made under inference mode could not serve a later training step, hence the switch back.
@functools.lru_cache(maxsize=8)
@torch.inference_mode(False)
def _repeated(topology: Topology, rows: tuple[int, int], timed: tuple[bool, bool], videos: int,
              device: torch.device) -> Int[Tensor, "2 E"]:
    pairs = topology.pairs(Layout(rows, timed)).to(device)
    offset = torch.arange(videos, device=device)[:, None] * sum(rows)
    return (pairs[:, None] + offset).flatten(1)


def complete_edges(graphs: int, nodes: int, device: torch.device) -> Int[Tensor, "2 E"]:
    """[2, B N N] edges of B complete graphs with self edges, sorted by target: entry (b, i, j) is edge j -> i.

    Kept for the next call where there are no more than :data:`KEPT`.
    """
    make = _complete if graphs * nodes**2 <= KEPT else _complete.__wrapped__
    return make(graphs, nodes, device)


@functools.lru_cache(maxsize=8)
@torch.inference_mode(False)
def _complete(graphs: int, nodes: int, device: torch.device) -> Int[Tensor, "2 E"]:
    offset = torch.arange(graphs, device=device).view(-1, 1, 1) * nodes
    member = torch.arange(nodes, device=device)
    source = (offset + member.view(1, 1, -1)).expand(graphs, nodes, nodes)
    target = (offset + member.view(1, -1, 1)).expand(graphs, nodes, nodes)
    return torch.stack((source.reshape(-1), target.reshape(-1)))


def _all_pairs(targets: int, sources: int) -> Int[Tensor, "2 E"]:
    return torch.stack((torch.arange(sources).repeat(targets), torch.arange(targets).repeat_interleave(sources)))


def _both_real(index: Int[Tensor, "2 E"], real: Bool[Tensor, "B N"]) -> Bool[Tensor, "E"]:
    return real.flatten()[index].all(0)
