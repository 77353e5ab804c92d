"""Unmodified PyG convolutions on complete blocks answer as on real edges, and nothing of it is a silent fallback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn

from avsgn_pyg.blocks import CompleteIndex, FallbackError, count_paths

GRAPHS, NODES, DIM, HEADS = 3, 6, 16, 4
ATTENTION = {"heads": HEADS, "add_self_loops": False}


def mlp(wide: int = DIM) -> nn.Module:
    return nn.Sequential(nn.Linear(wide, DIM), nn.ReLU(), nn.Linear(DIM, DIM))


def pna() -> nn.Module:
    degree = torch.zeros(NODES + 1, dtype=torch.long)
    degree[NODES] = GRAPHS * NODES
    return pyg.PNAConv(DIM, DIM, ["mean", "min", "max", "std"], ["identity", "amplification"], degree, edge_dim=1,
                       towers=2)


#: name -> (convolution, how it takes edges, (matmuls, names of what was written out, widest)).
CONVS: dict[str, tuple[Callable[[], nn.Module], str, tuple[int, set[str], int]]] = {
    "gcn": (lambda: pyg.GCNConv(DIM, DIM, normalize=False), "weight", (1, set(), 0)),
    "gcn normalized": (lambda: pyg.GCNConv(DIM, DIM, add_self_loops=False), "weight", (1, set(), 0)),
    "graph add": (lambda: pyg.GraphConv(DIM, DIM), "weight", (1, set(), 0)),
    "graph mean": (lambda: pyg.GraphConv(DIM, DIM, aggr="mean"), "weight", (1, set(), 0)),
    "graph max": (lambda: pyg.GraphConv(DIM, DIM, aggr="max"), "weight", (0, {"amax"}, DIM)),
    "simple": (lambda: pyg.SimpleConv(), "weight", (1, set(), 0)),
    "le": (lambda: pyg.LEConv(DIM, DIM), "weight", (1, set(), 0)),
    "tag": (lambda: pyg.TAGConv(DIM, DIM, K=3, normalize=False), "weight", (3, set(), 0)),
    "sg": (lambda: pyg.SGConv(DIM, DIM, K=2, add_self_loops=False), "weight", (2, set(), 0)),
    "ssg": (lambda: pyg.SSGConv(DIM, DIM, alpha=0.1, K=2, add_self_loops=False), "weight", (2, set(), 0)),
    "appnp": (lambda: pyg.APPNP(2, 0.1, add_self_loops=False), "weight", (2, set(), 0)),
    "lg": (lambda: pyg.LGConv(normalize=False), "weight", (1, set(), 0)),
    "mixhop": (lambda: pyg.MixHopConv(DIM, 4, powers=[0, 1, 2], add_self_loops=False), "weight", (2, set(), 0)),
    "gated": (lambda: pyg.GatedGraphConv(DIM, 2), "weight", (2, set(), 0)),
    "wl": (lambda: pyg.WLConvContinuous(), "weight", (1, set(), 0)),
    "fa": (lambda: pyg.FAConv(DIM, add_self_loops=False), "twice", (1, {"tanh"}, 1)),
    "gcn2": (lambda: pyg.GCN2Conv(DIM, 0.1, add_self_loops=False), "twice", (1, set(), 0)),
    "sage mean": (lambda: pyg.SAGEConv(DIM, DIM), "", (0, set(), 0)),
    "sage max": (lambda: pyg.SAGEConv(DIM, DIM, aggr="max"), "", (0, set(), 0)),
    "gin": (lambda: pyg.GINConv(mlp()), "", (0, set(), 0)),
    "mf": (lambda: pyg.MFConv(DIM, DIM, max_degree=2), "", (0, set(), 0)),
    "agnn": (lambda: pyg.AGNNConv(add_self_loops=False), "", (2, set(), 0)),
    "edge": (lambda: pyg.EdgeConv(mlp(2 * DIM), aggr="add"), "", (0, {"relu"}, DIM)),
    "feast": (lambda: pyg.FeaStConv(DIM, 4, heads=HEADS, add_self_loops=False), "", None),
    "film": (lambda: pyg.FiLMConv(DIM, DIM), "", (0, {"relu"}, DIM)),
    "eg": (lambda: pyg.EGConv(DIM, DIM, add_self_loops=False), "", (1, set(), 0)),
    "gat": (lambda: pyg.GATConv(DIM, 4, **ATTENTION), "", (1, {"leaky_relu"}, HEADS)),
    "gat attr": (lambda: pyg.GATConv(DIM, 4, edge_dim=1, **ATTENTION), "attr", (1, {"leaky_relu"}, HEADS)),
    "gatv2 attr": (lambda: pyg.GATv2Conv(DIM, 4, edge_dim=1, **ATTENTION), "attr", (1, {"leaky_relu"}, DIM)),
    "transformer": (lambda: pyg.TransformerConv(DIM, 4, heads=HEADS), "", (2, set(), 0)),
    "transformer attr": (lambda: pyg.TransformerConv(DIM, 4, heads=HEADS, edge_dim=1), "attr", (2, set(), 0)),
    "transformer beta": (lambda: pyg.TransformerConv(DIM, DIM, heads=2, concat=False, beta=True, edge_dim=1), "attr",
                         (2, set(), 0)),
    "general attr": (lambda: pyg.GeneralConv(DIM, DIM, in_edge_channels=1, attention=True, heads=2), "attr",
                     (1, {"leaky_relu"}, 2)),
    "gine": (lambda: pyg.GINEConv(mlp(), edge_dim=1), "attr", (0, {"relu"}, DIM)),
    "gen": (lambda: pyg.GENConv(DIM, DIM, edge_dim=1), "attr", (0, {"relu"}, DIM)),
    "resgated": (lambda: pyg.ResGatedGraphConv(DIM, DIM, edge_dim=1), "attr", (0, {"sigmoid"}, DIM)),
    "cg": (lambda: pyg.CGConv(DIM, dim=1), "attr", (0, {"sigmoid", "softplus"}, DIM)),
    "pna": (pna, "attr", None),
}

#: Convolutions that look the numbers of the nodes up (self loops taken out or put in): real edges, and said so.
FALLING_BACK = {
    "gcn self loops": (lambda: pyg.GCNConv(DIM, DIM), "weight", "ne"),
    "cheb": (lambda: pyg.ChebConv(DIM, DIM, K=3), "weight", "ne"),
    "arma": (lambda: pyg.ARMAConv(DIM, DIM, num_layers=2), "weight", "index_select"),
    "cluster": (lambda: pyg.ClusterGCNConv(DIM, DIM, add_self_loops=False), "", "__setitem__"),
    "sage lstm": (lambda: pyg.SAGEConv(DIM, DIM, aggr="lstm"), "", "__getitem__"),
}


class Twice(nn.Module):
    """Convolutions that also want the features of the first layer."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.conv(x, x, index)


def case(build: Callable[[], nn.Module], takes: str) -> tuple[nn.Module, Tensor, dict[str, Tensor]]:
    conv = build().double().train()
    conv = Twice(conv) if takes == "twice" else conv
    x = torch.randn(GRAPHS * NODES, DIM, dtype=torch.double, requires_grad=True)
    weight = torch.rand(GRAPHS, NODES, NODES, dtype=torch.double).softmax(-1).flatten()
    names = {"weight": {"edge_weight": weight}, "attr": {"edge_attr": weight.view(-1, 1)}}
    return conv, x, {name: value.requires_grad_() for name, value in names.get(takes, {}).items()}


@pytest.mark.parametrize("name", CONVS)
def test_a_convolution_on_blocks_is_the_one_on_edges(name: str, oracle: Any):
    answers, agree = oracle
    build, takes, expected = CONVS[name]
    conv, x, edges = case(build, takes)
    index = CompleteIndex(GRAPHS, NODES)
    with count_paths(strict=True) as paths:
        ours = answers(conv, x, index, edges, view=index.edges)
    agree(ours, answers(conv, x, index.edge_list(), edges))
    assert not paths.fallback
    if expected is not None:
        assert (paths.matmul.total(), set(paths.broadcast), paths.widest) == expected


@pytest.mark.parametrize("name", [name for name, row in CONVS.items() if row[1] in ("weight", "attr")])
def test_plain_edge_tensors_are_taken_as_well(name: str, oracle: Any):
    answers, agree = oracle
    conv, x, edges = case(*CONVS[name][:2])
    index = CompleteIndex(GRAPHS, NODES)
    agree(answers(conv, x, index, edges), answers(conv, x, index.edge_list(), edges))


@pytest.mark.parametrize("name", FALLING_BACK)
def test_a_fallback_is_right_and_counted(name: str, oracle: Any):
    answers, agree = oracle
    build, takes, operation = FALLING_BACK[name]
    conv, x, edges = case(build, takes)
    index = CompleteIndex(GRAPHS, NODES)
    with count_paths() as paths:
        ours = answers(conv, x, index, edges)
    agree(ours, answers(conv, x, index.edge_list(), edges))
    assert paths.fallback[operation] > 0


def test_a_fallback_raises_where_strict():
    conv, x, edges = case(*FALLING_BACK["cheb"][:2])
    with count_paths(strict=True), pytest.raises(FallbackError, match="ne has no rule"):
        conv(x, CompleteIndex(GRAPHS, NODES), **edges)
    with pytest.raises(FallbackError, match="edge_list"):
        conv(x, CompleteIndex(GRAPHS, NODES, strict=True), **edges)


def test_wide_values_handed_in_plain_count_as_written_out():
    conv, x, edges = case(*CONVS["transformer attr"][:2])
    with count_paths() as paths:
        conv(x, CompleteIndex(GRAPHS, NODES), **edges)
    assert paths.widest == DIM and paths.broadcast["given"] > 0


def test_messages_may_flow_from_target_to_source(oracle: Any):
    answers, agree = oracle
    for conv in (pyg.GraphConv(DIM, DIM, flow="target_to_source"),
                 pyg.GATConv(DIM, 4, flow="target_to_source", **ATTENTION),
                 pyg.TransformerConv(DIM, 4, heads=HEADS, flow="target_to_source")):
        x = torch.randn(GRAPHS * NODES, DIM, dtype=torch.double, requires_grad=True)
        index = CompleteIndex(GRAPHS, NODES, strict=True)
        agree(answers(conv.double(), x, index, {}), answers(conv, x, CompleteIndex(GRAPHS, NODES).edge_list(), {}))


@pytest.mark.parametrize("nodes", [1, 2])
def test_the_smallest_graphs_work(nodes: int, oracle: Any):
    answers, agree = oracle
    for name in ("gcn", "gat attr", "transformer attr", "graph max", "gine", "edge"):
        build, takes, _ = CONVS[name]
        conv, x, edges = case(build, takes)
        x = x[:nodes].detach().requires_grad_()
        edges = {key: value[:nodes * nodes].detach().requires_grad_() for key, value in edges.items()}
        index = CompleteIndex(1, nodes)
        agree(answers(conv, x, index, edges, view=index.edges), answers(conv, x, index.edge_list(), edges))


def test_a_write_into_lifted_features_leaves_the_nodes_alone():
    class Writing(pyg.MessagePassing):
        def forward(self, x: Tensor, index: Tensor) -> Tensor:
            return self.propagate(index, x=x)

        def message(self, x_j: Tensor) -> Tensor:
            nn.functional.relu(x_j, inplace=True)
            x_j.mul_(2)
            x_j[:, 0] = 0
            return x_j

    x = torch.randn(GRAPHS * NODES, DIM)
    kept, index = x.clone(), CompleteIndex(GRAPHS, NODES)
    torch.testing.assert_close(Writing()(x, index), Writing()(x, index.edge_list()))
    assert torch.equal(x, kept)


def test_a_write_into_the_index_is_refused():
    with pytest.raises(TypeError, match="never changes"):
        CompleteIndex(2, 3).fill_(0)
