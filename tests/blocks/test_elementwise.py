"""Arithmetic, activations and dropout on edge values equal those on ordinary tensors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from avsgn_pyg.blocks import CompleteIndex, FallbackError

GRAPHS, NODES, DIM = 2, 3, 4
INDEX = CompleteIndex(GRAPHS, NODES)
X = torch.randn(GRAPHS * NODES, DIM, dtype=torch.double)
ROWS = torch.rand(GRAPHS * NODES * NODES, DIM, dtype=torch.double) + 0.5
CHANNELS = torch.rand(DIM, dtype=torch.double) + 0.5

OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "times": lambda i, j: i * j, "plus": lambda i, j: i + j, "minus": lambda i, j: i - j,
    "divided": lambda i, j: i / (j * j + 1), "numbers": lambda i, j: 2 * (1 - i) / 3 + j * 0.5 - 1,
    "number over": lambda i, j: 1 / (i * i + 1), "rows": lambda i, j: (i - ROWS) / ROWS * ROWS + ROWS,
    "rows before": lambda i, j: ROWS - ROWS * i / ROWS, "one per row": lambda i, j: ROWS[:, :1] * j + ROWS[:, :1] * i,
    "channels": lambda i, j: (i + CHANNELS) * CHANNELS - j / CHANNELS, "one row": lambda i, j: i * CHANNELS[None],
    "scalar tensor": lambda i, j: i * torch.tensor(2.0) + torch.tensor(1.0), "sums": lambda i, j: (i + j) * (i - j),
    "activations": lambda i, j: F.leaky_relu(i - j, 0.1) + F.gelu(j, approximate="tanh") + F.elu(i),
    "methods": lambda i, j: (i * j).sigmoid().log() + torch.tanh(i + j).pow(2) + j.clamp(min=0) ** 2 - (-i).exp(),
    "long sum": lambda i, j: i + j + i * j + ROWS + CHANNELS + i * ROWS + j * ROWS,
    "zero": lambda i, j: i / 0.0,
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_equals_that_on_the_edge_list(name: str):
    ours, wanted = ([X[edges[1]], X[edges[0]]] for edges in (INDEX, INDEX.edge_list()))
    ours, wanted = OPERATIONS[name](*ours), OPERATIONS[name](*wanted)
    assert ours.shape == wanted.shape and ours.dtype == wanted.dtype
    torch.testing.assert_close(ours.plain(), wanted)


@pytest.mark.parametrize("operation", [
    lambda value: torch.add(value, value, alpha=2), lambda value: value * X, lambda value: value + value.sum(-1),
    lambda value: value.pow(CHANNELS),
])
def test_operands_without_a_rule_fall_back(operation: Callable[[Tensor], Tensor]):
    with pytest.raises(FallbackError):
        operation(X[INDEX[0]])


def test_dropout_draws_for_every_edge_and_scales():
    """One draw a source would make all targets of a graph equal."""
    index = CompleteIndex(1, 200)
    value = F.dropout(torch.ones(200, 1)[index[0]], 0.5)
    received = torch.zeros(200, 1).scatter_add_(0, index[1].view(-1, 1).expand_as(value), value)
    assert received.unique().numel() > 10
    assert abs(float(received.mean()) - 200) < 10


def test_dropout_is_off_in_eval():
    value = X[INDEX[0]]
    torch.testing.assert_close(F.dropout(value, 0.5, training=False).plain(), value.plain())
