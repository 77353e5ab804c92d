"""Ordinary message passing along the edge list is the reference: values and every gradient, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from avsgn_pyg.blocks import CompleteIndex


def answers(conv: nn.Module, x: Tensor, index: Tensor, edges: dict[str, Tensor]) -> list[Tensor | None]:
    """Output, and gradients of x, of the edge tensors and of every parameter."""
    as_blocks = isinstance(index, CompleteIndex)
    out = conv(x, index, **{name: index.edges(value) if as_blocks else value for name, value in edges.items()})
    assert type(out) is Tensor
    upstream = torch.linspace(0.5, 1.5, out.numel(), dtype=out.dtype).view_as(out)
    return [out, *torch.autograd.grad(out, [x, *edges.values(), *conv.parameters()], upstream, allow_unused=True)]


def assert_agree(conv: nn.Module, x: Tensor, index: CompleteIndex, edges: dict[str, Tensor]) -> None:
    """The convolution answers on the index as along its edge list."""
    pairs = zip(answers(conv, x, index, edges), answers(conv, x, index.edge_list(), edges), strict=True)
    for place, (ours, wanted) in enumerate(pairs):
        assert (ours is None) == (wanted is None), place
        if ours is not None:
            torch.testing.assert_close(ours, wanted, rtol=1e-9, atol=1e-10, msg=lambda text, at=place: f"{at}: {text}")


@pytest.fixture(scope="session")
def agree() -> Callable[..., Any]:
    return assert_agree
