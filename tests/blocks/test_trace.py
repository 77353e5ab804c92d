"""A recorded convolution compiles whole, with gradients of the very parameters it came from."""

from __future__ import annotations

import pytest
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn

from avsgn_pyg.blocks import CompleteIndex, traced

DIM = 16
LAYERS = {
    "gcn": (lambda: pyg.GCNConv(DIM, DIM, normalize=False), "edge_weight"),
    "gat": (lambda: pyg.GATConv(DIM, 4, heads=4, add_self_loops=False, edge_dim=1), "edge_attr"),
    "transformer": (lambda: pyg.TransformerConv(DIM, 4, heads=4, edge_dim=1), "edge_attr"),
}


def case(name: str) -> tuple[nn.Module, Tensor, CompleteIndex, str, Tensor]:
    build, takes = LAYERS[name]
    x = torch.randn(12, DIM, dtype=torch.double, requires_grad=True)
    weight = torch.rand((72, 1) if takes == "edge_attr" else (72,), dtype=torch.double, requires_grad=True)
    return build().double(), x, CompleteIndex(2, 6), takes, weight


def check(name: str, backend: str) -> None:
    conv, x, index, takes, weight = case(name)
    compiled = torch.compile(traced(conv, x, index, **{takes: weight}), backend=backend, fullgraph=True)
    x, weight = (torch.randn_like(value).requires_grad_() for value in (x, weight))
    ours, eager = compiled(x, weight), conv(x, index, **{takes: weight})
    torch.testing.assert_close(ours, eager)
    upstream, wanted = torch.randn_like(eager), [x, weight, *conv.parameters()]
    got = torch.autograd.grad(ours, wanted, upstream)
    torch.testing.assert_close(got, torch.autograd.grad(eager, wanted, upstream))


@pytest.mark.parametrize("name", LAYERS)
def test_a_record_compiles_without_a_break(name: str):
    check(name, "aot_eager")


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_a_record_compiles_by_inductor(name: str):
    check(name, "inductor")


def test_a_record_follows_the_parameters():
    conv, x, index, takes, weight = case("gcn")
    record = traced(conv, x, index, **{takes: weight})
    with torch.no_grad():
        conv.lin.weight.mul_(2)
    torch.testing.assert_close(record(x, weight), conv(x, index, **{takes: weight}))
