"""Tensor subclasses without storage, and the table of rules by which torch operations run on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from avsgn_pyg.blocks.count import FallbackError

#: torch function -> rule. A rule takes the arguments of the function and returns the result, or NotImplemented if
#: it does not cover these arguments. The rule files fill the table.
RULES: dict[Callable[..., Any], Callable[..., Any]] = {}


def functions(*names: str) -> list[Callable[..., Any]]:
    """Every function with one of these names in ``Tensor``, ``torch`` and ``torch.nn.functional``."""
    found = [getattr(space, name, None) for name in names
             for space in ((Tensor,) if name.startswith("__") else (Tensor, torch, F))]
    return [function for function in found if function is not None]


def rule(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers the decorated function as the rule of all torch functions with these names."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        RULES.update(dict.fromkeys(functions(*names), function))
        return function

    return register


def no_rule(operation: Any) -> FallbackError:
    """The error for an operation that has no rule for its arguments."""
    owner = getattr(operation, "__self__", None) if getattr(operation, "__name__", "") == "__get__" else operation
    name = getattr(owner, "__name__", str(operation))
    return FallbackError(f"expected an operation with a rule on complete blocks, got {name}; run the layer on "
                         "CompleteIndex.edge_list()")


class StandIn(Tensor):
    """A tensor whose shape, dtype and device are real and whose numbers are stored elsewhere, or nowhere.

    Torch operations run by :data:`RULES`; an operation without a rule raises :class:`FallbackError`.
    """

    layout = torch.strided
    is_sparse = is_quantized = is_nested = requires_grad = False

    @classmethod
    def blank(cls, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Any:
        """An instance of this shape; the caller sets the attributes of its class."""
        made = Tensor._make_wrapper_subclass(cls, shape, dtype=dtype, device=device)
        made._shape, made._dtype, made._device = torch.Size(shape), dtype, device
        return made

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        found = RULES.get(func)
        if found is not None:
            try:
                out = found(*args, **(kwargs or {}))
            except TypeError as error:  # arguments that the rule does not take
                raise no_rule(func) from error
            if out is not NotImplemented:
                return out
        return cls.without_rule(func, types, args, kwargs or {})

    @classmethod
    def without_rule(cls, func: Any, types: Any, args: tuple, kwargs: dict) -> Any:
        """Runs an operation that no rule covers."""
        raise no_rule(func)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Compiled code and custom operators skip __torch_function__ and end here.
        raise no_rule(func)

    # Read at every step of a convolution, so without a search for a rule.
    shape = property(lambda self: self._shape)
    dtype = property(lambda self: self._dtype)
    device = property(lambda self: self._device)
    ndim = property(lambda self: len(self._shape))
    is_cuda = property(lambda self: self._device.type == "cuda")

    def size(self, dim: int | None = None) -> Any:
        return self._shape if dim is None else self._shape[dim]

    def dim(self) -> int:
        return len(self._shape)

    def numel(self) -> int:
        return self._shape.numel()

    def __len__(self) -> int:
        return self._shape[0]

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self, **_: Any) -> str:
        return f"{type(self).__name__}(shape={list(self._shape)}, dtype={self._dtype})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(f"expected a tensor with storage to copy or pickle, got {self!r}; use edge_list() or plain()")

    __deepcopy__ = __reduce_ex__


@rule("is_floating_point")
def is_floating_point(value: Tensor) -> bool:
    return value.dtype.is_floating_point


@rule("numel", "nelement")
def numel(value: Tensor) -> int:
    return value.shape.numel()
