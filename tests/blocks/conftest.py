"""Native message passing on real edge lists is the oracle: values and every gradient, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn


def answers(conv: nn.Module, x: Any, index: Tensor, edges: dict[str, Tensor], upstream: Tensor | None = None,
            view: Callable[[Tensor], Tensor] = lambda value: value) -> list[Tensor | None]:
    """Output, and gradients of x, of the edge tensors and of every parameter."""
    out = conv(x, index, **{name: view(value) for name, value in edges.items()})
    assert type(out) is Tensor
    if upstream is None:
        upstream = torch.linspace(0.5, 1.5, out.numel(), dtype=out.dtype).view_as(out)
    wanted = [*(x if isinstance(x, tuple) else (x,)), *edges.values(), *conv.parameters()]
    return [out, *torch.autograd.grad(out, wanted, upstream, allow_unused=True)]


def agree(one: list[Tensor | None], two: list[Tensor | None]) -> None:
    assert len(one) == len(two)
    for place, (ours, oracle) in enumerate(zip(one, two, strict=True)):
        assert (ours is None) == (oracle is None), place
        if ours is not None:
            torch.testing.assert_close(ours, oracle, rtol=1e-9, atol=1e-10, msg=lambda text, at=place: f"{at}: {text}")


@pytest.fixture(scope="session")
def oracle() -> tuple[Callable[..., list], Callable[..., None]]:
    return answers, agree
