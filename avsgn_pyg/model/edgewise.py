"""Two products along a list of edges, each the other's gradient; neither writes out a row for every edge.

A score is the product of the rows at an edge's two ends; a sum is what its target hears. Eq. 7 needs the one, layers
that weigh their sources and add them up (Eq. 8) the other. A row an edge, D times the edge list, is what costs on a
CPU: beyond some 32 MiB the allocator takes it from the system and hands it back every time, and all its pages are made
anew. So on a CPU the sparse kernels of torch run, which read both ends in place; elsewhere rows are gathered for
:data:`CHUNK` numbers at once.

Letters: M nodes, E edges, D width. Edges are (source, target), sorted by target.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

#: Numbers gathered at once where there is no kernel.
CHUNK = 2**22


def edge_scores(asked: Float[Tensor, "M D"], told: Float[Tensor, "M D"],
                index: Int[Tensor, "2 E"]) -> Float[Tensor, "E"]:
    """``asked[target] . told[source]`` for every edge."""
    return _Scores.apply(asked, told, index)


def weighted_sum(x: Float[Tensor, "M D"], weight: Float[Tensor, "E"],
                 index: Int[Tensor, "2 E"]) -> Float[Tensor, "M D"]:
    """``sum_j weight_ij x_j`` over the edges j -> i of every node i, in the wider of the two dtypes."""
    dtype = torch.promote_types(x.dtype, weight.dtype)
    return _Sums.apply(x.to(dtype), weight.to(dtype), index)


class _Function(torch.autograd.Function):
    """Keeps what it was given; ``torch.func.grad`` may pass, ``vmap`` may not."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)


class _Scores(_Function):
    @staticmethod
    def forward(asked: Tensor, told: Tensor, index: Tensor) -> Tensor:
        if _has_kernels(asked):
            nothing = _matrix(index, asked.new_zeros(index.shape[1]), len(asked))
            return torch.sparse.sampled_addmm(nothing, asked, told.T, beta=0.0).values()
        return torch.cat([(asked[part[1]] * told[part[0]]).sum(-1) for part in _parts(index, asked.shape[1])])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        asked, told, index = ctx.saved_tensors
        of_asked, of_told, _ = ctx.needs_input_grad
        return (weighted_sum(told, gradient, index) if of_asked else None,
                weighted_sum(asked, *_turned(gradient, index)) if of_told else None, None)


class _Sums(_Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, index: Tensor) -> Tensor:
        if _has_kernels(x):
            return torch.sparse.mm(_matrix(index, weight, len(x)), x, "sum")
        out, parts = torch.zeros_like(x), _parts(index, x.shape[1])
        for part, share in zip(parts, weight.split([part.shape[1] for part in parts]), strict=True):
            out.index_add_(0, part[1], share[:, None] * x[part[0]])
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, index = ctx.saved_tensors
        of_x, of_weight, _ = ctx.needs_input_grad
        return (weighted_sum(gradient, *_turned(weight, index)) if of_x else None,
                edge_scores(gradient, x, index) if of_weight else None, None)


def _turned(weight: Float[Tensor, "E"], index: Int[Tensor, "2 E"]) -> tuple[Tensor, Tensor]:
    """The same edges the other way round, sorted again."""
    order = index[0].argsort(stable=True)
    return weight[order], torch.stack((index[1].index_select(0, order), index[0].index_select(0, order)))


def _has_kernels(rows: Tensor) -> bool:
    return rows.device.type == "cpu" and rows.dtype in (torch.float32, torch.float64)


def _matrix(index: Int[Tensor, "2 E"], weight: Float[Tensor, "E"], nodes: int) -> Tensor:
    _hear_the_warning()
    start = index.new_zeros(nodes + 1)
    torch.cumsum(torch.bincount(index[1], minlength=nodes), 0, out=start[1:])
    return torch.sparse_csr_tensor(start, index[0].contiguous(), weight, (nodes, nodes), check_invariants=False)


@functools.cache
def _hear_the_warning() -> None:
    """torch says once in a process that this layout is in beta; two kernels of it are used here, and tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor(torch.zeros(2, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), torch.zeros(0),
                                (1, 1))


def _parts(index: Int[Tensor, "2 E"], width: int) -> tuple[Tensor, ...]:
    return index.split(max(CHUNK // width, 1), dim=1)
