"""Rules of operations on the axes after the edges: views, sums over channels, concatenation, linear maps."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from avsgn_pyg.blocks import algebra
from avsgn_pyg.blocks.algebra import Term
from avsgn_pyg.blocks.count import FallbackError
from avsgn_pyg.blocks.edges import EdgeTensor
from avsgn_pyg.blocks.index import CompleteIndex, IndexRow
from avsgn_pyg.blocks.standin import StandIn, rule


def from_end(edge: Any, dim: Any, rank: int = 0) -> int | None:
    """An axis of [E, *trail] as a negative number, which is the same in a block; None for the axis of edges."""
    rank = rank or len(edge.shape)
    if not isinstance(edge, EdgeTensor) or type(dim) is not int or dim % rank == 0:
        return None
    return dim if dim < 0 else dim - rank


@rule("view", "reshape")
def view(edge: Any, *shape: Any) -> Any:
    shape = list(shape[0]) if isinstance(shape[0], (list, tuple)) else list(shape)
    if not isinstance(edge, EdgeTensor) or not all(type(size) is int for size in shape):
        return NotImplemented
    if -1 in shape[1:]:
        place = shape.index(-1, 1)
        shape[place] = math.prod(edge.trail) // max(1, math.prod(size for size in shape[1:] if size != -1))
    if shape[0] not in (-1, edge.shape[0]) or math.prod(shape[1:]) != math.prod(edge.trail):
        return NotImplemented
    return with_trail(edge, shape[1:])


def with_trail(edge: EdgeTensor, trail: list[int]) -> EdgeTensor:
    """Another shape of every edge's value."""
    own, ones = edge.trail, [1] * len(trail)
    if all(block.shape[3:].numel() == 1 or block.shape[3:] == own for term in edge.terms for block in term):
        return edge.each_factor(
            lambda block: block.reshape(*block.shape[:3], *(trail if block.shape[3:] == own else ones)), trail)
    return edge.map(lambda block: block.reshape(*block.shape[:3], *trail), "view")


@rule("flatten")
def flatten(edge: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    start = from_end(edge, start_dim)
    if start is None or end_dim not in (-1, len(edge.shape) - 1):
        return NotImplemented
    kept = edge.trail[:start]
    return with_trail(edge, [*kept, math.prod(edge.trail[len(kept):])])


@rule("unsqueeze")
def unsqueeze(edge: Any, dim: int) -> Any:
    dim = from_end(edge, dim, len(edge.shape) + 1)
    if dim is None:
        return NotImplemented
    place = len(edge.trail) + 1 + dim
    return edge.each_factor(lambda block: block.unsqueeze(dim), (*edge.trail[:place], 1, *edge.trail[place:]))


@rule("squeeze")
def squeeze(edge: Any, dim: int) -> Any:
    dim = from_end(edge, dim)
    if dim is None or edge.trail[dim] != 1:
        return NotImplemented
    place = len(edge.trail) + dim
    return edge.of(*(tuple(block.squeeze(dim) for block in term) for term in edge.terms),
                   trail=(*edge.trail[:place], *edge.trail[place + 1:]))


@rule("sum")
def total(edge: Any, dim: Any = None, keepdim: bool = False) -> Any:
    dim = from_end(edge, dim[0] if isinstance(dim, (list, tuple)) and len(dim) == 1 else dim)
    if dim is None:
        return NotImplemented
    if dim != -1:
        return edge.map(lambda block: block.sum(dim, keepdim=keepdim), "sum")
    terms = [algebra.sum_over_channels(_as_wide(term, edge.trail[-1])) for term in edge.terms]
    if any(term is None for term in terms):
        return edge.map(lambda block: block.sum(-1, keepdim=keepdim), "sum")
    if not keepdim:
        terms = [tuple(block.squeeze(-1) for block in term) for term in terms]
    return edge.of(*terms, trail=(*edge.trail[:-1], *[1] * keepdim))


def _as_wide(term: Term, channels: int) -> Term:
    """The term with as many channels as the value that it is part of."""
    if channels > 1 and all(block.shape[-1] == 1 for block in term):
        return (term[0].expand(*term[0].shape[:-1], channels), *term[1:])
    return term


@rule("mean")
def mean(edge: Any, dim: Any = None, keepdim: bool = False) -> Any:
    if from_end(edge, dim) is None:
        return NotImplemented
    return total(edge, dim, keepdim).scale(lambda block: block / edge.shape[dim])


@rule("softmax")
def softmax(edge: Any, dim: Any = None, *, _stacklevel: int = 3, dtype: Any = None) -> Any:
    dim = from_end(edge, dim)
    return NotImplemented if dim is None else edge.map(lambda block: block.softmax(dim, dtype), "softmax")


@rule("cat", "concat")
def cat(tensors: Any, dim: int = 0) -> Any:
    if any(isinstance(tensor, (CompleteIndex, IndexRow)) for tensor in tensors):
        raise FallbackError("expected edge values in torch.cat, got an index, which stores no numbers; for a batch of "
                            "graphs of one size use CompleteIndex(graphs=THEIR NUMBER, nodes=N), else concatenate what "
                            "CompleteIndex.edge_list() returns")
    edge = next((tensor for tensor in tensors if isinstance(tensor, EdgeTensor)), None)
    if edge is None or from_end(edge, dim) != -1:
        return NotImplemented
    parts = [edge.align(tensor) for tensor in tensors]
    fits = all(isinstance(part, EdgeTensor) and part.shape[0] == tensor.shape[0] and part.trail[:-1] == edge.trail[:-1]
               for part, tensor in zip(parts, tensors, strict=True))
    return EdgeTensor.concatenate(parts) if fits else NotImplemented


@rule("linear")
def linear(edge: Any, weight: Tensor, bias: Tensor | None = None) -> Any:
    """A linear map of the last axis; applied to the nodes if the value is a node's."""
    if not isinstance(edge, EdgeTensor) or isinstance(weight, StandIn) or not edge.trail:
        return NotImplemented
    if weight.dim() != 2 or weight.shape[1] != edge.trail[-1]:
        return NotImplemented
    parts = edge.parts or (edge,)
    columns = weight.split([part.trail[-1] for part in parts], 1) if edge.parts else (weight,)
    out = _linear(parts[0], columns[0], bias)
    for part, own in zip(parts[1:], columns[1:], strict=True):
        out = out.plus(_linear(part, own, None))
    return out


def _linear(edge: EdgeTensor, weight: Tensor, bias: Tensor | None) -> EdgeTensor:
    trail = (*edge.trail[:-1], len(weight))
    if weight.shape[1] == 1:
        return _linear_of_number(edge, weight, bias, trail)
    terms = edge.terms
    wide = [[block for block in term if block.shape[-1] == weight.shape[1]] for term in terms]
    if any(len(found) != 1 for found in wide):
        terms = ((edge.block("linear"),),)
        wide = [terms[0]]
    alone = len(terms[0]) == 1  # the bias can be part of this map
    out = []
    for place, (term, (channels,)) in enumerate(zip(terms, wide, strict=True)):
        mapped = F.linear(channels, weight, bias if alone and place == 0 else None)
        out.append(tuple(mapped if block is channels else block for block in term))
    made = edge.of(*out, trail=trail)
    return made if bias is None or alone else made.plus(made.align(bias))


def _linear_of_number(edge: EdgeTensor, weight: Tensor, bias: Tensor | None, trail: tuple[int, ...]) -> EdgeTensor:
    """The map of one channel: a product that is not written out."""
    row = weight.view((1,) * (len(edge.trail) + 2) + (-1,))
    terms = tuple((*term, row) for term in edge.terms)
    kind = edge.device.type
    # Autocast computes linear maps in a narrower dtype; the meta device has none.
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        terms = tuple(tuple(block.to(dtype) for block in term) for term in terms)
    out = edge.of(*terms, trail=trail)
    return out if bias is None else out.plus(out.align(bias))


@rule("matmul", "__matmul__")
def matmul(edge: Any, weight: Any) -> Any:
    """``x @ W`` with one matrix for all edges."""
    return linear(edge, weight.t()) if isinstance(weight, Tensor) and weight.dim() == 2 else NotImplemented
