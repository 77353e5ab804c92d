"""Edge values under everything that may happen to them: dropout, autocast, vmap, second derivatives."""

from __future__ import annotations

import copy

import pytest
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from avsgn_pyg.blocks import CompleteIndex, count_paths

GRAPHS, NODES, DIM = 3, 6, 16
ATTENTION = {"heads": 4, "add_self_loops": False}

LAYERS = {
    "gcn": (lambda: pyg.GCNConv(DIM, DIM, normalize=False), "edge_weight"),
    "graph max": (lambda: pyg.GraphConv(DIM, DIM, aggr="max"), "edge_weight"),
    "graph mean": (lambda: pyg.GraphConv(DIM, DIM, aggr="mean"), "edge_weight"),
    "gat": (lambda: pyg.GATConv(DIM, 4, edge_dim=1, **ATTENTION), "edge_attr"),
    "gatv2": (lambda: pyg.GATv2Conv(DIM, 4, edge_dim=1, **ATTENTION), "edge_attr"),
    "transformer": (lambda: pyg.TransformerConv(DIM, 4, heads=4, edge_dim=1), "edge_attr"),
    "gine": (lambda: pyg.GINEConv(nn.Linear(DIM, DIM), edge_dim=1), "edge_attr"),
    "gen": (lambda: pyg.GENConv(DIM, DIM, edge_dim=1), "edge_attr"),
}


def inputs(takes: str, *lead: int, dtype: torch.dtype = torch.double) -> tuple[Tensor, Tensor]:
    x = torch.randn(*lead, GRAPHS * NODES, DIM, dtype=dtype, requires_grad=True)
    edges = GRAPHS * NODES * NODES
    return x, torch.rand(*lead, *((edges, 1) if takes == "edge_attr" else (edges,)), dtype=dtype).requires_grad_()


@pytest.mark.parametrize("name", LAYERS)
def test_vmap_over_stacked_parameters_is_a_loop(name: str):
    """Three subgraphs of their own parameters as one: outputs, and gradients of x, adjacency and parameters."""
    build, takes = LAYERS[name]
    convs = [build().double() for _ in range(3)]
    x, weight = inputs(takes, 3)
    index, base = CompleteIndex(GRAPHS, NODES), copy.deepcopy(convs[0])
    stacked, buffers = stack_module_state(convs)

    def one(state: dict, kept: dict, x: Tensor, weight: Tensor) -> Tensor:
        return functional_call(base, (state, kept), (x, index), {takes: index.edges(weight)})

    with count_paths(strict=True):
        ours = vmap(one)(stacked, buffers, x, weight)
    loop = torch.stack([conv(x[i], index, **{takes: weight[i]}) for i, conv in enumerate(convs)])
    torch.testing.assert_close(ours, loop)
    upstream = torch.randn_like(loop)
    got = torch.autograd.grad(ours, [x, weight, *stacked.values()], upstream)
    singles = [dict(conv.named_parameters()) for conv in convs]
    wanted = torch.autograd.grad(loop, [x, weight, *(own[key] for key in stacked for own in singles)], upstream)
    torch.testing.assert_close(got[:2], wanted[:2])
    for place, gradient in enumerate(got[2:]):
        torch.testing.assert_close(gradient, torch.stack(wanted[2 + 3 * place:5 + 3 * place]))


@pytest.mark.parametrize("name", LAYERS)
def test_autocast_answers_in_the_dtype_and_near_the_values_of_native(name: str):
    build, takes = LAYERS[name]
    conv, (x, weight), index = build(), inputs(takes, dtype=torch.float), CompleteIndex(GRAPHS, NODES)
    with torch.autocast("cpu", torch.bfloat16):
        ours, native = conv(x, index, **{takes: weight}), conv(x, index.edge_list(), **{takes: weight})
        blocks = conv(x, index, **{takes: index.edges(weight)})
    for out in (ours, blocks):
        assert out.dtype == native.dtype
        torch.testing.assert_close(out, native, atol=0.02 * float(native.detach().abs().max()), rtol=0)


@pytest.mark.parametrize("name", ["gcn", "gat", "transformer", "graph max"])
def test_gradients_have_gradients(name: str):
    build, takes = LAYERS[name]
    conv, index = build().double(), CompleteIndex(2, 3)
    x = torch.randn(6, DIM, dtype=torch.double, requires_grad=True)
    weight = torch.rand((18, 1) if takes == "edge_attr" else (18,), dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x, w: conv(x, index, **{takes: w}).tanh(), (x, weight), fast_mode=True)


def test_no_grad_and_inference_mode_run_and_leave_a_training_step_possible():
    conv, (x, weight) = LAYERS["gat"][0](), inputs("edge_attr", dtype=torch.float)
    with torch.inference_mode():
        index = CompleteIndex(GRAPHS, NODES)
        index.edge_list()
        assert conv(x, index, edge_attr=weight).is_inference()
    with torch.no_grad():
        assert not conv(x, index, edge_attr=weight).requires_grad
    conv(x, index, edge_attr=weight).sum().backward()
    assert x.grad is not None and conv(x, index.edge_list(), edge_attr=weight).requires_grad


def test_dropout_draws_for_every_edge_and_scales():
    class Bare(pyg.MessagePassing):
        def forward(self, x: Tensor, index: Tensor) -> Tensor:
            return self.propagate(index, x=x)

        def message(self, x_j: Tensor) -> Tensor:
            return nn.functional.dropout(x_j, 0.5, self.training)

    x, index, conv = torch.ones(400, 1), CompleteIndex(1, 400), Bare()
    out = conv(x, index)
    assert out.unique().numel() > 10  # one draw a source would make every target the same
    assert abs(float(out.mean()) - 400) < 10
    torch.testing.assert_close(conv.eval()(x, index), torch.full((400, 1), 400.0))


def test_attention_dropout_zeroes_its_rate_and_is_off_in_eval():
    conv = pyg.GATConv(DIM, 4, heads=4, add_self_loops=False, dropout=0.5)
    x, index = torch.randn(400, DIM), CompleteIndex(10, 40)
    _, (_, weight) = conv(x, index, return_attention_weights=True)
    assert abs(float((weight == 0).float().mean()) - 0.5) < 0.02
    torch.testing.assert_close(conv.eval()(x, index), conv(x, index.edge_list()))


def test_a_difference_squared_does_not_cancel():
    """Multiplied out, |x_i - x_j|^2 of near nodes far from zero would be noise."""
    class Distance(pyg.MessagePassing):
        def forward(self, x: Tensor, index: Tensor) -> Tensor:
            return self.propagate(index, x=x)

        def message(self, x_i: Tensor, x_j: Tensor) -> Tensor:
            return ((x_i - x_j) * (x_i - x_j)).sum(-1, keepdim=True)

    x, index = 1e6 + torch.randn(12, DIM, dtype=torch.double), CompleteIndex(2, 6)
    torch.testing.assert_close(Distance()(x, index), Distance()(x, index.edge_list()), rtol=1e-12, atol=0)


# --- Values that broadcasting keeps narrow -------------------------------------------------------


WIDER = {
    "expand, sum": lambda x: x.unsqueeze(1).expand(-1, 3, -1).sum(1),
    "expand, relu, sum": lambda x: x.unsqueeze(1).expand(-1, 3, -1).relu().sum(1),
    "expand, flatten": lambda x: x.unsqueeze(1).expand(-1, 3, -1).flatten(1),
    "expand, view": lambda x: x.unsqueeze(1).expand(-1, 3, -1).reshape(-1, 3 * DIM),
    "expand, softmax": lambda x: x.unsqueeze(1).expand(-1, 3, -1).softmax(1).sum(-1),
    "expand, mean": lambda x: x.unsqueeze(1).expand(-1, 3, -1).mean(1),
    "expand, last sum": lambda x: x.unsqueeze(1).expand(-1, 3, -1).sum(-1),
    "expand, product, last sum": lambda x: (x.unsqueeze(1).expand(-1, 3, -1) * x.unsqueeze(1)).sum(-1),
    "expand, plus": lambda x: (x.unsqueeze(1).expand(-1, 3, -1) + x.unsqueeze(1)).sum(1),
    "expand, linear": lambda x: nn.functional.linear(x.unsqueeze(1).expand(-1, 3, -1), torch.ones(2, DIM).double())
                                .sum(1),
    "expand, one linear": lambda x: nn.functional.linear(x[:, :1].unsqueeze(1).expand(-1, 3, -1),
                                                         torch.ones(2, 1).double()).sum(1),
    "expand, cat": lambda x: torch.cat((x.unsqueeze(1).expand(-1, 3, -1),) * 2, -1).sum(1),
    "expand, slice": lambda x: x.unsqueeze(1).expand(-1, 3, -1)[:, 2],
    "expand, squeeze": lambda x: x.unsqueeze(1).expand(-1, 3, -1)[:, :1].squeeze(1),
    "expand, max": lambda x: x.unsqueeze(1).expand(-1, 3, -1).amax(1),
    "expand the last": lambda x: x[:, :1].expand(-1, DIM).sum(-1, keepdim=True),
    "expand the last, exp": lambda x: x[:, :1].expand(-1, DIM).exp().sum(-1, keepdim=True),
    "expand_as": lambda x: x[:, :1].expand_as(x).flatten(1),
}


@pytest.mark.parametrize("end", ["x_i", "x_j", "x_j - x_i"])
@pytest.mark.parametrize("name", WIDER)
def test_a_value_that_was_expanded_is_as_wide_as_it_says(name: str, end: str):
    index = CompleteIndex(GRAPHS, NODES)
    x = torch.randn(GRAPHS * NODES, DIM, dtype=torch.double)

    def value(edges: Tensor) -> Tensor:
        parts = {"x_j": x.index_select(0, edges[0]), "x_i": x.index_select(0, edges[1])}
        return WIDER[name](eval(end, parts))

    ours, native = value(index), value(index.edge_list())
    assert ours.shape == native.shape
    torch.testing.assert_close(ours.plain(), native)
