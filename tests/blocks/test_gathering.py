"""Gathering nodes for edges and reducing edges per node equal those along the edge list."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch_geometric.utils import scatter

from avsgn_pyg.blocks import CompleteIndex, FallbackError

INDEX = CompleteIndex(2, 3)
X = torch.randn(6, 4, dtype=torch.double)


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("read", [lambda x, row: x.index_select(0, row), lambda x, row: x[row],
                                  lambda x, row: x.index_select(index=row, dim=-2), lambda x, row: x[:, 0][row]])
def test_edges_gather_their_node(row: int, read: Callable[[Tensor, Tensor], Tensor]):
    assert torch.equal(read(X, INDEX[row]).plain(), read(X, INDEX.edge_list()[row]))


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min"])
@pytest.mark.parametrize("width", [(), (4,), (2, 2)])
def test_edges_are_reduced_per_node(row: int, reduce: str, width: tuple[int, ...]):
    values = torch.randn(18, *width, dtype=torch.double)
    ours = scatter(INDEX.edges(values), INDEX[row], 0, dim_size=6, reduce=reduce)
    torch.testing.assert_close(ours, scatter(values, INDEX.edge_list()[row], 0, dim_size=6, reduce=reduce))


def test_a_sum_adds_to_the_given_tensor():
    value = X[INDEX[0]]
    ours = torch.ones(6, 4).double().scatter_add_(0, INDEX[1].view(-1, 1).expand_as(value), value)
    torch.testing.assert_close(ours, 1 + scatter(value.plain(), INDEX.edge_list()[1]))


def sum_twice() -> None:
    zeros = X[INDEX[0]].new_zeros(6)
    for _ in range(2):
        zeros.scatter_add_(0, INDEX[1], torch.ones(18).double())


def sum_into_read_zeros() -> None:
    zeros = X[INDEX[0]].new_zeros(6)
    assert float(zeros.sum()) == 0
    zeros.scatter_add_(0, INDEX[1], torch.ones(18).double())


@pytest.mark.parametrize("operation", [
    lambda: torch.randn(7, 4).index_select(0, INDEX[0]), lambda: torch.randn(4, 6).index_select(1, INDEX[0]),
    lambda: scatter(INDEX.edges(torch.rand(18)), INDEX[1], 0, 6, "mul"),
    lambda: scatter(INDEX.edges(torch.rand(18)), INDEX[1], 0, 7, "sum"),
    lambda: scatter(INDEX.edges(torch.rand(18)), INDEX.edge_list()[1], 0, 6, "sum"), sum_twice, sum_into_read_zeros,
])
def test_other_reads_and_reductions_fall_back(operation: Callable[[], Tensor]):
    with pytest.raises(FallbackError):
        operation()
