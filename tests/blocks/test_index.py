"""The index: its edges and values, and layers of PyG on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch_geometric.utils import scatter

from avsgn_pyg.blocks import CompleteIndex, FallbackError, count_paths


def test_edges_are_sorted_by_target():
    source, target = CompleteIndex(2, 3).edge_list()
    number = (1 * 3 + 2) * 3 + 1  # graph 1, target 2, source 1
    assert (source[number], target[number]) == (3 + 1, 3 + 2)
    assert len(source) == 2 * 3 * 3 and torch.equal(target, target.sort().values)


@pytest.mark.parametrize("shape", [(18,), (2, 3, 3), (18, 1), (18, 2, 4)])
def test_edge_values_keep_their_numbers(shape: tuple[int, ...]):
    values = torch.randn(shape)
    assert torch.equal(CompleteIndex(2, 3).edges(values).plain().flatten(), values.flatten())


@pytest.mark.parametrize(("build", "words"), [
    (lambda: CompleteIndex(0, 3), "at least one"), (lambda: CompleteIndex(2, 0), "at least one"),
    (lambda: CompleteIndex(2, 3).edges(torch.zeros(17)), "18"),
])
def test_sizes_that_do_not_fit_are_an_error(build: Any, words: str):
    with pytest.raises(ValueError, match=words):
        build()


@pytest.mark.parametrize("read", [
    lambda index: index + 1, lambda index: index[:, 3:], lambda index: index.t(), lambda index: index[0] == index[1],
    lambda index: index[0][2], lambda index: index.to(torch.float), lambda index: index[0].view(2, 9),
    lambda index: index.fill_(0),
])
def test_reading_the_numbers_of_nodes_falls_back(read: Any):
    with pytest.raises(FallbackError):
        read(CompleteIndex(2, 3))


@pytest.mark.parametrize("join", [
    lambda index: torch.cat([index, index], dim=1), lambda index: torch.cat([index.edge_list(), index], dim=1),
    lambda index: torch.cat([index[0], index[1]]),
])
def test_joining_indices_says_what_to_do(join: Any):
    with pytest.raises(FallbackError, match=r"graphs of one size.*edge_list"):
        join(CompleteIndex(2, 3))


def test_ordinary_values_can_be_summed_along_the_index():
    index, values = CompleteIndex(2, 3), torch.randn(18, 4)
    for row, real in zip(index, index.edge_list(), strict=True):
        ours = torch.zeros(6, 4).scatter_add_(0, row.view(-1, 1).expand_as(values), values)
        torch.testing.assert_close(ours, scatter(values, real))


# --- Layers -------------------------------------------------------------------------------------


GRAPHS, NODES, DIM, HEADS = 3, 6, 16, 4
ATTENTION = {"heads": HEADS, "add_self_loops": False}


def mlp(wide: int = DIM) -> nn.Module:
    return nn.Sequential(nn.Linear(wide, DIM), nn.ReLU(), nn.Linear(DIM, DIM))


#: name -> (convolution, how it takes edges, (matrix products, names of what was written out, widest)).
CONVS: dict[str, tuple[Callable[[], nn.Module], str, tuple[int, set[str], int]]] = {
    "gcn": (lambda: pyg.GCNConv(DIM, DIM, normalize=False), "weight", (1, set(), 0)),
    "gcn normalized": (lambda: pyg.GCNConv(DIM, DIM, add_self_loops=False), "weight", (1, set(), 0)),
    "graph": (lambda: pyg.GraphConv(DIM, DIM), "weight", (1, set(), 0)),
    "graph mean": (lambda: pyg.GraphConv(DIM, DIM, aggr="mean"), "weight", (1, set(), 0)),
    "graph max": (lambda: pyg.GraphConv(DIM, DIM, aggr="max"), "weight", (0, {"amax"}, DIM)),
    "sage": (lambda: pyg.SAGEConv(DIM, DIM), "", (0, set(), 0)),
    "gin": (lambda: pyg.GINConv(mlp()), "", (0, set(), 0)),
    "tag": (lambda: pyg.TAGConv(DIM, DIM, K=3, normalize=False), "weight", (3, set(), 0)),
    "sg": (lambda: pyg.SGConv(DIM, DIM, K=2, add_self_loops=False), "weight", (2, set(), 0)),
    "appnp": (lambda: pyg.APPNP(2, 0.1, add_self_loops=False), "weight", (2, set(), 0)),
    "film": (lambda: pyg.FiLMConv(DIM, DIM), "", (0, {"relu"}, DIM)),
    "gine": (lambda: pyg.GINEConv(mlp(), edge_dim=1), "attr", (0, {"relu"}, DIM)),
    "gat": (lambda: pyg.GATConv(DIM, 4, edge_dim=1, **ATTENTION), "attr", (1, {"leaky_relu"}, HEADS)),
    "gatv2": (lambda: pyg.GATv2Conv(DIM, 4, edge_dim=1, **ATTENTION), "attr", (1, {"leaky_relu"}, DIM)),
    "transformer": (lambda: pyg.TransformerConv(DIM, 4, heads=HEADS, edge_dim=1), "attr", (2, set(), 0)),
    "transformer beta": (lambda: pyg.TransformerConv(DIM, DIM, heads=2, concat=False, beta=True, edge_dim=1), "attr",
                         (2, set(), 0)),
    "general": (lambda: pyg.GeneralConv(DIM, DIM, in_edge_channels=1, attention=True, heads=2), "attr",
                (1, {"leaky_relu"}, 2)),
    "gen": (lambda: pyg.GENConv(DIM, DIM, norm="layer", edge_dim=1), "attr", (0, {"relu"}, DIM)),
    "resgated": (lambda: pyg.ResGatedGraphConv(DIM, DIM, edge_dim=1), "attr", (0, {"sigmoid"}, DIM)),
    "edge": (lambda: pyg.EdgeConv(mlp(2 * DIM), aggr="add"), "", (0, {"relu"}, DIM)),
    "agnn": (lambda: pyg.AGNNConv(add_self_loops=False), "", (2, set(), 0)),
}
EVERY_KIND = ["gcn", "graph max", "graph mean", "gat", "gatv2", "transformer", "gine", "gen"]


def case(name: str, graphs: int = GRAPHS, nodes: int = NODES,
         dtype: torch.dtype = torch.double) -> tuple[nn.Module, Tensor, CompleteIndex, dict[str, Tensor]]:
    build, takes, _ = CONVS[name]
    x = torch.randn(graphs * nodes, DIM, dtype=dtype, requires_grad=True)
    weight = torch.rand(graphs, nodes, nodes, dtype=dtype).softmax(-1).flatten()
    edges = {"weight": {"edge_weight": weight}, "attr": {"edge_attr": weight.view(-1, 1)}, "": {}}[takes]
    return (build().to(dtype), x, CompleteIndex(graphs, nodes),
            {key: value.requires_grad_() for key, value in edges.items()})


def outputs(conv: nn.Module, x: Tensor, index: Tensor, edges: dict[str, Tensor]) -> list[Tensor | None]:
    """Output, and gradients of x, of the edge tensors and of every parameter."""
    as_blocks = isinstance(index, CompleteIndex)
    out = conv(x, index, **{key: index.edges(value) if as_blocks else value for key, value in edges.items()})
    assert type(out) is Tensor
    upstream = torch.linspace(0.5, 1.5, out.numel(), dtype=out.dtype).view_as(out)
    return [out, *torch.autograd.grad(out, [x, *edges.values(), *conv.parameters()], upstream, allow_unused=True)]


@pytest.mark.parametrize(("graphs", "nodes"), [(GRAPHS, NODES), (1, 1), (1, 2)])
@pytest.mark.parametrize("name", CONVS)
def test_a_layer_agrees_with_the_edge_list(name: str, graphs: int, nodes: int):
    conv, x, index, edges = case(name, graphs, nodes)
    wanted = outputs(conv, x, index.edge_list(), edges)
    for ours, theirs in zip(outputs(conv, x, index, edges), wanted, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)
    with_ordinary_edge_values = conv(x, index, **edges)
    torch.testing.assert_close(with_ordinary_edge_values, wanted[0], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", CONVS)
def test_a_layer_uses_matrix_products_where_it_can(name: str):
    conv, x, index, edges = case(name)
    with count_paths() as paths:
        conv(x, index, **{key: index.edges(value) for key, value in edges.items()})
    assert (paths.matmul.total(), set(paths.broadcast), paths.widest) == CONVS[name][2]


@pytest.mark.parametrize("name", EVERY_KIND)
def test_autocast_has_dtype_and_values_of_the_edge_list(name: str):
    conv, x, index, edges = case(name, dtype=torch.float)
    with torch.autocast("cpu", torch.bfloat16):
        wanted = conv(x, index.edge_list(), **edges)
        for out in (conv(x, index, **edges), conv(x, index, **{key: index.edges(one) for key, one in edges.items()})):
            assert out.dtype == wanted.dtype
            torch.testing.assert_close(out, wanted, atol=0.02 * float(wanted.detach().abs().max()), rtol=0)


@pytest.mark.parametrize("name", EVERY_KIND)
def test_a_layer_runs_on_the_meta_device(name: str):
    with torch.device("meta"):
        conv, x, index, edges = case(name)
        out, *gradients = outputs(conv, x, index, edges)
    assert index.device == out.device == torch.device("meta") and out.shape == x.shape
    assert {gradient.device.type for gradient in gradients if gradient is not None} == {"meta"}


@pytest.mark.parametrize("name", ["gcn", "gat", "transformer", "graph max"])
def test_first_and_second_derivatives_equal_finite_differences(name: str):
    conv, x, index, edges = case(name, 2, 3)
    (takes, weight), = edges.items()

    def run(x: Tensor, weight: Tensor) -> Tensor:
        return conv(x, index, **{takes: weight}).tanh()

    assert torch.autograd.gradcheck(run, (x, weight), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (x, weight), fast_mode=True)
