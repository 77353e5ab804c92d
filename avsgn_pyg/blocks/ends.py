"""One row of a complete index: lifting by it is a view, and nothing of it is stored."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avsgn_pyg.blocks.algebra import SOURCE, TARGET
from avsgn_pyg.blocks.edges import EdgeTensor
from avsgn_pyg.blocks.rules import dispatch
from avsgn_pyg.blocks.standin import StandIn


class End(StandIn):
    """One row of the index: every edge's source, or every edge's target."""

    kind = "end"

    @staticmethod
    def __new__(cls, index: Any, axis: int, shape: tuple[int, ...] | None = None) -> End:
        made = cls.blank(shape or (index.edge_count,), torch.long, index.device)
        made.index, made.axis, made.other = index, axis, TARGET + SOURCE - axis
        made.nodes = index.block_shape[0] * index.block_shape[axis]
        return made

    __torch_function__ = classmethod(dispatch)

    @property
    def complete(self) -> Any:
        return self.index

    def lift(self, nodes: Tensor) -> EdgeTensor:
        """[nodes, *trail] -> every edge's node's value, without a copy."""
        shape = list(self.index.block_shape)
        shape[self.other] = 1
        return EdgeTensor(self.index, ((nodes.reshape(*shape, *nodes.shape[1:]),),), nodes.shape[1:])

    def every_edge(self, operation: str) -> Tensor:
        self.index.every_edge(operation)
        return self.plain()

    def plain(self) -> Tensor:
        row = self.index.plain()[0 if self.axis == SOURCE else 1]
        return row.view(-1, *[1] * (len(self.shape) - 1)).expand(self.shape)

    def view(self, *shape: Any) -> Any:
        shape = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        if shape[0] not in (-1, self.shape[0]) or any(size != 1 for size in shape[1:]):
            return self.every_edge("view").view(shape)
        return End(self.index, self.axis, (self.shape[0], *shape[1:]))

    reshape = view

    def __deepcopy__(self, memo: dict) -> Tensor:
        return self.every_edge("deepcopy").__deepcopy__(memo)

    def __reduce_ex__(self, protocol: int) -> Any:
        return self.every_edge("pickle").__reduce_ex__(protocol)

    def expand_as(self, other: Tensor) -> Any:
        return self.expand(*other.shape)

    def expand(self, *shape: Any) -> Any:
        shape = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        wanted = tuple(own if size == -1 else size for own, size in zip(self.shape, shape, strict=True))
        if wanted[0] != self.shape[0]:
            return self.every_edge("expand").expand(shape)
        return End(self.index, self.axis, wanted)

    def max(self, *args: Any, **kwargs: Any) -> Any:
        return self.every_edge("max").max(*args, **kwargs) if args or kwargs else torch.tensor(self.nodes - 1)

    def min(self, *args: Any, **kwargs: Any) -> Any:
        return self.every_edge("min").min(*args, **kwargs) if args or kwargs else torch.tensor(0)
