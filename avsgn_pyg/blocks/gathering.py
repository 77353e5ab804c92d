"""Rules of operations between nodes and edges: reading the nodes of every edge, and reducing edges per node."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avsgn_pyg.blocks import softmax
from avsgn_pyg.blocks.edges import EdgeTensor
from avsgn_pyg.blocks.index import IndexRow
from avsgn_pyg.blocks.softmax import NodeTensor, Note
from avsgn_pyg.blocks.standin import StandIn, rule


@rule("index_select")
def index_select(nodes: Any, dim: int, index: Any) -> Any:
    """``x.index_select(0, row)``: a view of the nodes instead of a copy per edge."""
    if not isinstance(index, IndexRow) or index.dim() != 1 or dim % nodes.dim() != 0:
        return NotImplemented
    if nodes.shape[0] != index.grid[0] * index.grid[1]:
        return NotImplemented
    if not isinstance(nodes, NodeTensor):
        return NotImplemented if isinstance(nodes, StandIn) else index.lift(nodes)
    note = nodes.note
    known = softmax.is_step(nodes, "max") or softmax.is_step(nodes, "sum")
    if not known or note.axis != index.other or note.score.grid != index.grid:
        return index.lift(nodes.plain())
    return note.score.later(lambda: index.lift(nodes.plain()).block("index_select"), note)


@rule("__getitem__")
def getitem(nodes: Any, where: Any) -> Any:
    return index_select(nodes, 0, where) if isinstance(where, IndexRow) else NotImplemented


def scattered(into: Any, dim: int, index: Any, values: Any) -> EdgeTensor | None:
    """The edge values of a scatter of whole rows into nodes; None for any other scatter."""
    if not isinstance(index, IndexRow) or (isinstance(into, StandIn) and not softmax.is_step(into, "zeros")):
        return None
    if isinstance(into, EdgeTensor) or dim % into.dim() != 0 or into.shape[0] != index.grid[0] * index.grid[1]:
        return None
    if index.shape != values.shape or into.shape[1:] != values.shape[1:]:
        return None
    if isinstance(values, StandIn):
        return values if isinstance(values, EdgeTensor) and values.grid == index.grid else None
    return EdgeTensor.of_rows(index.grid, values)


@rule("scatter_add_")
def scatter_add(into: Any, dim: int, index: Any, src: Any) -> Any:
    values = scattered(into, dim, index, src)
    if values is None:
        return NotImplemented
    if not isinstance(into, NodeTensor):
        return into.add_(values.sum_into(index.other))
    if softmax.is_step(values, "exp"):
        return softmax.total(into, values, index.other)
    return into.fill(values.sum_into(index.other))


@rule("scatter_reduce_")
def scatter_reduce(into: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True) -> Any:
    values = scattered(into, dim, index, src)
    if values is None or include_self or reduce not in ("amax", "amin") or not isinstance(into, NodeTensor):
        return NotImplemented
    if reduce == "amax" and softmax.is_step(values, "detached"):
        return softmax.maximum(into, values, index.other)
    return into.fill(values.extreme_into(index.other, reduce))


@rule("new_zeros")
def new_zeros(value: StandIn, *size: Any, dtype: Any = None, device: Any = None) -> NodeTensor:
    """Zeros that a scatter may replace instead of adding to them."""
    shape = tuple(size[0]) if isinstance(size[0], (tuple, list)) else size
    dtype, device = dtype or value.dtype, torch.device(device or value.device)
    return NodeTensor(shape, dtype, device, lambda: torch.zeros(shape, dtype=dtype, device=device), Note("zeros"))


@rule("new_ones")
def new_ones(value: StandIn, *size: Any, dtype: Any = None, device: Any = None) -> Tensor:
    return torch.ones(*size, dtype=dtype or value.dtype, device=device or value.device)
