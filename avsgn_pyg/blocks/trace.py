"""A convolution on complete blocks as a plain graph of operations, for ``torch.compile``.

A stand-in cannot be an input of a compiled function: it has no storage. What a convolution does on it, though, is
ordinary operations on ordinary tensors, and these can be recorded once for given sizes:

    step = torch.compile(traced(conv, x, index, edge_weight=weight))
    out = step(x, weight)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx


def traced(conv: nn.Module, x: Tensor | tuple[Tensor, ...], index: Tensor, /, *,
           settings: Mapping[str, Any] | None = None, **edges: Tensor) -> nn.Module:
    """Records ``conv(x, index, **settings, **edges)``.

    Args:
        conv: any convolution; its mode (train or eval) is recorded with it. The record holds the very parameters of
            the convolution, so training one trains both.
        x: node features, or a pair for bipartite graphs; only shapes and dtypes matter.
        index: a complete index, which becomes part of the record.
        settings: further arguments that are not tensors.
        edges: the tensors of the edges by keyword: ``edge_weight``, ``edge_attr``.

    Returns:
        A module called as ``module(x, *edges)``, edges in the order given, with tensors of the recorded shapes.
    """
    names = tuple(edges)

    def run(x: Any, *values: Tensor) -> Any:
        return conv(x, index, **(settings or {}), **dict(zip(names, values, strict=True)))

    # Without gradients, or the record would hold autograd's own bookkeeping; run again, it is differentiable.
    with torch.no_grad():
        return make_fx(run)(x, *edges.values())
