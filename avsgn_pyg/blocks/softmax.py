"""Recognizes the edge softmax that PyG computes in five operations, and computes it in one.

``torch_geometric.utils.softmax`` is a maximum per node, a difference, ``exp``, a sum per node and a quotient. Each
step is noted on its result and computed only if it is used in another way; the quotient is one softmax of a block:

    score.detach() -> max per node -> per edge -> score - . -> exp -> sum per node (+ 1e-16) -> per edge -> exp / .
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from avsgn_pyg.blocks import algebra
from avsgn_pyg.blocks.edges import EdgeTensor
from avsgn_pyg.blocks.standin import StandIn, no_rule

#: PyG adds 1e-16 to the sum, which is at least one; a sum with up to this much added still makes a softmax.
LARGEST_EPS = 1e-12


class Note(NamedTuple):
    """What a value is known to be.

    Attributes:
        step: ``detached`` | ``shifted`` | ``exp`` of edge values, ``zeros`` of node values, ``max`` | ``sum`` of both.
        score: the score whose softmax this is a step of; for ``sum``, the value that was summed.
        axis: the end of the edges that the maximum or sum is taken over.
        eps: what was added to a sum.
    """

    step: str
    score: Any = None
    axis: int = 0
    eps: float = 0.0


class NodeTensor(StandIn):
    """[B N, *trail]: a value per node that is computed when first needed.

    An operation without a rule runs on the ordinary tensor.
    """

    @staticmethod
    def __new__(cls, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, make: Callable[[], Tensor],
                note: Note | None) -> NodeTensor:
        made = cls.blank(shape, dtype, device)
        made.make, made.note, made._plain, made.records = make, note, None, torch.is_grad_enabled()
        return made

    def plain(self) -> Tensor:
        """The ordinary tensor."""
        if self._plain is None:
            with torch.set_grad_enabled(self.records):
                self._plain = self.make()
        if self.note is not None and self.note.step == "zeros":  # they are in use and cannot be replaced any more
            self.note = None
        return self._plain

    def fill(self, value: Tensor) -> Tensor:
        """Use the result of a scatter instead of zeros."""
        self._plain, self.note = value.to(self._dtype), None
        return self._plain

    def fill_later(self, make: Callable[[], Tensor], note: Note) -> NodeTensor:
        """Use a step of a softmax instead of zeros."""
        self.make, self.note, self.records = make, note, torch.is_grad_enabled()
        return self

    @classmethod
    def without_rule(cls, func: Any, types: Any, args: tuple, kwargs: dict) -> Any:
        others = any(issubclass(kind, StandIn) and not issubclass(kind, NodeTensor) for kind in types)
        name = getattr(func, "__name__", "")
        writes = name.endswith("_") != name.endswith("__") or name.startswith("__i") or name == "__setitem__"
        if others or kwargs.get("out") is not None or (writes and getattr(args[0], "note", None) is not None):
            raise no_rule(func)
        return func(*_plain(args), **_plain(kwargs))


def _plain(value: Any) -> Any:
    if isinstance(value, NodeTensor):
        return value.plain()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value


def is_step(value: Any, step: str) -> bool:
    """Whether a value is noted as this step, and gradients are recorded as they were when it was made."""
    note = getattr(value, "note", None)
    return note is not None and note.step == step and value.records == torch.is_grad_enabled()


def detach(score: EdgeTensor) -> EdgeTensor:
    made = score.each_factor(Tensor.detach)
    made.note = Note("detached", score)
    return made


def maximum(zeros: NodeTensor, score: EdgeTensor, axis: int) -> NodeTensor:
    """The maximum of a detached score per node."""
    return zeros.fill_later(lambda: score.extreme_into(axis, "amax"), Note("max", score.note.score, axis))


def total(zeros: NodeTensor, value: EdgeTensor, axis: int) -> NodeTensor:
    """The sum of ``exp(score - max)`` per node."""
    return zeros.fill_later(lambda: value.sum_into(axis), Note("sum", value, axis))


def plus(value: NodeTensor, eps: float) -> NodeTensor:
    """A sum with something added."""
    note = value.note._replace(eps=value.note.eps + eps)
    return NodeTensor(value.shape, value.dtype, value.device, lambda: value.plain() + eps, note)


def difference(score: EdgeTensor, shift: EdgeTensor) -> EdgeTensor | None:
    """``score - max``; None for any other difference."""
    if not is_step(shift, "max") or shift.note.score is not score:
        return None
    return score.later(lambda: score.block("sub") - shift.block("sub"), shift.note._replace(step="shifted"))


def exponential(value: EdgeTensor) -> EdgeTensor | None:
    """``exp(score - max)``; None for any other exponential."""
    if not is_step(value, "shifted"):
        return None
    return value.later(lambda: value.block("exp").exp(), value.note._replace(step="exp"))


def quotient(value: EdgeTensor, divisor: EdgeTensor) -> EdgeTensor | None:
    """``exp(score - max) / sum`` as one softmax; None for any other quotient, also by ``sum + 1``."""
    if not is_step(value, "exp") or not is_step(divisor, "sum"):
        return None
    score, axis, found = value.note.score, value.note.axis, divisor.note
    if found.score is not value or found.axis != axis or not 0 <= found.eps <= LARGEST_EPS:
        return None
    block = score.block("softmax").to(value.dtype)
    shape = list(block.shape)
    shape[axis] = score.grid[axis]
    return value.of((algebra.softmax(block.expand(shape), axis),), trail=value.trail)
