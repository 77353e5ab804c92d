"""Rules between nodes and edges: lifting nodes to edges, collecting edges into nodes, and batching of indices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avsgn_pyg.blocks import shaping, softmax
from avsgn_pyg.blocks.algebra import count_given
from avsgn_pyg.blocks.edges import EdgeTensor
from avsgn_pyg.blocks.ends import End
from avsgn_pyg.blocks.index import CompleteIndex
from avsgn_pyg.blocks.rules import Rule, dispatch
from avsgn_pyg.blocks.sharing import views
from avsgn_pyg.blocks.standin import StandIn


class Zeros(StandIn):
    """``x_j.new_zeros(size)``: zeros that a sum over edges may simply replace, in place of being added to them."""

    kind = "zeros"

    @staticmethod
    def __new__(cls, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Zeros:
        made = cls.blank(shape, dtype, device)
        made._value = None
        return made

    __torch_function__ = classmethod(dispatch)

    def plain(self) -> Tensor:
        if self._value is None:
            self._value = torch.zeros(self.shape, dtype=self.dtype, device=self.device)
        return self._value

    def written(self, func: Any, args: tuple, kwargs: dict) -> Any:
        return func(self.plain(), *args, **kwargs)

    def replace(self, value: Tensor) -> Tensor:
        self._value = value
        return value


def lift(name: str, args: tuple, kwargs: dict) -> Any:
    """``x.index_select(0, index)`` for one row of the index: a view of the nodes, not a copy per edge."""
    if len(args) != 3 or kwargs or not isinstance(args[2], End) or len(args[2].shape) != 1:
        return NotImplemented
    nodes, dim, end = args
    if dim % len(nodes.shape) != 0 or nodes.shape[0] != end.nodes:
        return NotImplemented
    if isinstance(nodes, softmax.NodeStatistic):
        return nodes.lifted(end)
    return NotImplemented if isinstance(nodes, StandIn) else end.lift(nodes)


def getitem(name: str, args: tuple, kwargs: dict) -> Any:
    nodes, where = args
    return lift(name, (nodes, 0, where), {}) if isinstance(where, End) else _sliced(name, args, kwargs)


_sliced = views(shaping.index, whole=False)


def collected(args: tuple) -> tuple[Tensor, End, EdgeTensor] | None:
    """Target tensor, end and edge values of a scatter over whole rows; None for any other scatter."""
    if len(args) < 4 or not isinstance(args[2], End) or args[0].__class__ not in (Tensor, Zeros):
        return None
    into, dim, end, values = args[:4]
    if dim % into.dim() != 0 or into.shape[0] != end.nodes or tuple(end.shape) != tuple(values.shape):
        return None
    if not isinstance(values, EdgeTensor):
        values = None if isinstance(values, StandIn) else end.index.edges(values)
        if values is not None:
            count_given(values)
    return None if values is None or tuple(into.shape[1:]) != values.trail else (into, end, values)


def scatter_add(name: str, args: tuple, kwargs: dict) -> Any:
    found = None if kwargs else collected(args)
    if found is None:
        return NotImplemented
    into, end, values = found
    untouched = isinstance(into, Zeros) and into._value is None
    if untouched and values.meaning is not None and values.meaning.step == "exp":
        return softmax.NodeStatistic("sum", values, end.other)
    total = values.sum_into(end.other).to(into.dtype)
    if untouched:
        return into.replace(total)
    into = into.plain() if isinstance(into, Zeros) else into
    # Under vmap a sum of all copies cannot be written into a tensor that they share.
    shared = torch._C._functorch.is_batchedtensor(total) and not torch._C._functorch.is_batchedtensor(into)
    return into + total if shared or name == "scatter_add" else into.add_(total)


def scatter_reduce(name: str, args: tuple, kwargs: dict) -> Any:
    found, rest = collected(args), dict(kwargs)
    reduce = args[4] if len(args) > 4 else rest.pop("reduce", None)
    if found is None or rest != {"include_self": False} or reduce not in ("amax", "amin"):
        return NotImplemented
    into, end, values = found
    untouched = isinstance(into, Zeros) and into._value is None
    noted = softmax.maximum(values, end.other) if untouched and reduce == "amax" else None
    if noted is not None:
        return noted
    extreme = values.extreme_into(end.other, reduce)
    if untouched:
        return into.replace(extreme)
    into = into.plain() if isinstance(into, Zeros) else into
    if end.index.exists is not None:
        alone = ~end.index.exists.any(end.other).reshape(-1, *[1] * (into.dim() - 1))
        extreme = torch.where(alone, into, extreme)
    return into.copy_(extreme)


def new(name: str, args: tuple, kwargs: dict) -> Any:
    """``new_zeros`` and its kin: ordinary tensors of a stand-in's dtype and device."""
    settings = {"dtype": args[0].dtype, "device": args[0].device, **kwargs}
    function, rest = getattr(torch, name.removeprefix("new_")), args[1:]
    if name in ("new_zeros", "new_ones", "new_empty") and rest and isinstance(rest[0], int):
        rest = (rest,)
    if name == "new_zeros" and len(rest) == 1 and set(settings) == {"dtype", "device"}:
        shape = (rest[0],) if isinstance(rest[0], int) else tuple(rest[0])
        return Zeros(shape, settings["dtype"], torch.device(settings["device"]))
    return function(*rest, **settings)


def like(name: str, args: tuple, kwargs: dict) -> Any:
    settings = {"dtype": args[0].dtype, "device": args[0].device, **kwargs}
    return getattr(torch, name.removesuffix("_like"))(args[0].shape, *args[1:], **settings)


def cat(name: str, args: tuple, kwargs: dict) -> Any:
    tensors = args[0] if args else kwargs["tensors"]
    dim = args[1] if len(args) > 1 else kwargs.get("dim", 0)
    # In a loader's worker PyG offers shared memory as `out`; what has no storage needs none.
    if all(isinstance(tensor, CompleteIndex) for tensor in tensors) and dim in (1, -1):
        return CompleteIndex.batched(tensors)
    return shaping.cat(name, args, kwargs)


RULES: dict[str, Rule] = {
    "index_select": lift, "__getitem__": getitem, "scatter_add_": scatter_add, "scatter_add": scatter_add,
    "scatter_reduce_": scatter_reduce, "new_zeros": new, "new_ones": new, "new_full": new, "new_empty": new,
    "ones_like": like, "zeros_like": like, "full_like": like, "cat": cat, "concat": cat, "concatenate": cat,
}
