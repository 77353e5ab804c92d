"""Rules of operations on every edge's value by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from avsgn_pyg.blocks import softmax
from avsgn_pyg.blocks.edges import EdgeTensor
from avsgn_pyg.blocks.rules import Rule
from avsgn_pyg.blocks.sharing import views


def pair(args: tuple, kwargs: dict) -> tuple[Any, Any] | None:
    """Both operands as they broadcast over edges; None where they do not, or more was asked for."""
    if len(args) != 2 or kwargs:
        return None
    one, two = args
    edge = one if isinstance(one, EdgeTensor) else two
    if not isinstance(edge, EdgeTensor):
        return None
    one, two = edge.aligned(one), edge.aligned(two)
    return None if one is None or two is None else (one, two)


def multiply(name: str, args: tuple, kwargs: dict) -> Any:
    both = pair(args, kwargs)
    if both is None:
        return NotImplemented
    one, two = both if isinstance(both[0], EdgeTensor) else both[::-1]
    return one.times(two)


def add(name: str, args: tuple, kwargs: dict) -> Any:
    if isinstance(args[0], softmax.NodeStatistic):
        number = len(args) == 2 and isinstance(args[1], (int, float)) and not kwargs
        return args[0].plus(args[1]) if number else NotImplemented
    both = pair(args, kwargs)
    if both is None:
        return NotImplemented
    one, two = both if isinstance(both[0], EdgeTensor) else both[::-1]
    return one.plus(two) if isinstance(two, EdgeTensor) else one.map(lambda block: block + two, "add")


def subtract(name: str, args: tuple, kwargs: dict) -> Any:
    both = pair(args, kwargs)
    if both is None:
        return NotImplemented
    one, two = both
    if isinstance(one, EdgeTensor) and isinstance(two, EdgeTensor):
        noted = softmax.difference(one, two)
        return one.plus(two, -1) if noted is None else noted
    if isinstance(one, EdgeTensor):
        return one.map(lambda block: block - two, "sub")
    return two.map(lambda block: one - block, "sub")


def divide(name: str, args: tuple, kwargs: dict) -> Any:
    both = pair(args, kwargs)
    if both is None:
        return NotImplemented
    one, two = both
    if not isinstance(two, EdgeTensor):
        alone = len(one.terms) == 1 and len(one.terms[0]) == 1
        return one.map(lambda block: block / two, "div") if alone or not two else one.times(1 / two)
    if not isinstance(one, EdgeTensor):
        return two.map(lambda block: one / block, "div")
    noted = softmax.quotient(one, two)
    return one.times(two.map(torch.reciprocal, "div")) if noted is None else noted


def reflected(rule: Rule) -> Rule:
    return lambda name, args, kwargs: rule(name, args[::-1], kwargs)


def elementwise(name: str, args: tuple, kwargs: dict) -> Any:
    """An operation of one or two operands that no algebra knows: both are written out."""
    both = pair(args, kwargs)
    if both is None:
        return NotImplemented
    edge = both[0] if isinstance(both[0], EdgeTensor) else both[1]
    blocks = [side.block(name) if isinstance(side, EdgeTensor) else side for side in both]
    function = getattr(Tensor, name)
    return edge.of((function(*blocks),))


def exp(name: str, args: tuple, kwargs: dict) -> Any:
    noted = softmax.exponential(args[0])
    return unary(name, args, kwargs) if noted is None else noted


#: Where torch.nn.functional takes ``inplace`` by position.
INPLACE = {"relu": 1, "relu6": 1, "leaky_relu": 2, "elu": 2, "celu": 2, "selu": 1, "silu": 1, "mish": 1, "dropout": 3}


def unary(name: str, args: tuple, kwargs: dict) -> Any:
    """An activation or the like; its other arguments are numbers."""
    edge, rest = args[0], list(args[1:])
    if not isinstance(edge, EdgeTensor) or any(isinstance(value, Tensor) for value in (*rest, *kwargs.values())):
        return NotImplemented
    inplace, rest, kwargs = without_inplace(name, rest, kwargs)
    function = getattr(F, name, None) or getattr(torch, name, None) or getattr(Tensor, name)
    out = edge.map(lambda block: function(block, *rest, **kwargs), name)
    return edge.adopt(out) if inplace else out


def without_inplace(name: str, rest: list, kwargs: dict) -> tuple[bool, list, dict]:
    # A lifted block is a view of the node features: written in place, these would change.
    place = INPLACE.get(name, len(rest) + 1) - 1
    inplace = bool(kwargs.get("inplace", False))
    if place < len(rest):
        inplace, rest = bool(rest[place]), rest[:place]
    return inplace, rest, {key: value for key, value in kwargs.items() if key != "inplace"}


def dropout(name: str, args: tuple, kwargs: dict) -> Any:
    """Every edge draws for itself, also where its value is the same as another's."""
    edge, inplace, (rest) = args[0], *without_inplace("dropout", list(args[1:]), kwargs)[:2]
    rate = rest[0] if rest else kwargs.get("p", 0.5)
    training = rest[1] if len(rest) > 1 else kwargs.get("training", kwargs.get("train", True))
    if not isinstance(edge, EdgeTensor):
        return NotImplemented
    if not training or rate == 0:
        return edge
    full = (*edge.index.block_shape, *edge.trail)
    out = edge.map(lambda block: F.dropout(block.expand(full), rate, True), name)
    return edge.adopt(out) if inplace else out


def where(name: str, args: tuple, kwargs: dict) -> Any:
    if len(args) != 3 or kwargs:
        return NotImplemented
    if name == "masked_fill" and not isinstance(args[0], EdgeTensor):
        return NotImplemented
    edge = next((value for value in args if isinstance(value, EdgeTensor)), None)
    sides = [None] if edge is None else [edge.aligned(value) for value in args]
    if any(side is None for side in sides):
        return NotImplemented
    blocks = [side.block(name) if isinstance(side, EdgeTensor) else side for side in sides]
    if name == "masked_fill":
        blocks = [blocks[1], blocks[2], blocks[0]]
    return edge.of((torch.where(*blocks),))


def cast(name: str, args: tuple, kwargs: dict) -> Any:
    edge = args[0]
    if not isinstance(edge, EdgeTensor):
        return NotImplemented
    if name in ("float", "double", "half", "bfloat16", "long", "int", "bool"):
        dtype = getattr(torch, name)
    elif name == "type_as":
        dtype = args[1].dtype
    else:
        device, dtype, *_ = torch._C._nn._parse_to(*args[1:], **kwargs)
        if device is not None and torch.device(device).type != edge.device.type:
            return NotImplemented
    if dtype in (None, edge.dtype):
        return edge
    return edge.of(*(tuple(block.to(dtype) for block in term) for term in edge.terms), trail=edge.trail) \
        if dtype.is_floating_point and edge.dtype.is_floating_point else edge.map(lambda block: block.to(dtype), name)


def same(name: str, args: tuple, kwargs: dict) -> Any:
    """``clone``, ``contiguous``, ``detach``: the same value under a new name."""
    edge = args[0]
    if not isinstance(edge, EdgeTensor):
        return NotImplemented
    if name == "contiguous":
        return edge
    if name == "clone":
        return edge.of(*edge.terms, trail=edge.trail)
    out = edge.of(*(tuple(block.detach() for block in term) for term in edge.terms), trail=edge.trail)
    out.meaning = softmax.Noted("detached", edge, edits=edge.edits)
    return out


def in_place(rule: Rule, name: str) -> Rule:
    """``x.add_(y)`` as ``x = x + y``."""

    def run(_: str, args: tuple, kwargs: dict) -> Any:
        if not isinstance(args[0], EdgeTensor):
            return NotImplemented
        out = rule(name, args, kwargs)
        return args[0].adopt(out) if isinstance(out, EdgeTensor) and out.shape == args[0].shape else NotImplemented

    return run


def rows(rule: Callable[..., Any], *names: str) -> dict[str, Rule]:
    return dict.fromkeys(names, rule)


RULES: dict[str, Rule] = {
    **rows(multiply, "mul", "multiply", "__mul__", "__rmul__"),
    **rows(add, "add", "__add__", "__radd__"),
    **rows(subtract, "sub", "subtract", "__sub__"),
    **rows(reflected(subtract), "__rsub__", "rsub"),
    **rows(divide, "div", "divide", "true_divide", "__truediv__", "__div__"),
    **rows(reflected(divide), "__rtruediv__", "__rdiv__"),
    **rows(elementwise, "maximum", "minimum", "eq", "ne", "gt", "lt", "ge", "le", "logical_and", "logical_or",
           "__and__", "__or__", "__eq__", "__ne__", "__gt__", "__lt__", "__ge__", "__le__"),
    **rows(unary, "relu", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "mish", "relu6", "softplus", "tanh",
           "sigmoid", "logsigmoid", "hardtanh", "log", "log1p", "expm1", "abs", "neg", "negative", "__neg__", "sqrt",
           "rsqrt", "square", "reciprocal", "pow", "__pow__", "clamp", "clamp_min", "clamp_max", "clip", "sin", "cos",
           "erf", "sign", "floor", "ceil", "round", "nan_to_num", "isnan", "isinf", "isfinite", "logical_not"),
    **rows(exp, "exp"),
    **rows(dropout, "dropout"),
    **rows(where, "where", "masked_fill"),
    **rows(cast, "to", "type_as", "float", "double", "half", "bfloat16", "long", "int", "bool"),
    **rows(same, "clone", "contiguous"),
    "detach": views(same, whole=False),
}
RULES |= {f"{name}_": in_place(RULES[name], name)
          for name in ("add", "sub", "mul", "div", "exp", "clamp", "clamp_min", "relu", "neg", "sqrt", "tanh",
                       "sigmoid", "pow", "masked_fill")}
