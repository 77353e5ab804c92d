"""The five operations of PyG's edge softmax run as one, and as written where a step is used in another way."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.utils import scatter, softmax

from avsgn_pyg.blocks import CompleteIndex, FallbackError

INDEX = CompleteIndex(2, 5)


class Operations(TorchDispatchMode):
    """The names of what really runs."""

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


def test_wide_scores_and_scores_of_one_end_agree_too():
    for trail in ((), (40,), (2, 3)):
        flat, blocks = scores(*trail)
        torch.testing.assert_close(softmax(blocks, INDEX[1]).plain(), softmax(flat, INDEX.edge_list()[1]))
    x, (source, target) = torch.randn(10, 4), INDEX.edge_list()
    torch.testing.assert_close(softmax(x[INDEX[0]], INDEX[1]).plain(), softmax(x[source], target))
    torch.testing.assert_close(softmax(x[INDEX[1]], INDEX[1]).plain(), softmax(x[target], target))


def test_over_the_sources_outgoing_edges_it_is_the_other_axis():
    flat, blocks = scores(4)
    torch.testing.assert_close(softmax(blocks, INDEX[0]).plain(), softmax(flat, INDEX.edge_list()[0]))


def test_the_steps_used_in_another_way_are_computed_as_written():
    flat, blocks = scores(4)
    target = INDEX.edge_list()[1]
    largest = scatter(blocks.detach(), INDEX[1], 0, dim_size=10, reduce="max")
    oracle = scatter(flat, target, 0, dim_size=10, reduce="max")
    torch.testing.assert_close(largest * 2, oracle * 2)
    shifted = blocks - largest.index_select(0, INDEX[1])
    torch.testing.assert_close((shifted * 3).plain(), (flat - oracle[target]) * 3)
    weight = shifted.exp()
    torch.testing.assert_close((weight + 1).plain(), (flat - oracle[target]).exp() + 1)
    total = scatter(weight, INDEX[1], 0, dim_size=10)
    torch.testing.assert_close(total.log(), scatter((flat - oracle[target]).exp(), target, 0, dim_size=10).log())


@pytest.mark.parametrize("eps", [1.0, 1e-3, -1e-16])
def test_a_sum_with_something_added_is_no_softmax(eps: float):
    flat, blocks = scores(4)
    target = INDEX.edge_list()[1]
    largest = scatter(blocks.detach(), INDEX[1], 0, dim_size=10, reduce="max")
    weight = (blocks - largest.index_select(0, INDEX[1])).exp()
    total = scatter(weight, INDEX[1], 0, dim_size=10) + eps
    oracle = (flat - scatter(flat, target, 0, dim_size=10, reduce="max")[target]).exp()
    wanted = oracle / (scatter(oracle, target, 0, dim_size=10) + eps)[target]
    torch.testing.assert_close((weight / total.index_select(0, INDEX[1])).plain(), wanted, rtol=1e-12, atol=0)


def test_gradients_are_those_of_the_edge_list():
    flat = torch.randn(50, 4, dtype=torch.double, requires_grad=True)
    upstream = torch.randn_like(flat)
    ours, = torch.autograd.grad(softmax(INDEX.edges(flat), INDEX[1]).plain(), flat, upstream)
    wanted, = torch.autograd.grad(softmax(flat, INDEX.edge_list()[1]), flat, upstream)
    torch.testing.assert_close(ours, wanted)


def test_a_sum_that_was_noted_cannot_be_written():
    _, blocks = scores(4)
    largest = scatter(blocks.detach(), INDEX[1], 0, dim_size=10, reduce="max")
    with pytest.raises(FallbackError):
        largest.mul_(2)


def partly(score: Tensor, row: Tensor, step: str) -> Tensor:
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
def test_a_step_without_gradients_passes_none_on(step: str):
    flat = torch.randn(50, 4, dtype=torch.double, requires_grad=True)
    ours, wanted = partly(INDEX.edges(flat), INDEX[1], step).plain(), partly(flat, INDEX.edge_list()[1], step)
    torch.testing.assert_close(ours, wanted)
    assert ours.requires_grad == wanted.requires_grad
    if wanted.requires_grad:
        upstream = torch.randn_like(flat)
        one, two = (torch.autograd.grad(value, flat, upstream) for value in (ours, wanted))
        torch.testing.assert_close(one, two)
