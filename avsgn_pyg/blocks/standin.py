"""Tensors without storage: shape, dtype and device are true, the numbers live in smaller tensors elsewhere."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class StandIn(Tensor):
    """Stands where PyG expects a tensor with a row per edge or node; operations go to the rules of the package."""

    layout = torch.strided

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{func} reached a {cls.__name__}, which has no storage; hand it {cls.__name__}.plain()")

    @classmethod
    def blank(cls, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Any:
        made = Tensor._make_wrapper_subclass(cls, shape, dtype=dtype, device=device)
        made._shape, made._dtype, made._device = torch.Size(shape), dtype, device
        return made

    # Asked for at every step of a convolution: answered here, without a detour through the rules.
    shape = property(lambda self: self._shape)
    dtype = property(lambda self: self._dtype)
    device = property(lambda self: self._device)
    is_cuda = property(lambda self: self._device.type == "cuda")

    def size(self, dim: int | None = None) -> Any:
        return self._shape if dim is None else self._shape[dim]

    def dim(self) -> int:
        return len(self._shape)

    def numel(self) -> int:
        return self._shape.numel()

    #: The complete index whose edges these are; None for values of nodes.
    complete: Any = None

    def plain(self) -> Tensor:
        """The ordinary tensor that this stands for."""
        raise NotImplementedError

    def written(self, func: Any, args: tuple, kwargs: dict) -> Any:
        """Carries out a writing operation that has no rule of its own."""
        raise TypeError(f"{func.__name__} would write into {self!r}, which never changes; use edge_list()")

    def __len__(self) -> int:
        return self._shape[0]

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self, **_: Any) -> str:
        return f"{type(self).__name__}(shape={list(self._shape)}, dtype={self._dtype})"

    # What is copied, stored or sent is the ordinary tensor; an index, which has a better answer, overrides them.
    def __deepcopy__(self, memo: dict) -> Tensor:
        return self.plain().__deepcopy__(memo)

    def __reduce_ex__(self, protocol: int) -> Any:
        return self.plain().__reduce_ex__(protocol)
