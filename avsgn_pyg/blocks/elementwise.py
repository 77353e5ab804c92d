"""Rules of operations on every edge's value by itself: arithmetic, activations, dropout, dtypes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from avsgn_pyg.blocks import softmax
from avsgn_pyg.blocks.edges import EdgeTensor
from avsgn_pyg.blocks.standin import RULES, functions, rule


def operands(one: Any, two: Any) -> tuple[Any, Any]:
    """Both operands as they broadcast over edges; None for one that does not."""
    edge = one if isinstance(one, EdgeTensor) else two
    return (edge.align(one), edge.align(two)) if isinstance(edge, EdgeTensor) else (None, None)


@rule("mul", "multiply", "__mul__", "__rmul__")
def multiply(one: Any, two: Any) -> Any:
    one, two = operands(one, two)
    if one is None or two is None:
        return NotImplemented
    if isinstance(one, EdgeTensor) and isinstance(two, EdgeTensor):
        return one.times(two)
    edge, number = (one, two) if isinstance(one, EdgeTensor) else (two, one)
    return edge.scale(lambda block: block * number)


@rule("add", "__add__", "__radd__")
def add(one: Any, two: Any) -> Any:
    if softmax.is_step(one, "sum") and isinstance(one, softmax.NodeTensor) and isinstance(two, float):
        return softmax.plus(one, two)
    one, two = operands(one, two)
    if one is None or two is None:
        return NotImplemented
    if isinstance(one, EdgeTensor) and isinstance(two, EdgeTensor):
        return one.plus(two)
    edge, number = (one, two) if isinstance(one, EdgeTensor) else (two, one)
    return edge.map(lambda block: block + number, "add")


@rule("sub", "subtract", "__sub__")
def subtract(one: Any, two: Any) -> Any:
    one, two = operands(one, two)
    if one is None or two is None:
        return NotImplemented
    if isinstance(one, EdgeTensor) and isinstance(two, EdgeTensor):
        noted = softmax.difference(one, two)
        return one.plus(two.scale(torch.neg)) if noted is None else noted
    if isinstance(one, EdgeTensor):
        return one.map(lambda block: block - two, "sub")
    return two.map(lambda block: one - block, "sub")


@rule("div", "divide", "true_divide", "__truediv__", "__div__")
def divide(one: Any, two: Any) -> Any:
    one, two = operands(one, two)
    if one is None or two is None:
        return NotImplemented
    if not isinstance(two, EdgeTensor):
        return one.scale(lambda block: block / two)
    if not isinstance(one, EdgeTensor):
        return two.map(lambda block: one / block, "div")
    noted = softmax.quotient(one, two)
    return one.times(two.map(torch.reciprocal, "div")) if noted is None else noted


@rule("__rsub__", "rsub")
def subtract_from(one: Any, two: Any) -> Any:
    return subtract(two, one)


@rule("__rtruediv__", "__rdiv__")
def divide_into(one: Any, two: Any) -> Any:
    return divide(two, one)


@rule("exp")
def exp(edge: Any) -> Any:
    noted = softmax.exponential(edge)
    return unary(torch.exp, edge) if noted is None else noted


def unary(function: Callable[..., Tensor], edge: Any, *args: Any, inplace: bool = False, **kwargs: Any) -> Any:
    """An activation or the like, whose other arguments are numbers."""
    numbers = all(value is None or type(value) in (int, float, str) for value in (*args, *kwargs.values()))
    if not isinstance(edge, EdgeTensor) or inplace or not numbers:
        return NotImplemented
    return edge.map(lambda block: function(block, *args, **kwargs), function.__name__)


for _name in ("relu", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "mish", "relu6", "softplus", "tanh",
              "sigmoid", "logsigmoid", "log", "log1p", "expm1", "abs", "neg", "__neg__", "sqrt", "rsqrt", "square",
              "reciprocal", "pow", "__pow__", "clamp", "clamp_min", "clamp_max", "sin", "cos"):
    RULES.update({_function: functools.partial(unary, _function) for _function in functions(_name)})


@rule("dropout")
def dropout(edge: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Every edge is drawn by itself, also where values are equal along an axis."""
    if not isinstance(edge, EdgeTensor) or inplace:
        return NotImplemented
    if not training or p == 0:
        return edge
    return edge.map(lambda block: F.dropout(block.expand(*edge.grid, *edge.trail), p, True), "dropout")


@rule("detach")
def detach(value: Any) -> Any:
    if isinstance(value, softmax.NodeTensor):
        return NotImplemented
    return softmax.detach(value) if isinstance(value, EdgeTensor) else value


@rule("clone", "contiguous")
def same(value: Any) -> Any:
    """A copy shares its blocks, as edge values never change."""
    if isinstance(value, softmax.NodeTensor):
        return NotImplemented
    return value if not isinstance(value, EdgeTensor) else value.of(*value.terms, trail=value.trail)
