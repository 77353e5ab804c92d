"""An ``edge_index`` that describes B complete graphs, on which an unmodified PyG convolution runs as dense algebra.

    index = CompleteIndex(graphs=64, nodes=20)
    out = GCNConv(256, 256, normalize=False)(x, index, edge_weight)  # x [64 * 20, 256], edge_weight [64 * 20 * 20]

Shapes: B graphs, N nodes of each, E = B N N edges. Edge ``(b N + i) N + j`` goes from node j to node i of graph b,
self edges included, so that edges are sorted by target.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from avsgn_pyg.blocks.algebra import SOURCE, TARGET
from avsgn_pyg.blocks.edges import EdgeTensor, Grid
from avsgn_pyg.blocks.standin import StandIn, no_rule


class IndexRow(StandIn):
    """[E]: the source of every edge, or the target of every edge; nothing is stored.

    Attributes:
        axis: the axis of a block that this end of the edges runs along.
        other: the axis of the other end.
    """

    @staticmethod
    def __new__(cls, grid: Grid, axis: int, device: torch.device, shape: tuple[int, ...]) -> IndexRow:
        made = cls.blank(shape, torch.long, device)
        made.grid, made.axis, made.other = grid, axis, TARGET + SOURCE - axis
        return made

    def lift(self, nodes: Tensor) -> EdgeTensor:
        """[B N, *trail] -> the value of every edge's node, without a copy."""
        shape = list(self.grid)
        shape[self.other] = 1
        return EdgeTensor(self.grid, ((nodes.reshape(*shape, *nodes.shape[1:]),),), nodes.shape[1:])

    def view(self, *shape: Any) -> IndexRow:
        shape = shape[0] if isinstance(shape[0], (tuple, list)) else shape
        if shape[0] not in (-1, self._shape[0]) or any(size != 1 for size in shape[1:]):
            raise no_rule(Tensor.view)
        return IndexRow(self.grid, self.axis, self._device, (self._shape[0], *shape[1:]))

    def expand_as(self, other: Tensor) -> IndexRow:
        if len(other.shape) != len(self._shape) or other.shape[0] != self._shape[0]:
            raise no_rule(Tensor.expand_as)
        return IndexRow(self.grid, self.axis, self._device, tuple(other.shape))

    def max(self) -> Tensor:
        return torch.tensor(self.grid[0] * self.grid[1] - 1)


class CompleteIndex(StandIn):
    """[2, B N N] edge index of B complete graphs; no edge is stored.

    Args:
        graphs: B.
        nodes: N, of each graph.
        device: of the node features.

    Raises:
        ValueError: a count is below one.
    """

    @staticmethod
    def __new__(cls, graphs: int, nodes: int, device: torch.device | str | None = None) -> CompleteIndex:
        if graphs < 1 or nodes < 1:
            raise ValueError(f"expected at least one graph and one node, got graphs={graphs} and nodes={nodes}")
        device = torch.get_default_device() if device is None else torch.device(device)
        grid = (graphs, nodes, nodes)
        made = cls.blank((2, graphs * nodes * nodes), torch.long, device)
        made.graphs, made.nodes, made.grid = graphs, nodes, grid
        made.rows = tuple(IndexRow(grid, axis, device, made._shape[1:]) for axis in (SOURCE, TARGET))
        return made

    def edges(self, values: Tensor) -> EdgeTensor:
        """Edge values [E], [E, k] or [B, N, N] as blocks.

        A convolution takes the ordinary tensor too; given this, its linear map of a one-dimensional ``edge_attr`` stays
        a product and is never written out at [E, D].
        """
        if values.dim() == 3 and tuple(values.shape) == self.grid and values.shape[0] != self._shape[1]:
            return EdgeTensor(self.grid, ((values,),))
        if values.dim() == 0 or values.shape[0] != self._shape[1]:
            raise ValueError(f"expected edge values of shape [{self._shape[1]}, ...] or {list(self.grid)}, got "
                             f"{list(values.shape)}")
        return EdgeTensor.of_rows(self.grid, values)

    def edge_list(self) -> Tensor:
        """The same edges as an ordinary [2, E] tensor, sorted by target."""
        node = torch.arange(self.graphs * self.nodes, device=self._device).view(self.graphs, self.nodes)
        rows = (node[:, None, :], node[:, :, None])
        return torch.stack([row.expand(self.grid).reshape(-1) for row in rows])

    def __getitem__(self, where: Any) -> Any:
        return self.rows[where] if type(where) is int else super().__getitem__(where)

    def __iter__(self) -> Iterator[IndexRow]:
        return iter(self.rows)

    def to(self, *args: Any, **kwargs: Any) -> CompleteIndex:
        device, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)
        if dtype not in (None, torch.long):
            raise no_rule(Tensor.to)
        return self if device is None else CompleteIndex(self.graphs, self.nodes, device)

    def __repr__(self, **_: Any) -> str:
        return f"CompleteIndex(graphs={self.graphs}, nodes={self.nodes})"
