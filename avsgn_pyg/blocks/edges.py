"""Values on the edges of complete graphs, kept as sums of products of broadcast blocks until somebody needs them all.

``x[index[0]]`` is such a value: one block [B, 1, M, D] instead of [B N M, D] rows. Times an edge weight it is a term
of two blocks; summed over the sources, a matrix product. What no algebra covers (``relu(x_i + x_j)``) is written out as
one block [B, N, M, D], by broadcasting and without an index.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from avsgn_pyg.blocks import algebra
from avsgn_pyg.blocks.algebra import SOURCE, TARGET, Term
from avsgn_pyg.blocks.rules import dispatch
from avsgn_pyg.blocks.standin import StandIn

#: Longest sum that is kept as terms; beyond, it is written out.
TERMS = 6


class EdgeTensor(StandIn):
    """[E, *trail] with E = B N M, standing for the values of every edge; made by lifting nodes or by ``index.edges``.

    Attributes:
        index: whose edges these are.
        trail: the shape of one edge's value; blocks may be narrower, a size of one standing for all.
        family: what shares its memory on real edges, if anything does; see :mod:`avsgn_pyg.blocks.sharing`.
        meaning: what the value is known to be, for the softmax that PyG writes as five operations; see
            :mod:`avsgn_pyg.blocks.softmax`.
    """

    @staticmethod
    def __new__(cls, index: Any, terms: tuple[Term, ...], trail: Sequence[int] | None = None) -> EdgeTensor:
        if trail is None:
            trail = algebra.span([block for term in terms for block in term])[3:]
        dtypes = {block.dtype for term in terms for block in term}
        dtype = dtypes.pop() if len(dtypes) == 1 else functools.reduce(torch.promote_types, dtypes)
        return cls._made(index, trail, dtype, terms[0][0].device, terms=terms)

    @classmethod
    def _made(cls, index: Any, trail: Sequence[int], dtype: torch.dtype, device: torch.device, *, terms: Any = None,
              parts: Any = None, make: Any = None, meaning: Any = None) -> EdgeTensor:
        made = cls.blank((index.edge_count, *trail), dtype, device)
        made.index, made.trail, made.meaning, made.family = index, tuple(trail), meaning, None
        made._terms, made._parts, made._make, made.edits = terms, parts, make, 0
        return made

    kind = "edges"

    __torch_function__ = classmethod(dispatch)

    @property
    def complete(self) -> Any:
        return self.index

    @classmethod
    def later(cls, like: EdgeTensor, make: Callable[[], Tensor], meaning: Any = None) -> EdgeTensor:
        """A value like another in shape and dtype, whose block is made when first asked for."""
        return cls._made(like.index, like.trail, like._dtype, like._device, make=make, meaning=meaning)

    @classmethod
    def joined(cls, parts: Sequence[EdgeTensor]) -> EdgeTensor:
        """Concatenation along the last axis; a linear map over it never writes it out."""
        trail = (*parts[0].trail[:-1], sum(part.trail[-1] for part in parts))
        dtype = functools.reduce(torch.promote_types, [part._dtype for part in parts])
        return cls._made(parts[0].index, trail, dtype, parts[0]._device, parts=tuple(parts))

    def plain(self) -> Tensor:
        block = self.block("plain").expand(*self.index.block_shape, *self.trail)
        return block.reshape(self._shape)

    @property
    def terms(self) -> tuple[Term, ...]:
        if self._terms is None:
            self.block("cat")
        return self._terms

    def block(self, why: str) -> Tensor:
        """[B, I, J, *trail], computed once; I and J of one stand for all."""
        if self._terms is None:
            made = self._make() if self._parts is None else self._concatenated(why)
        elif len(self._terms) == 1 and len(self._terms[0]) == 1:
            made = self._terms[0][0]
            if made.shape[3:] == self.trail:
                return made
        else:
            made = algebra.written_out(self._terms, why)
        if made.shape[3:] != self.trail:
            made = made.expand(*made.shape[:3], *self.trail)
        self._terms, self._parts, self._make = ((made,),), None, None
        return made

    def _concatenated(self, why: str) -> Tensor:
        blocks = [part.block(why) for part in self._parts]
        shape = torch.broadcast_shapes(*(block.shape[:3] for block in blocks))
        if shape[TARGET] > 1 and shape[SOURCE] > 1:
            algebra.count_broadcast(why, math.prod(self.trail))
        return torch.cat([block.expand(*shape, *block.shape[3:]) for block in blocks], -1)

    def written(self, func: Any, args: tuple, kwargs: dict) -> EdgeTensor:
        values = self.plain().clone()
        func(values, *args, **kwargs)
        return self.adopt(self.index.edges(values))

    def adopt(self, other: EdgeTensor) -> EdgeTensor:
        """Takes another's value, as do its views; :class:`FallbackError` where a part of it is in use elsewhere."""
        if self.family is not None:
            self.family.write(self, other)
        return self.take(other)

    def take(self, other: EdgeTensor) -> EdgeTensor:
        self._terms, self._parts, self._make, self.meaning = other._terms, other._parts, other._make, None
        self.edits += 1
        return self

    # --- Algebra -------------------------------------------------------------------------------------

    def of(self, *terms: Term, trail: Sequence[int] | None = None) -> EdgeTensor:
        return EdgeTensor(self.index, terms, trail)

    def map(self, func: Callable[[Tensor], Tensor], why: str) -> EdgeTensor:
        """An operation on every edge's value by itself."""
        return self.of((func(self.block(why)),))

    def aligned(self, other: Any) -> EdgeTensor | int | float | Tensor | None:
        """`other` as broadcasting against [E, *trail] reads it: per edge, per channel, a number; None if neither."""
        if isinstance(other, EdgeTensor):
            same = other.index.block_shape == self.index.block_shape and len(other.trail) == len(self.trail)
            return other if same else None
        if isinstance(other, StandIn):
            return None
        if not isinstance(other, Tensor) or other.dim() == 0:
            return other
        rank = len(self._shape)
        if other.dim() == rank and other.shape[0] == self._shape[0]:
            return algebra.count_given(self.index.edges(other))
        if other.dim() > rank or (other.dim() == rank and other.shape[0] != 1):
            return None
        trail = other.shape[1:] if other.dim() == rank else other.shape
        return self.of((other.reshape((1,) * (rank + 2 - len(trail)) + tuple(trail)),))

    def times(self, other: EdgeTensor | int | float | Tensor) -> EdgeTensor:
        if not isinstance(other, EdgeTensor):
            return self.of(*(algebra.scaled(term, other) for term in self.terms), trail=self.trail)
        one, two = self.terms, other.terms
        if len(one) > 1 and len(two) > 1:
            # Multiplied out, (x_i - x_j) (x_i - x_j) would cancel badly.
            return self.of((self.block("mul") * other.block("mul"),))
        trail = algebra.broadcast(self.trail, other.trail)
        return self.of(*(algebra.merged((*a, *b)) for a in one for b in two), trail=trail)

    def plus(self, other: EdgeTensor, sign: int = 1) -> EdgeTensor:
        one, two = self.terms, other.terms
        if len(one) == len(two) == len(one[0]) == len(two[0]) == 1 and not algebra.grows(one[0][0], two[0][0]):
            total = one[0][0] + two[0][0] if sign > 0 else one[0][0] - two[0][0]
            return self.of((total,), trail=algebra.broadcast(self.trail, other.trail))
        if len(one) + len(two) > TERMS:
            one, two = ((self.block("add"),),), ((other.block("add"),),)
        trail = algebra.broadcast(self.trail, other.trail)
        return self.of(*one, *(two if sign > 0 else (algebra.scaled(term, -1) for term in two)), trail=trail)

    def linear(self, weight: Tensor, bias: Tensor | None) -> EdgeTensor:
        """``F.linear`` over the last axis; over nodes wherever the value comes from nodes."""
        total, start = None, 0
        for part in self._parts or (self,):
            columns = weight if self._parts is None else weight[:, start:start + part.trail[-1]]
            start += part.trail[-1]
            mapped = part._linear(columns, bias if total is None else None)
            total = mapped if total is None else total.plus(mapped)
        return total

    def _linear(self, weight: Tensor, bias: Tensor | None) -> EdgeTensor:
        if self.trail[-1] == 1 and weight.shape[1] == 1:
            row = weight.view((1,) * (len(self.trail) + 2) + (-1,))
            terms = tuple((*term, row) for term in self.terms)
            if torch.is_autocast_enabled(self.device.type):  # a linear map is among what it lowers
                dtype = torch.get_autocast_dtype(self.device.type)
                terms = tuple(tuple(block.to(dtype) for block in term) for term in terms)
            out = self.of(*terms, trail=(*self.trail[:-1], len(weight)))
            return out if bias is None else out.plus(self.of((bias.view_as(row),)))
        terms = list(self.terms)
        wide = [[block for block in term if block.shape[-1] == weight.shape[1]] for term in terms]
        if any(len(found) != 1 for found in wide):
            terms = [(self.block("linear"),)]
            wide = [list(terms[0])]
        mapped = [F.linear(found[0], weight, bias if len(term) == 1 and place == 0 else None)
                  for place, (term, found) in enumerate(zip(terms, wide, strict=True))]
        terms_out = (tuple(new if block is found[0] else block for block in term)
                     for term, found, new in zip(terms, wide, mapped, strict=True))
        out = self.of(*terms_out, trail=(*self.trail[:-1], len(weight)))
        if bias is not None and len(terms[0]) > 1:
            out = out.plus(self.of((bias.view((1,) * (len(self.trail) + 2) + (-1,)),)))
        return out

    def view_trail(self, trail: Sequence[int]) -> EdgeTensor:
        """Another shape of every edge's value."""
        own, rank = self.trail, len(trail)
        if all(block.shape[3:].numel() == 1 or block.shape[3:] == own for term in self.terms for block in term):
            return self.of(*(tuple(block.reshape(*block.shape[:3], *(trail if block.shape[3:] == own else (1,) * rank))
                                   for block in term) for term in self.terms), trail=trail)
        block = self.block("view")
        return self.of((block.reshape(*block.shape[:3], *trail),))

    def unsqueeze_trail(self, dim: int) -> EdgeTensor:
        return self.of(*(tuple(block.unsqueeze(dim) for block in term) for term in self.terms),
                       trail=torch.empty(self.trail, device="meta").unsqueeze(dim).shape)

    def sum_last(self, *, keepdim: bool) -> EdgeTensor:
        """Sum over the last axis: scores q_i k_j become a matrix product."""
        terms = [algebra.sum_over_last(self._spread(term)) for term in self.terms]
        if any(term is None for term in terms):
            return self.map(lambda block: block.sum(-1, keepdim=keepdim), "sum")
        if not keepdim:
            terms = [tuple(block.squeeze(-1) for block in term) for term in terms]
        return self.of(*map(algebra.merged, terms), trail=(*self.trail[:-1], *[1] * keepdim))

    def _spread(self, term: Term) -> Term:
        """The term with its last axis as wide as the trail says, where broadcasting made it one."""
        if all(block.shape[-1] == 1 for block in term) and self.trail[-1] > 1:
            return (term[0].expand(*term[0].shape[:-1], self.trail[-1]), *term[1:])
        return term

    # --- Over an end ---------------------------------------------------------------------------------

    def sum_into(self, axis: int) -> Tensor:
        """[nodes, *trail]: the sum over every node's edges; `axis` is the end that is summed away."""
        if self._parts is not None:
            return torch.cat([part.sum_into(axis) for part in self._parts], -1)
        count = self.index.block_shape[axis]
        sums = [algebra.sum_over_end(term, axis, count, self.index.exists) for term in self.terms]
        return self.per_node(functools.reduce(torch.add, sums), axis)

    def extreme_into(self, axis: int, name: str) -> Tensor:
        """[nodes, *trail]: amax or amin over the edges that exist, 0 where there is none."""
        block, exists = self.block(name), self.index.exists
        if exists is None:
            return self.per_node(getattr(block, name)(axis, keepdim=True), axis)
        algebra.count_broadcast(name, math.prod(self.trail))
        exists = exists.reshape(*exists.shape, *[1] * len(self.trail))
        worst = torch.finfo(block.dtype).min if name == "amax" else torch.finfo(block.dtype).max
        found = getattr(block.masked_fill(~exists, worst), name)(axis, keepdim=True)
        return self.per_node(found.masked_fill(~exists.any(axis, keepdim=True), 0), axis)

    def per_node(self, block: Tensor, axis: int) -> Tensor:
        """[B, I, J, *trail] with size one at `axis` as [nodes, *trail]."""
        shape = list(self.index.block_shape)
        shape[axis] = 1
        # Contiguous, as a scatter's answer is: convolutions view it.
        if block.shape != (*shape, *self.trail):
            block = block.expand(*shape, *self.trail)
        return block.reshape(-1, *self.trail).contiguous()
