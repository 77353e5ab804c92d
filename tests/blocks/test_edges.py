"""Edge values: gradients follow the mode in which a value was computed, and differences keep their precision."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from avsgn_pyg.blocks import CompleteIndex, FallbackError

GRAPHS, NODES, DIM = 3, 6, 16
INDEX = CompleteIndex(GRAPHS, NODES)


class Layer(MessagePassing):
    """Sums a function of both ends of an edge."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.propagate(index, x=x)

    def message(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return self.function(x_i, x_j)


def test_a_difference_squared_does_not_cancel():
    """Multiplied out, |x_i - x_j|^2 of near nodes far from zero would be noise."""
    layer = Layer(lambda x_i, x_j: ((x_i - x_j) * (x_i - x_j)).sum(-1, keepdim=True))
    x = 1e6 + torch.randn(GRAPHS * NODES, DIM, dtype=torch.double)
    torch.testing.assert_close(layer(x, INDEX), layer(x, INDEX.edge_list()), rtol=1e-12, atol=0)


def product_without_gradients(x_i: Tensor, x_j: Tensor) -> Tensor:
    with torch.no_grad():
        weight = x_i * x_j
    return weight * x_j


def concatenation_without_gradients(x_i: Tensor, x_j: Tensor) -> Tensor:
    with torch.no_grad():
        both = torch.cat((x_i, x_j), -1)
    return nn.functional.linear(both, torch.ones(DIM, 2 * DIM, dtype=x_i.dtype)) * x_j


def tanh_without_gradients(x_i: Tensor, x_j: Tensor) -> Tensor:
    product = x_i * x_j
    with torch.no_grad():
        weight = product.tanh()
    return weight * product


@pytest.mark.parametrize("function", [product_without_gradients, concatenation_without_gradients,
                                      tanh_without_gradients, lambda x_i, x_j: (x_i * x_j).detach() * x_j])
def test_gradients_flow_only_where_they_were_recorded(function: Callable[[Tensor, Tensor], Tensor]):
    x, layer = torch.randn(GRAPHS * NODES, DIM, dtype=torch.double, requires_grad=True), Layer(function)
    ours, wanted = layer(x, INDEX), layer(x, INDEX.edge_list())
    torch.testing.assert_close(ours, wanted)
    assert ours.requires_grad == wanted.requires_grad
    if wanted.requires_grad:
        upstream = torch.randn_like(wanted)
        torch.testing.assert_close(torch.autograd.grad(ours, x, upstream), torch.autograd.grad(wanted, x, upstream))


def test_values_of_width_zero_are_an_error():
    with pytest.raises(FallbackError, match="at least one number"):
        INDEX.edges(torch.zeros(GRAPHS * NODES * NODES, 0))


def test_values_of_different_indices_do_not_mix():
    with pytest.raises(FallbackError):
        torch.randn(36, 2).index_select(0, CompleteIndex(1, 36)[0]) + torch.randn(36, 2)[CompleteIndex(6, 6)[0]]
