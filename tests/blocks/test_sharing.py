"""A write in place is seen wherever it is seen on real edges, or refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch_geometric.nn as pyg
from torch import Tensor

from avsgn_pyg.blocks import CompleteIndex, FallbackError, count_paths

INDEX = CompleteIndex(2, 3)


class Bare(pyg.MessagePassing):
    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.propagate(index, x=x)

    def message(self, x_j: Tensor) -> Tensor:
        return self.change(x_j)


def into_a_view(x_j: Tensor) -> Tensor:
    heads = x_j.view(-1, 2, 4)
    heads.mul_(3)
    return x_j


def into_the_base(x_j: Tensor) -> Tensor:
    heads = x_j.view(-1, 2, 4)
    x_j.mul_(3)
    return heads.flatten(1)


def through_two_views(x_j: Tensor) -> Tensor:
    flat = x_j.unsqueeze(1).view(-1, 2, 4)
    other = x_j.reshape(-1, 4, 2)
    torch.relu_(flat)
    other[:, 0] = 1
    return flat.flatten(1) + x_j


def under_its_old_name(x_j: Tensor) -> Tensor:
    x_j = x_j.view(-1, 2, 4)
    x_j.add_(1)
    return x_j.flatten(1)


def after_an_attention(x_j: Tensor) -> Tensor:
    first = x_j[:, :4].sum(-1, keepdim=True)  # the slice itself is gone
    x_j.mul_(2)
    return first * x_j


def into_a_copy(x_j: Tensor) -> Tensor:
    other = x_j.clone()
    other.mul_(3)
    return x_j + other


@pytest.mark.parametrize("change", [into_a_view, into_the_base, through_two_views, under_its_old_name,
                                    after_an_attention, into_a_copy])
def test_a_write_is_seen_in_every_view(change: Callable[[Tensor], Tensor]):
    x = torch.randn(6, 8, dtype=torch.double)
    torch.testing.assert_close(Bare(change)(x, INDEX), Bare(change)(x, INDEX.edge_list()))


def test_a_write_into_a_view_needs_no_real_edges():
    with count_paths(strict=True):
        Bare(into_a_view)(torch.randn(6, 8), INDEX)


def into_a_slice(x_j: Tensor) -> Tensor:
    x_j[:, :4].mul_(3)
    return x_j


def into_a_chunk(x_j: Tensor) -> Tensor:
    one, _ = x_j.chunk(2, -1)
    one.relu_()
    return x_j


def under_a_slice(x_j: Tensor) -> Tensor:
    first = x_j[:, :4]
    x_j.mul_(3)
    return torch.cat((first, first), -1)


def detached(x_j: Tensor) -> Tensor:
    x_j.view(-1, 2, 4).detach().mul_(3)
    return x_j


@pytest.mark.parametrize("change", [into_a_slice, into_a_chunk, under_a_slice, detached])
def test_a_write_that_a_part_would_see_is_refused(change: Callable[[Tensor], Tensor]):
    with pytest.raises(FallbackError, match="share no memory"):
        Bare(change)(torch.randn(6, 8), INDEX)
