"""How a torch operation on stand-ins finds its rule, and what happens where there is none."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from avsgn_pyg.blocks.count import NO_RULE, FallbackError, count_fallback
from avsgn_pyg.blocks.standin import StandIn

#: ``(name, args, kwargs) -> result``, or NotImplemented where the rule does not cover these arguments.
Rule = Callable[[str, tuple, dict], Any]

#: Answered from the shape, dtype and device that a stand-in truly has.
ASKED = ("dim", "size", "numel", "nelement", "ndimension", "is_floating_point", "is_complex", "element_size",
         "stride", "storage_offset", "get_device", "is_contiguous", "is_conj", "is_neg", "is_inference")
ATTRIBUTES = {"shape", "dtype", "device", "layout", "ndim", "requires_grad", "is_leaf", "grad_fn", "is_cuda", "is_cpu",
              "is_mps", "is_xpu", "is_sparse", "is_sparse_csr", "is_mkldnn", "is_quantized", "is_nested", "is_meta",
              "itemsize", "nbytes", "names", "_version", "is_vulkan", "is_maia", "is_mtia"}


def functions(*names: str) -> list[Any]:
    """Every function that torch has under these names: of tensors, of ``torch`` and of ``torch.nn.functional``."""
    found = [getattr(space, name, None) for name in names
             for space in ((Tensor,) if name.startswith("__") else (Tensor, torch, F))]
    return [function for function in found if function is not None]


@functools.cache
def table() -> tuple[dict[Any, tuple[str, Rule]], frozenset[Any]]:
    # Late, as the rules make stand-ins and these are made of this module.
    from avsgn_pyg.blocks import arithmetic, gathering, shaping

    rules = {function: (name, rule)
             for rows in (arithmetic.RULES, shaping.RULES, gathering.RULES)
             for name, rule in rows.items() for function in functions(name)}
    return rules, frozenset(functions(*ASKED))


def dispatch(cls: type, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
    """``__torch_function__`` of every stand-in."""
    rules, asked = table()
    found = rules.get(func)
    if found is not None:
        out = found[1](found[0], args, kwargs or {})
        if out is not NotImplemented:
            return out
    elif func in asked or (func.__name__ == "__get__" and func.__self__.__name__ in ATTRIBUTES):
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))
    return fall_back(func, args, kwargs or {})


def fall_back(func: Any, args: tuple, kwargs: dict) -> Any:
    """Runs an operation on the ordinary tensors, and says so.

    Raises:
        FallbackError: where counting or the index is strict, and where edges are masked: the flat values hold rows
            of edges that do not exist, and only rules know how to leave them out.
        TypeError: for a write into the index.
    """
    name = func.__self__.__name__ if func.__name__ == "__get__" else func.__name__
    indices = found_indices((args, kwargs))
    if any(index.exists is not None for index in indices):
        raise FallbackError(NO_RULE.format(name))
    if indices:
        count_fallback(name, strict=any(index.strict for index in indices))
    if name == "__setitem__" or (name.endswith("_") and not name.endswith("__")):
        return args[0].written(func, plain(args[1:]), plain(kwargs)) if isinstance(args[0], StandIn) else \
            func(args[0], *plain(args[1:]), **plain(kwargs))
    return func(*plain(args), **plain(kwargs))


def plain(value: Any) -> Any:
    """The same arguments with ordinary tensors in place of stand-ins."""
    if isinstance(value, StandIn):
        return value.plain()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(plain(item) for item in value)
    return value


def found_indices(value: Any) -> list[Any]:
    """The complete indices that the arguments lean on; a value per node leans on none."""
    if isinstance(value, StandIn):
        return [] if value.complete is None else [value.complete]
    if isinstance(value, dict):
        value = list(value.values())
    return [index for item in value for index in found_indices(item)] if isinstance(value, (list, tuple)) else []
