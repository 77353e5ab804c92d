"""A value per edge of complete graphs, stored as a sum of products of broadcast blocks until it is needed.

``x[index[0]]`` is such a value: one block [B, 1, N, D] instead of [B N N, D] rows. Times an edge weight it is a term
of two blocks, and the sum of that over the sources is a matrix product. What the algebra does not cover, as
``relu(x_i + x_j)``, is written out as one block [B, N, N, D], by broadcasting and without an index.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from avsgn_pyg.blocks import algebra
from avsgn_pyg.blocks.algebra import SOURCE, TARGET, Term
from avsgn_pyg.blocks.count import FallbackError, count_broadcast
from avsgn_pyg.blocks.standin import StandIn

Grid = tuple[int, int, int]


class EdgeTensor(StandIn):
    """[E, *trail] with E = B N N. It never changes: a write in place raises :class:`FallbackError`.

    Attributes:
        grid: (B, N, N).
        trail: shape of one edge's value; a block may have size one if the trail is larger.
        note: what the value is known to be, for :mod:`avsgn_pyg.blocks.softmax`.
        records: whether gradients were recorded when it was made; it is computed later as it would have been then.
    """

    @staticmethod
    def __new__(cls, grid: Grid, terms: tuple[Term, ...], trail: Sequence[int] | None = None) -> EdgeTensor:
        if trail is None:
            trail = algebra.span([block for term in terms for block in term])[3:]
        dtypes = {block.dtype for term in terms for block in term}
        dtype = dtypes.pop() if len(dtypes) == 1 else functools.reduce(torch.promote_types, dtypes)
        return cls._made(grid, trail, dtype, terms[0][0].device, terms=terms)

    @classmethod
    def _made(cls, grid: Grid, trail: Sequence[int], dtype: torch.dtype, device: torch.device, *, terms: Any = None,
              parts: Any = None, make: Any = None, note: Any = None) -> EdgeTensor:
        if 0 in trail:
            raise FallbackError(f"expected edge values with at least one number, got trailing shape {list(trail)}")
        made = cls.blank((math.prod(grid), *trail), dtype, device)
        made.grid, made.trail, made.note = grid, tuple(trail), note
        made._terms, made._parts, made._make, made.records = terms, parts, make, torch.is_grad_enabled()
        return made

    @classmethod
    def of_rows(cls, grid: Grid, values: Tensor) -> EdgeTensor:
        """Ordinary values [E, *trail] as one block."""
        return cls(grid, ((values.reshape(*grid, *values.shape[1:]),),), values.shape[1:])

    def later(self, make: Callable[[], Tensor], note: Any) -> EdgeTensor:
        """A value of the same shape and dtype whose block is computed when first needed."""
        return self._made(self.grid, self.trail, self._dtype, self._device, make=make, note=note)

    @classmethod
    def concatenate(cls, parts: Sequence[EdgeTensor]) -> EdgeTensor:
        """Concatenation along the last axis; a linear map of it is a sum of linear maps of the parts."""
        trail = (*parts[0].trail[:-1], sum(part.trail[-1] for part in parts))
        dtype = functools.reduce(torch.promote_types, [part.dtype for part in parts])
        return cls._made(parts[0].grid, trail, dtype, parts[0].device, parts=tuple(parts))

    def plain(self) -> Tensor:
        """The ordinary tensor [E, *trail]."""
        return self.block("plain").expand(*self.grid, *self.trail).reshape(self._shape)

    @property
    def terms(self) -> tuple[Term, ...]:
        """The sum of products."""
        if self._terms is None:
            self.block("cat")
        self._stop_gradients()
        return self._terms

    @property
    def parts(self) -> tuple[EdgeTensor, ...] | None:
        """Operands of a concatenation along the last axis that is not written out yet, else None."""
        self._stop_gradients()
        return self._parts

    def _stop_gradients(self) -> None:
        """What was computed under ``no_grad`` passes no gradient on when it is multiplied out elsewhere."""
        if self.records or not torch.is_grad_enabled():
            return
        if self._terms is not None:
            self._terms = tuple(tuple(block.detach() for block in term) for term in self._terms)
        if self._parts is not None:
            self._parts = tuple(part.each_factor(Tensor.detach) for part in self._parts)
        self.records = self._make is None

    def block(self, name: str) -> Tensor:
        """[B, I, J, *trail], computed once; `name` is counted as the operation that needed it."""
        if torch.is_grad_enabled() != self.records:
            with torch.set_grad_enabled(self.records):
                return self.block(name)
        if self._terms is not None:
            made = algebra.write_out(self._terms, name)
        else:
            made = self._make() if self._parts is None else self._concatenated(name)
        if made.shape[3:] != self.trail:
            made = made.expand(*made.shape[:3], *self.trail)
        self._terms, self._parts, self._make = ((made,),), None, None
        return made

    def _concatenated(self, name: str) -> Tensor:
        blocks = [part.block(name) for part in self._parts]
        shape = algebra.broadcast(*(block.shape[:3] for block in blocks))
        if shape[TARGET] > 1 and shape[SOURCE] > 1:
            count_broadcast(name, math.prod(self.trail))
        return torch.cat([block.expand(*shape, *block.shape[3:]) for block in blocks], -1)

    def of(self, *terms: Term, trail: Sequence[int] | None = None) -> EdgeTensor:
        """Another value of the same edges."""
        return EdgeTensor(self.grid, terms, trail)

    def map(self, function: Callable[[Tensor], Tensor], name: str) -> EdgeTensor:
        """Apply a function of one edge's value to all edges."""
        return self.of((function(self.block(name)),))

    def each_factor(self, function: Callable[[Tensor], Tensor], trail: Sequence[int] | None = None) -> EdgeTensor:
        """Apply a function to every block, without multiplying them."""
        terms = (tuple(map(function, term)) for term in self.terms)
        return self.of(*terms, trail=self.trail if trail is None else trail)

    def scale(self, operation: Callable[[Tensor], Tensor]) -> EdgeTensor:
        """Multiplies or divides by a number."""
        return self.of(*(algebra.scale(term, operation) for term in self.terms), trail=self.trail)

    def align(self, other: Any) -> EdgeTensor | int | float | Tensor | None:
        """`other` as an operand: an edge value of the same rank or a number; None if it is neither."""
        if isinstance(other, EdgeTensor):
            return other if other.grid == self.grid and len(other.trail) == len(self.trail) else None
        if not isinstance(other, Tensor) or (other.dim() == 0 and not isinstance(other, StandIn)):
            return other
        rank, edges = len(self._shape), self._shape[0]
        if isinstance(other, StandIn) or other.dim() > rank or 0 in other.shape:
            return None
        if other.dim() == rank and other.shape[0] == edges:
            return EdgeTensor.of_rows(self.grid, other)
        if other.dim() == rank and other.shape[0] != 1:
            return None
        trail = other.shape[1:] if other.dim() == rank else other.shape
        return self.of((other.reshape((1,) * (rank + 2 - len(trail)) + tuple(trail)),))

    def times(self, other: EdgeTensor) -> EdgeTensor:
        """The product, term by term."""
        one, two = self.terms, other.terms
        if len(one) > 1 and len(two) > 1:
            # Multiplied out, (x_i - x_j) (x_i - x_j) would cancel badly.
            return self.of((self.block("mul") * other.block("mul"),))
        return self.of(*((*a, *b) for a in one for b in two), trail=algebra.broadcast(self.trail, other.trail))

    def plus(self, other: EdgeTensor) -> EdgeTensor:
        """The sum, kept as terms unless it is as cheap to compute it now."""
        one, two, trail = self.terms, other.terms, algebra.broadcast(self.trail, other.trail)
        if len(one) == len(two) == len(one[0]) == len(two[0]) == 1 and not algebra.grows(one[0][0], two[0][0]):
            return self.of((one[0][0] + two[0][0],), trail=trail)
        return self.of(*one, *two, trail=trail)

    def sum_into(self, axis: int) -> Tensor:
        """[B N, *trail]: the sum over the edges of every node; `axis` is the end of the edges that is summed over."""
        parts = self.parts
        if parts is not None:
            return torch.cat([part.sum_into(axis) for part in parts], -1)
        sums = [algebra.sum_over_nodes(term, axis, self.grid[axis]) for term in self.terms]
        return self._per_node(functools.reduce(torch.add, sums), axis)

    def extreme_into(self, axis: int, name: str) -> Tensor:
        """[B N, *trail]: ``amax`` or ``amin`` over the edges of every node."""
        return self._per_node(getattr(self.block(name), name)(axis, keepdim=True), axis)

    def _per_node(self, block: Tensor, axis: int) -> Tensor:
        shape = list(self.grid)
        shape[axis] = 1
        if block.shape != (*shape, *self.trail):
            block = block.expand(*shape, *self.trail)
        # Contiguous, as the result of a scatter is: convolutions call view() on it.
        return block.reshape(-1, *self.trail).contiguous()
