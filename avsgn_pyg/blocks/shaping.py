"""Rules of operations on the axes behind the edges: views, sums, norms, joins, linear maps."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from avsgn_pyg.blocks.edges import EdgeTensor
from avsgn_pyg.blocks.rules import Rule
from avsgn_pyg.blocks.sharing import views


def flat_ints(values: tuple) -> list[int] | None:
    """``view(2, 3)`` and ``view((2, 3))`` as a list; None for anything else, a dtype for one."""
    if len(values) == 1 and isinstance(values[0], (list, tuple)):
        values = tuple(values[0])
    return list(values) if all(isinstance(value, int) for value in values) else None


def behind(edge: EdgeTensor, dim: Any) -> int | None:
    """An axis of [E, *trail] counted from the end, as it is in the block; None for the axis of edges."""
    rank = len(edge.shape)
    if not isinstance(dim, int) or dim % rank == 0:
        return None
    return dim if dim < 0 else dim - rank


def view(name: str, args: tuple, kwargs: dict) -> Any:
    edge = args[0]
    shape = flat_ints(args[1:] or tuple(kwargs.values()))
    if not isinstance(edge, EdgeTensor) or not shape or shape[0] not in (-1, edge.shape[0]):
        return NotImplemented
    trail, own = shape[1:], math.prod(edge.trail)
    if -1 in trail and shape[0] != -1:
        known = math.prod(size for size in trail if size != -1)
        trail[trail.index(-1)] = own // known if known else 0
    return edge.view_trail(trail) if math.prod(trail) == own and -1 not in trail else NotImplemented


def flatten(name: str, args: tuple, kwargs: dict) -> Any:
    edge, start = args[0], args[1] if len(args) > 1 else kwargs.get("start_dim", 0)
    end = args[2] if len(args) > 2 else kwargs.get("end_dim", -1)
    if not isinstance(edge, EdgeTensor) or behind(edge, start) is None or end not in (-1, len(edge.shape) - 1):
        return NotImplemented
    kept = len(edge.trail) + behind(edge, start)
    return edge.view_trail((*edge.trail[:kept], math.prod(edge.trail[kept:])))


def unsqueeze(name: str, args: tuple, kwargs: dict) -> Any:
    edge, dim = args[0], args[1] if len(args) > 1 else kwargs["dim"]
    rank = len(edge.shape) + 1
    if not isinstance(edge, EdgeTensor) or dim % rank == 0:
        return NotImplemented
    return edge.unsqueeze_trail(dim if dim < 0 else dim - rank)


def squeeze(name: str, args: tuple, kwargs: dict) -> Any:
    edge, dim = args[0], args[1] if len(args) > 1 else kwargs.get("dim")
    if not isinstance(edge, EdgeTensor) or dim is None or behind(edge, dim) is None:
        return NotImplemented
    place = len(edge.trail) + behind(edge, dim)
    if edge.trail[place] != 1:
        return edge
    return edge.view_trail((*edge.trail[:place], *edge.trail[place + 1:]))


def expand(name: str, args: tuple, kwargs: dict) -> Any:
    edge = args[0]
    shape = list(args[1].shape) if name == "expand_as" else flat_ints(args[1:])
    if not isinstance(edge, EdgeTensor) or not shape or len(shape) != len(edge.shape):
        return NotImplemented
    wanted = [own if size == -1 else size for own, size in zip(edge.shape, shape, strict=True)]
    return edge.of(*edge.terms, trail=wanted[1:]) if wanted[0] == edge.shape[0] else NotImplemented


def repeat(name: str, args: tuple, kwargs: dict) -> Any:
    times = flat_ints(args[1:])
    if not isinstance(args[0], EdgeTensor) or not times or len(times) != len(args[0].shape) or times[0] != 1:
        return NotImplemented
    return args[0].map(lambda block: block.repeat(1, 1, *times), name)


def total(name: str, args: tuple, kwargs: dict) -> Any:
    """``sum`` and ``mean`` over axes behind the edges."""
    edge, dim = args[0], args[1] if len(args) > 1 else kwargs.get("dim")
    keepdim = args[2] if len(args) > 2 else kwargs.get("keepdim", False)
    if not isinstance(edge, EdgeTensor) or dim is None or len(args) > 3 or set(kwargs) - {"dim", "keepdim"}:
        return NotImplemented
    dims = [behind(edge, one) for one in (dim if isinstance(dim, (list, tuple)) else [dim])]
    if None in dims or not dims:
        return NotImplemented
    if dims == [-1]:
        out = edge.sum_last(keepdim=keepdim)
        return out.times(1 / edge.trail[-1]) if name == "mean" else out
    return edge.map(lambda block: getattr(torch, name)(block, dims, keepdim=keepdim), name)


#: Position of ``dim`` among the arguments.
ALONG = {"softmax": 1, "log_softmax": 1, "amax": 1, "amin": 1, "logsumexp": 1, "prod": 1, "cumsum": 1, "var": 1,
         "std": 1, "norm": 2, "normalize": 2, "glu": 1}


def along(name: str, args: tuple, kwargs: dict) -> Any:
    """An operation along one axis behind the edges."""
    edge, rest, kwargs = args[0], list(args[1:]), dict(kwargs)
    kwargs.pop("_stacklevel", None)
    place = ALONG[name] - 1
    dim = rest[place] if place < len(rest) else kwargs.get("dim", {"normalize": 1, "glu": -1}.get(name))
    if not isinstance(edge, EdgeTensor) or behind(edge, dim) is None:
        return NotImplemented
    if place < len(rest):
        rest[place] = behind(edge, dim)
    else:
        kwargs["dim"] = behind(edge, dim)
    function = getattr(F, name, None) or getattr(torch, name)
    return edge.map(lambda block: function(block, *rest, **kwargs), name)


def layer_norm(name: str, args: tuple, kwargs: dict) -> Any:
    edge, shape = args[0], args[1] if len(args) > 1 else kwargs["normalized_shape"]
    if not isinstance(edge, EdgeTensor) or tuple(shape) != edge.trail[len(edge.trail) - len(shape):]:
        return NotImplemented
    rest = {key: value for key, value in kwargs.items() if key != "normalized_shape"}
    return edge.map(lambda block: F.layer_norm(block, shape, *args[2:], **rest), name)


def cat(name: str, args: tuple, kwargs: dict) -> Any:
    tensors = list(args[0] if args else kwargs["tensors"])
    dim = args[1] if len(args) > 1 else kwargs.get("dim", 0)
    edge = next((tensor for tensor in tensors if isinstance(tensor, EdgeTensor)), None)
    if edge is None or kwargs.get("out") is not None or behind(edge, dim) != -1:
        return NotImplemented
    parts = [edge.aligned(tensor) if len(tensor.shape) == len(edge.shape) else None for tensor in tensors]
    joinable = all(isinstance(part, EdgeTensor) and part.shape[0] == tensor.shape[0] and part.trail[:-1] ==
                   edge.trail[:-1] for part, tensor in zip(parts, tensors, strict=True))
    return edge.joined(parts) if joinable else NotImplemented


def stack(name: str, args: tuple, kwargs: dict) -> Any:
    tensors, dim = list(args[0]), args[1] if len(args) > 1 else kwargs.get("dim", 0)
    edge = next((tensor for tensor in tensors if isinstance(tensor, EdgeTensor)), None)
    if edge is None or kwargs.get("out") is not None or dim % (len(edge.shape) + 1) == 0:
        return NotImplemented
    dim = dim if dim < 0 else dim - len(edge.shape) - 1
    parts = [edge.aligned(tensor) if tensor.shape == edge.shape else None for tensor in tensors]
    if not all(isinstance(part, EdgeTensor) for part in parts):
        return NotImplemented
    blocks = torch.broadcast_tensors(*(part.block(name) for part in parts))
    return edge.of((torch.stack(blocks, dim),))


def split(name: str, args: tuple, kwargs: dict) -> Any:
    edge, dim = args[0], args[2] if len(args) > 2 else kwargs.get("dim", 0)
    if not isinstance(edge, EdgeTensor) or len(args) < 2 or behind(edge, dim) is None:
        return NotImplemented
    pieces = getattr(torch, name)(edge.block(name), args[1], behind(edge, dim))
    return tuple(edge.of((piece,)) for piece in pieces)


def linear(name: str, args: tuple, kwargs: dict) -> Any:
    edge, weight = args[0], args[1] if len(args) > 1 else kwargs["weight"]
    bias = args[2] if len(args) > 2 else kwargs.get("bias")
    if not isinstance(edge, EdgeTensor) or isinstance(weight, EdgeTensor) or not edge.trail:
        return NotImplemented
    if weight.dim() != 2 or weight.shape[1] != edge.trail[-1]:
        return NotImplemented
    return edge.linear(weight, bias)


def matmul(name: str, args: tuple, kwargs: dict) -> Any:
    """``x @ W`` with one matrix for all edges."""
    if len(args) != 2 or not isinstance(args[1], Tensor) or isinstance(args[1], EdgeTensor) or args[1].dim() != 2:
        return NotImplemented
    return linear(name, (args[0], args[1].t()), {})


def index(name: str, args: tuple, kwargs: dict) -> Any:
    """``x[:, :k]`` and ``x[..., 0]``: slices behind the edges."""
    edge, where = args
    where = where if isinstance(where, tuple) else (where,)
    if not isinstance(edge, EdgeTensor) or not all(isinstance(one, (int, slice)) or one in (None, ...) for one in where
                                                   if not isinstance(one, Tensor)):
        return NotImplemented
    if any(isinstance(one, Tensor) for one in where):
        return NotImplemented
    taken = sum(one is not None and one is not ... for one in where)
    if where[0] is ... and taken <= len(edge.trail):
        return edge.map(lambda block: block[where], "getitem")
    if where[0] == slice(None) and ... not in where:
        return edge.map(lambda block: block[(slice(None), slice(None), *where)], "getitem")
    return NotImplemented


RULES: dict[str, Rule] = {
    **{name: views(rule, whole=True) for name, rule in {
        "view": view, "reshape": view, "flatten": flatten, "unsqueeze": unsqueeze, "squeeze": squeeze}.items()},
    **{name: views(rule, whole=False) for name, rule in {
        "expand": expand, "expand_as": expand, "chunk": split, "split": split}.items()},
    "repeat": repeat, "sum": total, "mean": total, **dict.fromkeys(ALONG, along), "layer_norm": layer_norm,
    "stack": stack, "linear": linear, "matmul": matmul, "__matmul__": matmul,
}
