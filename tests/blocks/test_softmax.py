"""The five operations of PyG's edge softmax run as one; other uses of them agree with the edge list."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.utils import scatter, softmax

from avsgn_pyg.blocks import CompleteIndex

INDEX = CompleteIndex(2, 5)


class Operations(TorchDispatchMode):
    """Names of the operations that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func._schema.name)
        return func(*args, **(kwargs or {}))


def scores(*trail: int) -> tuple[Tensor, Tensor]:
    flat = torch.randn(50, *trail, dtype=torch.double)
    return flat, INDEX.edges(flat)


def test_an_edge_softmax_is_one_operation():
    flat, blocks = scores(4)
    with Operations() as operations:
        ours = softmax(blocks, INDEX[1], num_nodes=10)
    assert operations.names.count("aten::_softmax") == 1
    assert not {"aten::exp", "aten::amax", "aten::sub", "aten::div", "aten::sum"} & set(operations.names)
    torch.testing.assert_close(ours.plain(), softmax(flat, INDEX.edge_list()[1], num_nodes=10))


def test_other_shapes_and_axes_agree():
    for trail in ((), (40,), (2, 3)):
        flat, blocks = scores(*trail)
        torch.testing.assert_close(softmax(blocks, INDEX[1]).plain(), softmax(flat, INDEX.edge_list()[1]))
    torch.testing.assert_close(softmax(blocks, INDEX[0]).plain(), softmax(flat, INDEX.edge_list()[0]))
    x, (source, target) = torch.randn(10, 4), INDEX.edge_list()
    torch.testing.assert_close(softmax(x[INDEX[0]], INDEX[1]).plain(), softmax(x[source], target))
    torch.testing.assert_close(softmax(x[INDEX[1]], INDEX[1]).plain(), softmax(x[target], target))


def test_other_uses_of_the_steps_agree():
    flat, blocks = scores(4)
    target = INDEX.edge_list()[1]
    largest = scatter(blocks.detach(), INDEX[1], 0, dim_size=10, reduce="max")
    expected = scatter(flat, target, 0, dim_size=10, reduce="max")
    torch.testing.assert_close(largest * 2, expected * 2)
    shifted = blocks - largest.index_select(0, INDEX[1])
    torch.testing.assert_close((shifted * 3).plain(), (flat - expected[target]) * 3)
    weight = shifted.exp()
    torch.testing.assert_close((weight + 1).plain(), (flat - expected[target]).exp() + 1)
    total = scatter(weight, INDEX[1], 0, dim_size=10)
    torch.testing.assert_close(total.log(), scatter((flat - expected[target]).exp(), target, 0, dim_size=10).log())


@pytest.mark.parametrize("eps", [1.0, 1e-3, -1e-16])
def test_a_changed_sum_is_not_replaced_by_a_softmax(eps: float):
    flat, blocks = scores(4)
    target = INDEX.edge_list()[1]
    largest = scatter(blocks.detach(), INDEX[1], 0, dim_size=10, reduce="max")
    weight = (blocks - largest.index_select(0, INDEX[1])).exp()
    total = scatter(weight, INDEX[1], 0, dim_size=10) + eps
    expected = (flat - scatter(flat, target, 0, dim_size=10, reduce="max")[target]).exp()
    wanted = expected / (scatter(expected, target, 0, dim_size=10) + eps)[target]
    torch.testing.assert_close((weight / total.index_select(0, INDEX[1])).plain(), wanted, rtol=1e-12, atol=0)


def softmax_without(score: Tensor, row: Tensor, step: str) -> Tensor:
    """A softmax of which one step records no gradients."""
    with torch.set_grad_enabled(step != "max"):
        shift = scatter(score.detach(), row, 0, dim_size=10, reduce="max").index_select(0, row)
    with torch.set_grad_enabled(step != "sub"):
        shifted = score - shift
    with torch.set_grad_enabled(step != "exp"):
        weight = shifted.exp()
    with torch.set_grad_enabled(step != "sum"):
        total = scatter(weight, row, 0, dim_size=10) + 1e-16
    with torch.set_grad_enabled(step != "lift"):
        total = total.index_select(0, row)
    with torch.set_grad_enabled(step != "div"):
        return weight / total


@pytest.mark.parametrize("step", ["", "max", "sub", "exp", "sum", "lift", "div"])
def test_gradients_agree_where_a_step_records_none(step: str):
    flat = torch.randn(50, 4, dtype=torch.double, requires_grad=True)
    ours = softmax_without(INDEX.edges(flat), INDEX[1], step).plain()
    wanted = softmax_without(flat, INDEX.edge_list()[1], step)
    torch.testing.assert_close(ours, wanted)
    assert ours.requires_grad == wanted.requires_grad
    if wanted.requires_grad:
        upstream = torch.randn_like(flat)
        one, two = (torch.autograd.grad(value, flat, upstream) for value in (ours, wanted))
        torch.testing.assert_close(one, two)
