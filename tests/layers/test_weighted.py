"""Each weighted layer equals its formula in plain matrices, and PyG's layer where all weights are one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn

from avsgn_pyg.graph.topology import complete_edges
from avsgn_pyg.layers.weighted import LinearAPPNP, PlainARMA, PlainSG, WeightedFiLM, WeightedGIN, WeightedSAGE

N, D = 5, 8
EDGES = complete_edges(1, N, N)


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def given() -> tuple[Tensor, Tensor]:
    return torch.randn(N, D), torch.randn(N, N).softmax(-1)


def run(conv: nn.Module, x: Tensor, adjacency: Tensor) -> Tensor:
    return conv(x, EDGES, adjacency.flatten())


@pytest.mark.parametrize(("aggr", "reduce"), [("add", torch.Tensor.sum), ("max", torch.Tensor.amax)])
def test_sage_reduces_weighted_neighbours(aggr: str, reduce: Callable[..., Tensor]):
    conv, (x, a) = WeightedSAGE(D, D, aggr=aggr), given()
    torch.testing.assert_close(run(conv, x, a), conv.lin_l(reduce(a[..., None] * x, 1)) + conv.lin_r(x))


def test_gin_adds_weighted_neighbours_to_the_node_itself():
    conv, (x, a) = WeightedGIN(nn.Linear(D, D), eps=0.4), given()
    torch.testing.assert_close(run(conv, x, a), conv.nn(a @ x + 1.4 * x))


def test_film_modulates_every_message_and_weighs_it():
    conv, (x, a) = WeightedFiLM(D, D, aggr="add"), given()
    shift, scale = conv.films[0](x).chunk(2, dim=-1)
    own_shift, own_scale = conv.film_skip(x).chunk(2, dim=-1)
    messages = (scale[:, None] * conv.lins[0](x) + shift[:, None]).relu()  # [target, source, D]
    expected = (own_scale * conv.lin_skip(x) + own_shift).relu() + (a[..., None] * messages).sum(1)
    torch.testing.assert_close(run(conv, x, a), expected)


def test_appnp_is_its_formula():
    conv, (x, a) = LinearAPPNP(D, K=3, alpha=0.2, dropout=0.0, bias=True), given()
    start = found = conv.lin(x)
    for _ in range(3):
        found = 0.8 * a @ found + 0.2 * start
    torch.testing.assert_close(run(conv, x, a), found)


def test_sg_is_a_power_of_the_adjacency():
    conv, (x, a) = PlainSG(D, D, K=3), given()
    torch.testing.assert_close(run(conv, x, a), conv.lin(a @ a @ a @ x))


def test_arma_is_its_formula_over_stacks_and_layers():
    conv, (x, a) = PlainARMA(D, D, num_stacks=2, num_layers=2), given()
    stacks = []
    for k in range(2):
        first = (a @ x @ conv.init_weight[k] + x @ conv.root_weight[0][k] + conv.bias[0][k]).relu()
        stacks.append((a @ first @ conv.weight[0][k] + x @ conv.root_weight[1][k] + conv.bias[1][k]).relu())
    torch.testing.assert_close(run(conv, x, a), (stacks[0] + stacks[1]) / 2)


@pytest.mark.parametrize(("ours", "theirs"), [
    (WeightedSAGE(D, D, aggr="add"), pyg.SAGEConv(D, D, aggr="add")),
    (WeightedGIN(nn.Linear(D, D)), pyg.GINConv(nn.Linear(D, D))),
    (WeightedFiLM(D, D, aggr="add"), pyg.FiLMConv(D, D, aggr="add")),
], ids=["sage", "gin", "film"])
def test_with_weights_of_one_a_layer_equals_that_of_pyg(ours: nn.Module, theirs: nn.Module):
    x, _ = given()
    theirs.load_state_dict(ours.state_dict())
    ours, theirs = ours.double(), theirs.double()
    torch.testing.assert_close(run(ours, x, torch.ones(N, N)), theirs(x, EDGES))
