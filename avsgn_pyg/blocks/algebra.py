"""Sums over products of broadcast blocks, by matrix products wherever no block need be written out.

A *block* is a tensor [B, I, J, *trail] over B graphs, I in {1, N} targets and J in {1, M} sources; a size of one
means "the same for all". A *term* is a tuple of blocks, standing for their product; values are sums of terms. Two
sums matter in message passing, and each has a form that never holds a number per edge and channel:
over an end, ``sum_j a_ij x_j`` (weighted aggregation), and over the last axis, ``sum_c q_ic k_jc`` (scores).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from avsgn_pyg.blocks.count import count_broadcast, count_matmul

Term = tuple[Tensor, ...]

#: Up to so many numbers an edge count as heads and are laid out one [N, M] matrix each, as softmax and matmul like it;
#: beyond, they count as channels and stay innermost.
HEADS = 16

TARGET, SOURCE = 1, 2


def broadcast(*shapes: Sequence[int]) -> tuple[int, ...]:
    """``torch.broadcast_shapes`` for shapes of one rank that fit, sixty times as fast."""
    return tuple(shapes[0]) if len(shapes) == 1 else tuple(map(max, *shapes))


def span(blocks: Iterable[Tensor]) -> tuple[int, ...]:
    """The shape of the blocks' product."""
    return broadcast(*[block.shape for block in blocks])


def grows(one: Tensor, two: Tensor) -> bool:
    """Whether writing out the product takes more room than its larger factor."""
    shape = tuple(map(max, one.shape, two.shape))
    return shape != one.shape and shape != two.shape


def merged(term: Term) -> Term:
    """The same product in as few factors as need no more room."""
    kept: list[Tensor] = []
    for block in term:
        for place, other in enumerate(kept):
            if not grows(block, other):
                kept[place] = other * block
                break
        else:
            kept.append(block)
    return tuple(kept)


def scaled(term: Term, by: int | float | Tensor) -> Term:
    """The term times a number, at the smallest factor's cost."""
    place = min(range(len(term)), key=lambda i: term[i].numel())
    return (*term[:place], term[place] * by, *term[place + 1:])


def count_given(edge: Any) -> Any:
    """Counts an edge value that came written out, with more than a number per edge."""
    if edge.trail and math.prod(edge.trail) > 1:
        count_broadcast("given", math.prod(edge.trail))
    return edge


def written_out(terms: tuple[Term, ...], why: str) -> Tensor:
    """The block of a sum of products; counted where it holds an entry per edge that no factor held."""
    blocks = [block for term in terms for block in term]
    if len(blocks) == 1:
        return blocks[0]
    shape = span(blocks)
    width = math.prod(shape[3:])
    larger = math.prod(shape) > max(block.numel() for block in blocks)
    if larger and shape[1] > 1 and shape[2] > 1:
        count_broadcast(why, width)
    few = larger and 1 < width <= HEADS
    total: Tensor | None = None
    for term in terms:
        product = _edges_last(term[0]).contiguous() if few else term[0]
        for block in term[1:]:
            product = product * (_edges_last(block) if few else block)
        total = product if total is None else total + product
    return _edges_first(total) if few else total


def _edges_last(block: Tensor) -> Tensor:
    return block if block.dim() == 3 else block.movedim((1, 2), (-2, -1))


def _edges_first(block: Tensor) -> Tensor:
    return block if block.dim() == 3 else block.movedim((-2, -1), (1, 2))


def softmax(block: Tensor, axis: int, exists: Tensor | None) -> Tensor:
    """Softmax over one end of a block; edges that do not exist weigh nothing, and an end without edges is all zero."""
    heads_first = math.prod(block.shape[3:]) <= HEADS
    if exists is not None:
        exists = _trailing(exists, block)
        block = block.masked_fill(~exists, torch.finfo(block.dtype).min)
    if heads_first:
        weight = _edges_first(_edges_last(block).softmax(axis - 3))
    else:
        weight = block.softmax(axis)
    return weight if exists is None else weight.masked_fill(~exists, 0)


def sum_over_end(term: Term, axis: int, count: int, exists: Tensor | None) -> Tensor:
    """[B, I, J, *trail] with size 1 at `axis`: the term summed over one end, which has `count` nodes."""
    other = TARGET + SOURCE - axis
    outside = [block for block in term if block.shape[axis] == 1]
    lone = [block for block in term if block.shape[axis] > 1 and block.shape[other] == 1]
    full = [block for block in term if block.shape[axis] > 1 and block.shape[other] > 1]
    if exists is not None:
        lone, full = _masked(lone, full, axis, exists, term[0])
    weights, values = _product(full), _product(lone)
    if weights is None and values is None:
        return _product(outside) * count
    if weights is None or values is None:
        total = (values if weights is None else weights).sum(axis, keepdim=True)
    else:
        total = _weighted_sum(weights, values, axis)
    total = total if not outside else total * _product(outside)
    # An end without edges may hold an infinity from 0 ** -0.5; filled, not multiplied, it stays out of gradients.
    return total if exists is None else total.masked_fill(~_trailing(exists.any(axis, keepdim=True), total), 0)


def _masked(lone: list[Tensor], full: list[Tensor], axis: int, exists: Tensor,
            like: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    other = TARGET + SOURCE - axis
    lone = [block.masked_fill(~_trailing(exists.any(other, keepdim=True), block), 0) for block in lone]
    if full:
        return lone, [full[0].masked_fill(~_trailing(exists, full[0]), 0), *full[1:]]
    return lone, [_trailing(exists, like).to(like.dtype)]


def _trailing(exists: Tensor, like: Tensor) -> Tensor:
    return exists.reshape(*exists.shape, *[1] * (like.dim() - 3))


def _product(blocks: list[Tensor]) -> Tensor | None:
    total = None
    for block in blocks:
        total = block if total is None else total * block
    return total


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
    if own == 3 and weights.dtype == values.dtype and len(weights) == len(values):
        matrix = weights.reshape(weights.shape[:3])
        matrix = matrix if axis == SOURCE else matrix.transpose(1, 2)
        stack = values.reshape(len(values), values.shape[axis], -1)
        shape = [*matrix.shape[:2], *columns]
        shape.insert(axis, 1)
        return torch.bmm(matrix, stack).to(weights.dtype).reshape(shape)
    heads = range(3, own)
    matrix = weights.reshape(weights.shape[:own]).permute(0, *heads, *((1, 2) if axis == SOURCE else (2, 1)))
    stack = values.flatten(own) if own < values.dim() else values.unsqueeze(-1)
    stack = stack.squeeze(TARGET + SOURCE - axis).movedim(1, -2)  # [B, *heads, J, columns]
    dtype = torch.promote_types(matrix.dtype, stack.dtype)
    total = torch.matmul(matrix.to(dtype), stack.to(dtype)).to(dtype)  # autocast may have answered in less
    total = total.movedim(-2, 1)  # [B, I, *heads, columns]
    return total.reshape(*total.shape[:own - 1], *columns).unsqueeze(axis)


def sum_over_last(term: Term) -> Term | None:
    """The term summed over its last axis, which is kept with size 1; None where it must be written out first."""
    narrow = tuple(block for block in term if block.shape[-1] == 1)
    wide = [block for block in term if block.shape[-1] > 1]
    if not wide:
        return narrow
    if any(block.shape[TARGET] > 1 and block.shape[SOURCE] > 1 for block in wide) and len(wide) > 1:
        return None
    sources = _product([block for block in wide if block.shape[SOURCE] > 1])
    targets = _product([block for block in wide if block.shape[SOURCE] == 1])
    if sources is None or targets is None or targets.shape[TARGET] == 1:
        both = [block for block in (sources, targets) if block is not None]
        return (*narrow, _product(both).sum(-1, keepdim=True))
    count_matmul("score")
    dtype = torch.promote_types(targets.dtype, sources.dtype)
    one = targets.squeeze(SOURCE).movedim(1, -2)  # [B, *heads, I, C]
    two = sources.squeeze(TARGET).movedim(1, -1)  # [B, *heads, C, J]
    score = torch.matmul(one.to(dtype), two.to(dtype)).to(dtype)
    return (*narrow, _edges_first(score).unsqueeze(-1))
