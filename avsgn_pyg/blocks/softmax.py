"""PyG's edge softmax, put back together.

``torch_geometric.utils.softmax`` is a maximum per node, a difference, ``exp``, a sum per node and a quotient. On
stand-ins each step is only noted, and the quotient is then one softmax of a block:

    score.detach() -> max per node -> lift -> score - . -> exp -> sum per node (+ eps) -> lift -> exp / .

A step that is used in any other way is computed as written.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from avsgn_pyg.blocks import algebra
from avsgn_pyg.blocks.rules import dispatch
from avsgn_pyg.blocks.standin import StandIn

#: PyG adds 1e-16 to a sum so that it can be divided by; up to this much a sum of ``exp(score - max)``, which is at
#: least one, stays what it is, and the quotient is the softmax.
NOTHING = 1e-12


class Noted(NamedTuple):
    """What an edge value is known to be: ``detached`` | ``shifted`` | ``exp`` of `source`, or a ``lift`` of it."""

    step: str
    source: Any
    axis: int = 0
    edits: int = 0


class NodeStatistic(StandIn):
    """[nodes, *trail]: the ``max`` or ``sum`` over every node's edges, computed when somebody looks."""

    kind = "statistic"

    @staticmethod
    def __new__(cls, step: str, of: Any, axis: int, eps: int | float = 0) -> NodeStatistic:
        shape = list(of.index.block_shape)
        shape[axis] = 1
        made = cls.blank((shape[0] * shape[1] * shape[2], *of.trail), of.dtype, of.device)
        made.step, made.of, made.axis, made.eps, made._plain = step, of, axis, eps, None
        return made

    __torch_function__ = classmethod(dispatch)

    def plain(self) -> Tensor:
        if self._plain is None:
            total = self.of.sum_into(self.axis) if self.step == "sum" else self.of.extreme_into(self.axis, "amax")
            self._plain = total + self.eps if self.eps else total
        return self._plain

    def written(self, func: Any, args: tuple, kwargs: dict) -> Any:
        return func(self.plain(), *args, **kwargs)

    def plus(self, number: int | float) -> NodeStatistic:
        return NodeStatistic(self.step, self.of, self.axis, self.eps + number)

    def lifted(self, end: Any) -> Any:
        """``statistic[index]``: every edge's node's statistic."""
        if end.axis == self.axis or end.index.block_shape != self.of.index.block_shape:
            return end.lift(self.plain())
        return type(self.of).later(self.of, lambda: end.lift(self.plain()).block("lift"), Noted("lift", self))


def maximum(score: Any, axis: int) -> NodeStatistic | None:
    """The statistic of a detached score, noted; None for any other score."""
    if not _is(score, "detached"):
        return None
    kept = score.of(*score.terms, trail=score.trail)  # as it is now, as in difference()
    kept.meaning = score.meaning
    return NodeStatistic("max", kept, axis)


def difference(score: Any, shift: Any) -> Any:
    """``score - max``, noted; None for any other difference."""
    if not _is(shift, "lift"):
        return None
    found = shift.meaning.source
    if found.step != "max" or found.eps or not _is(found.of, "detached"):
        return None
    noted = found.of.meaning
    if noted.source is not score or noted.edits != score.edits:
        return None
    kept = score.of(*score.terms, trail=score.trail)  # as it is now, whatever is done to it in place later
    return score.later(score, lambda: kept.block("sub") - shift.block("sub"), Noted("shifted", kept, found.axis))


def exponential(value: Any) -> Any:
    """``exp(score - max)``, noted; None for any other exponential."""
    if not _is(value, "shifted"):
        return None
    return value.later(value, lambda: value.block("exp").exp(), value.meaning._replace(step="exp"))


def quotient(value: Any, total: Any) -> Any:
    """``exp(score - max) / sum`` as one softmax; None for any other quotient, also by ``sum + 1``."""
    if not (_is(value, "exp") and _is(total, "lift")):
        return None
    found, noted = total.meaning.source, value.meaning
    if found.step != "sum" or found.of is not value or found.axis != noted.axis or not 0 <= found.eps <= NOTHING:
        return None
    block = noted.source.block("softmax")
    if torch.is_autocast_enabled(block.device.type) and block.dtype != value.dtype:
        block = block.to(value.dtype)
    shape = list(block.shape)
    shape[noted.axis] = noted.source.index.block_shape[noted.axis]
    return value.of((algebra.softmax(block.expand(shape), noted.axis, noted.source.index.exists),), trail=value.trail)


def _is(value: Any, step: str) -> bool:
    return getattr(value, "meaning", None) is not None and value.meaning.step == step
