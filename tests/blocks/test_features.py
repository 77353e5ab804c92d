"""Views, sums, concatenations and linear maps of feature axes equal those of ordinary tensors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from avsgn_pyg.blocks import CompleteIndex, FallbackError, count_paths

INDEX = CompleteIndex(2, 3)
X = torch.randn(6, 8, dtype=torch.double)
ROWS = torch.randn(18, 8, dtype=torch.double)
ONE = torch.randn(18, 1, dtype=torch.double)
WEIGHT, BIAS = torch.randn(4, 8, dtype=torch.double), torch.randn(4, dtype=torch.double)
WIDE = torch.randn(4, 17, dtype=torch.double)

OPERATIONS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "view": lambda i, j, e: i.view(-1, 2, 4) * j.view(18, 2, -1),
    "view of a product": lambda i, j, e: (e * j).view(-1, 8),
    "view by size": lambda i, j, e: i.reshape((18, 4, 2)), "flatten": lambda i, j, e: i.view(-1, 2, 4).flatten(1),
    "flatten from the end": lambda i, j, e: i.view(-1, 2, 2, 2).flatten(-2),
    "unsqueeze": lambda i, j, e: i.unsqueeze(1), "unsqueeze last": lambda i, j, e: (e * i).unsqueeze(-1),
    "squeeze": lambda i, j, e: e.squeeze(-1),
    "view of a sum": lambda i, j, e: (e + j).view(-1, 2, 4), "view to none": lambda i, j, e: e.view(-1),
    "sum": lambda i, j, e: (i * j).sum(-1), "sum of heads": lambda i, j, e: (i * j).view(-1, 2, 4).sum(dim=-1),
    "sum kept": lambda i, j, e: (e * i + j).sum(-1, keepdim=True), "sum of narrow": lambda i, j, e: (e + i * 0).sum(-1),
    "sum inside": lambda i, j, e: i.view(-1, 2, 4).sum(1), "mean": lambda i, j, e: (i * j).mean(-1),
    "mean of heads": lambda i, j, e: i.view(-1, 2, 4).mean(dim=1), "softmax": lambda i, j, e: (i - j).softmax(-1),
    "softmax of heads": lambda i, j, e: F.softmax(i.view(-1, 2, 4), dim=1),
    "linear": lambda i, j, e: F.linear(i, WEIGHT, BIAS),
    "linear of a sum": lambda i, j, e: F.linear(i - j, WEIGHT, BIAS),
    "linear of a product": lambda i, j, e: F.linear(e * j, WEIGHT, BIAS),
    "linear of squares": lambda i, j, e: F.linear(i * j + e, WEIGHT), "matmul": lambda i, j, e: (i + j) @ WEIGHT.t(),
    "linear of a number": lambda i, j, e: F.linear(e, WIDE[:, :1], BIAS),
    "linear of a concatenation": lambda i, j, e: F.linear(torch.cat((i, j, e), -1), WIDE, BIAS),
    "linear of a single one": lambda i, j, e: F.linear(torch.cat((e, i, j), 1), WIDE),
    "concatenation": lambda i, j, e: torch.cat([i, ROWS, e * j], dim=-1), "linear of rows": lambda i, j, e: F.linear(
        torch.cat((ROWS, i, ONE), -1), WIDE),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_equals_that_on_the_edge_list(name: str):
    source, target = INDEX.edge_list()
    ours = OPERATIONS[name](X[INDEX[1]], X[INDEX[0]], INDEX.edges(ONE))
    wanted = OPERATIONS[name](X[target], X[source], ONE)
    assert ours.shape == wanted.shape
    torch.testing.assert_close(ours.plain(), wanted)


@pytest.mark.parametrize("name", ["linear of a sum", "linear of a concatenation", "linear of a number"])
def test_a_linear_map_writes_nothing_out(name: str):
    with count_paths() as paths:
        OPERATIONS[name](X[INDEX[1]], X[INDEX[0]], INDEX.edges(ONE))
    assert not paths.broadcast


@pytest.mark.parametrize("operation", [
    lambda x: x.view(-1), lambda x: x.view(6, 3, 8), lambda x: x.flatten(), lambda x: x.unsqueeze(0),
    lambda x: x.softmax(0), lambda x: x.sum((0, 1)), lambda x: x.sum(-1, dtype=torch.float), lambda x: x @ x,
    lambda x: torch.cat((x, x), 0), lambda x: torch.cat((x, torch.ones(1, 8).double()), -1), lambda x: x.squeeze(),
])
def test_operations_across_edges_fall_back(operation: Callable[[Tensor], Tensor]):
    with pytest.raises(FallbackError):
        operation(X[INDEX[0]])
