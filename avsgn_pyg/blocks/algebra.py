"""Sums over products of broadcast tensors, computed by matrix products wherever no entry per edge is needed.

A *block* is a tensor [B, I, J, *trail] over B graphs, I in {1, N} targets and J in {1, N} sources; a size of one means
that the value is the same for all. A *term* is a tuple of blocks and means their product; an edge value is a sum of
terms. Two sums of message passing have a form that never stores a number per edge and channel: over the sources or the
targets, ``sum_j a_ij x_j`` (weighted aggregation), and over the channels, ``sum_c q_ic k_jc`` (attention scores).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from avsgn_pyg.blocks.count import count_broadcast, count_matmul

Term = tuple[Tensor, ...]

#: Up to this many numbers per edge are stored as one [N, N] matrix each, the layout in which softmax and matmul are
#: fastest; more are channels and stay the innermost axis.
HEADS = 16

#: Axes of a block.
TARGET, SOURCE = 1, 2


def broadcast(*shapes: Sequence[int]) -> tuple[int, ...]:
    """``torch.broadcast_shapes`` for non-empty shapes of one rank that fit; much faster."""
    return tuple(shapes[0]) if len(shapes) == 1 else tuple(map(max, *shapes))


def span(blocks: Iterable[Tensor]) -> tuple[int, ...]:
    """The shape of the product of the blocks."""
    return broadcast(*[block.shape for block in blocks])


def grows(one: Tensor, two: Tensor) -> bool:
    """Whether the product is larger than both factors."""
    return span((one, two)) not in (one.shape, two.shape)


def scale(term: Term, operation: Callable[[Tensor], Tensor]) -> Term:
    """Apply a multiplication to the smallest factor of the term."""
    place = min(range(len(term)), key=lambda i: term[i].numel())
    return (*term[:place], operation(term[place]), *term[place + 1:])


def write_out(terms: tuple[Term, ...], name: str) -> Tensor:
    """Compute a sum of products as one block; count it if it has an entry per edge that no factor has."""
    blocks = [block for term in terms for block in term]
    if len(blocks) == 1:
        return blocks[0]
    shape = span(blocks)
    width, larger = math.prod(shape[3:]), math.prod(shape) > max(block.numel() for block in blocks)
    if larger and shape[TARGET] > 1 and shape[SOURCE] > 1:
        count_broadcast(name, width)
    if larger and 1 < width <= HEADS:
        terms = tuple((_edges_last(term[0]).contiguous(), *map(_edges_last, term[1:])) for term in terms)
        return _edges_first(_sum_products(terms))
    return _sum_products(terms)


def _sum_products(terms: tuple[Term, ...]) -> Tensor:
    total = _product(terms[0])
    for term in terms[1:]:
        # One pass over memory instead of two.
        fused = len(term) == 2 and total.dtype == term[0].dtype == term[1].dtype
        total = torch.addcmul(total, *term) if fused else total + _product(term)
    return total


def _product(blocks: Sequence[Tensor]) -> Tensor | None:
    total = None
    for block in blocks:
        total = block if total is None else total * block
    return total


def _edges_last(block: Tensor) -> Tensor:
    return block if block.dim() == 3 else block.movedim((1, 2), (-2, -1))


def _edges_first(block: Tensor) -> Tensor:
    return block if block.dim() == 3 else block.movedim((-2, -1), (1, 2))


def softmax(block: Tensor, axis: int) -> Tensor:
    """Softmax over the targets or the sources of a block."""
    if math.prod(block.shape[3:]) > HEADS:
        return block.softmax(axis)
    return _edges_first(_edges_last(block).softmax(axis - 3))


def sum_over_nodes(term: Term, axis: int, nodes: int) -> Tensor:
    """[B, I, J, *trail] with size one at `axis`: the term summed over the targets or the sources of each graph."""
    other = TARGET + SOURCE - axis
    constant = _product([block for block in term if block.shape[axis] == 1])
    values = _product([block for block in term if block.shape[axis] > 1 and block.shape[other] == 1])
    weights = [block for block in term if block.shape[axis] > 1 and block.shape[other] > 1]
    if not weights:
        total = None if values is None else values.sum(axis, keepdim=True)
    elif values is None:
        total = _sum_messages(weights, axis)
    else:
        total = _weighted_sum(_product(weights), values, axis)
    if total is None:
        return constant * nodes
    return total if constant is None else total * constant


def _sum_messages(blocks: list[Tensor], axis: int) -> Tensor:
    """The sum of products of blocks with an entry per edge; ``sum_j w_ij m_ijd`` is a matrix product if m is wide."""
    weight, message = min(blocks, key=Tensor.numel), max(blocks, key=Tensor.numel)
    wide = weight.shape[3:].numel() == 1 and message.shape[3:].numel() > HEADS
    if len(blocks) != 2 or axis != SOURCE or not wide:
        return _product(blocks).sum(axis, keepdim=True)
    count_matmul("sum")
    total = _matmul(weight.reshape(*weight.shape[:2], 1, -1), message.flatten(3))
    return total.reshape(*message.shape[:2], 1, *message.shape[3:])


def _weighted_sum(weights: Tensor, values: Tensor, axis: int) -> Tensor:
    """``sum_j weights_ij values_j``; trailing axes that only the values have become the columns of a matrix product."""
    own = values.dim()
    while own > 3 and weights.shape[own - 1] == 1:
        own -= 1
    columns = values.shape[own:]
    if own > 3 and math.prod(columns) == 1:
        if grows(weights, values):
            count_broadcast("sum", math.prod(span((weights, values))[3:]))
        return (weights * values).sum(axis, keepdim=True)
    count_matmul("sum")
    matrix = _edges_last(weights.reshape(weights.shape[:own]))
    stack = values.reshape(len(values), values.shape[axis], *values.shape[3:own], -1)
    stack = stack if own == 3 else stack.movedim(1, -2)  # [B, *heads, J, columns]
    total = _matmul(matrix if axis == SOURCE else matrix.mT, stack)
    total = total if own == 3 else total.movedim(-2, 1)  # [B, I, *heads, columns]
    shape = [*total.shape[:own - 1], *columns]
    return total.reshape(*shape[:axis], 1, *shape[axis:])


def sum_over_channels(term: Term) -> Term | None:
    """The term summed over its last axis (kept as size 1); None if the term must be materialized first."""
    narrow = tuple(block for block in term if block.shape[-1] == 1)
    wide = [block for block in term if block.shape[-1] > 1]
    if not wide:
        return narrow
    if len(wide) > 1 and any(block.shape[TARGET] > 1 and block.shape[SOURCE] > 1 for block in wide):
        return None
    sources = _product([block for block in wide if block.shape[SOURCE] > 1])
    targets = _product([block for block in wide if block.shape[SOURCE] == 1])
    if sources is None or targets is None or targets.shape[TARGET] == 1:
        return (*narrow, _product([block for block in (sources, targets) if block is not None]).sum(-1, keepdim=True))
    count_matmul("score")
    query = targets.squeeze(SOURCE).movedim(1, -2)  # [B, *heads, I, C]
    key = sources.squeeze(TARGET).movedim(1, -1)  # [B, *heads, C, J]
    return (*narrow, _edges_first(_matmul(query, key)).unsqueeze(-1))


def _matmul(one: Tensor, two: Tensor) -> Tensor:
    """A matrix product, returned in the wider dtype of its factors even where autocast computes in a narrower one."""
    dtype = one.dtype if one.dtype == two.dtype else torch.promote_types(one.dtype, two.dtype)
    plain = one.dim() == 3 and len(one) == len(two)  # bmm has less overhead than matmul
    return (torch.bmm if plain else torch.matmul)(one.to(dtype), two.to(dtype)).to(dtype)
