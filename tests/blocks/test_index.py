"""The index itself: its layout, what does not exist, copies, and PyG's batches of it."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.loader import DataLoader

from avsgn_pyg.blocks import CompleteIndex, FallbackError, count_paths

GRAPHS, NODES, DIM = 3, 6, 16

LAYERS = {
    "gcn": (lambda: pyg.GCNConv(DIM, DIM, normalize=False), "edge_weight"),
    "gcn normalized": (lambda: pyg.GCNConv(DIM, DIM, add_self_loops=False), "edge_weight"),
    "graph mean": (lambda: pyg.GraphConv(DIM, DIM, aggr="mean"), "edge_weight"),
    "graph max": (lambda: pyg.GraphConv(DIM, DIM, aggr="max"), "edge_weight"),
    "graph min": (lambda: pyg.GraphConv(DIM, DIM, aggr="min"), "edge_weight"),
    "tag": (lambda: pyg.TAGConv(DIM, DIM, normalize=False), "edge_weight"),
    "gat": (lambda: pyg.GATConv(DIM, 4, heads=4, add_self_loops=False, edge_dim=1), "edge_attr"),
    "gatv2": (lambda: pyg.GATv2Conv(DIM, 4, heads=4, add_self_loops=False, edge_dim=1), "edge_attr"),
    "transformer": (lambda: pyg.TransformerConv(DIM, 4, heads=4, edge_dim=1), "edge_attr"),
    "gine": (lambda: pyg.GINEConv(nn.Linear(DIM, DIM), edge_dim=1), "edge_attr"),
    "gen": (lambda: pyg.GENConv(DIM, DIM, edge_dim=1), "edge_attr"),
    "resgated": (lambda: pyg.ResGatedGraphConv(DIM, DIM, edge_dim=1), "edge_attr"),
}


def test_edge_bij_leads_from_j_to_i():
    source, target = CompleteIndex(2, 3).edge_list()
    number = (1 * 3 + 2) * 3 + 1  # graph 1, target 2, source 1
    assert (source[number], target[number]) == (3 + 1, 3 + 2)
    assert len(source) == 2 * 3 * 3 and torch.equal(target, target.sort().values)


@pytest.mark.parametrize(("settings", "message"), [
    ({"graphs": 0, "nodes": 3}, "at least"), ({"graphs": 2, "nodes": 3, "sizes": [3]}, "2 numbers from 0 to 3"),
    ({"graphs": 2, "nodes": 3, "sizes": [3, 4]}, "from 0 to 3"),
    ({"graphs": 2, "nodes": 3, "mask": torch.ones(3, 3)}, r"want \[2, 3, 3\]"),
])
def test_counts_that_do_not_fit_are_refused(settings: dict, message: str):
    with pytest.raises(ValueError, match=message):
        CompleteIndex(**settings)


def test_edge_values_of_another_length_are_refused():
    with pytest.raises(ValueError, match="18"):
        CompleteIndex(2, 3).edges(torch.zeros(17))


@pytest.mark.parametrize("mask", ["sizes", "mask"])
@pytest.mark.parametrize("name", LAYERS)
def test_edges_that_do_not_exist_count_for_nothing(name: str, mask: str, oracle: Any):
    """Native runs on the edges that exist; one graph has none at all."""
    answers, agree = oracle
    build, takes = LAYERS[name]
    sizes = {"sizes": {"sizes": [6, 3, 0]}, "mask": {"mask": torch.rand(GRAPHS, NODES, NODES) < 0.4}}[mask]
    index, conv = CompleteIndex(GRAPHS, NODES, **sizes), build().double()
    x = torch.randn(GRAPHS * NODES, DIM, dtype=torch.double, requires_grad=True)
    shape = (index.edge_count, 1) if takes == "edge_attr" else (index.edge_count,)
    edges = {takes: torch.rand(shape, dtype=torch.double, requires_grad=True)}
    native = answers(conv, x, index.edge_list(), edges, view=index.existing)
    agree(answers(conv, x, index, edges, view=index.edges), native)
    agree(answers(conv, x, index, edges), native)


def test_padding_never_changes_a_real_node():
    conv = pyg.TransformerConv(DIM, 4, heads=4).double()
    x = torch.randn(2, NODES, DIM, dtype=torch.double)
    other = x.clone()
    other[0, 4:], other[1, 2:] = 1e3, -1e3
    one, two = (conv(value.flatten(0, 1), CompleteIndex(2, NODES, sizes=[4, 2])).view(2, NODES, DIM)
                for value in (x, other))
    assert torch.equal(one[0, :4], two[0, :4]) and torch.equal(one[1, :2], two[1, :2])
    alone = conv(x[1, :2], CompleteIndex(1, 2))
    torch.testing.assert_close(one[1, :2], alone)


def test_what_has_no_rule_is_refused_under_a_mask():
    conv = pyg.GCNConv(DIM, DIM)  # would look for self edges among those that do not exist
    with pytest.raises(FallbackError, match="leave out"):
        conv(torch.randn(12, DIM), CompleteIndex(2, 6, sizes=[3, 4]), torch.rand(72))


@pytest.mark.parametrize("build", [
    lambda: pyg.GraphConv((DIM, DIM), DIM), lambda: pyg.SAGEConv((DIM, DIM), DIM, aggr="max"),
    lambda: pyg.GATConv((DIM, DIM), 4, heads=4, add_self_loops=False),
    lambda: pyg.TransformerConv((DIM, DIM), 4, heads=4),
])
def test_graphs_may_be_bipartite(build: Any, oracle: Any):
    answers, agree = oracle
    conv = build().double()
    x = tuple(torch.randn(GRAPHS * count, DIM, dtype=torch.double, requires_grad=True) for count in (4, NODES))
    for masked in ({}, {"sizes": [6, 2, 1], "source_sizes": [1, 4, 2]}):
        index = CompleteIndex(GRAPHS, NODES, sources=4, **masked)
        with count_paths(strict=True):
            agree(answers(conv, x, index, {}), answers(conv, x, index.edge_list(), {}))


# --- Copies --------------------------------------------------------------------------------------


def same(one: Any, two: CompleteIndex) -> bool:
    return isinstance(one, CompleteIndex) and repr(one) == repr(two) and torch.equal(one.edge_list(), two.edge_list())


@pytest.mark.parametrize("settings", [{}, {"sizes": [3, 1]}, {"sources": 2}])
def test_copies_and_pickles_keep_the_blocks(settings: dict, tmp_path: Path):
    index = CompleteIndex(2, 3, **settings)
    torch.save(index, tmp_path / "index.pt")
    for made in (pickle.loads(pickle.dumps(index)), copy.copy(index), copy.deepcopy(index), index.clone(),
                 index.to("cpu"), torch.load(tmp_path / "index.pt", weights_only=False)):
        assert same(made, index)


def test_another_device_keeps_the_blocks_and_another_dtype_does_not():
    assert CompleteIndex(2, 3).to("meta").device.type == "meta"
    assert type(CompleteIndex(2, 3).to(torch.float)) is torch.Tensor


# --- PyG's batches -------------------------------------------------------------------------------


def graph(nodes: int = 3, **settings: Any) -> Data:
    return Data(x=torch.randn(nodes, DIM), edge_index=CompleteIndex(1, nodes, **settings))


def test_a_batch_of_equal_graphs_is_one_index_and_comes_apart_again():
    batch = Batch.from_data_list([graph() for _ in range(4)])
    assert same(batch.edge_index, CompleteIndex(4, 3))
    for number in range(4):
        assert same(batch[number].edge_index, CompleteIndex(1, 3))
    assert all(batch.to_data_list()[1].x[0] == batch.x[3])
    two = Batch.from_data_list([graph(sizes=[2]), graph()]).edge_index
    assert same(two, CompleteIndex(2, 3, sizes=[2, 3]))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_hands_out_blocks(workers: int):
    for batch in DataLoader([graph() for _ in range(4)], batch_size=2, num_workers=workers):
        assert same(batch.edge_index, CompleteIndex(2, 3))


def test_graphs_of_different_sizes_are_refused_with_a_way_out():
    with pytest.raises(ValueError, match=r"3 x 3 and 4 x 4.*sizes="):
        Batch.from_data_list([graph(3), graph(4)])


def test_nodes_outside_the_graphs_are_refused():
    lone = Data(x=torch.randn(5, DIM), edge_index=CompleteIndex(1, 3))
    with pytest.raises(ValueError, match="every node must be in the graphs"):
        Batch.from_data_list([lone, lone])


def test_heterogeneous_batches_keep_bipartite_blocks():
    def video() -> HeteroData:
        data = HeteroData()
        data["audio"].x, data["visual"].x = torch.randn(4, DIM), torch.randn(3, DIM)
        data["audio", "to", "visual"].edge_index = CompleteIndex(1, 3, sources=4)
        return data

    batch = Batch.from_data_list([video(), video()])
    assert same(batch["audio", "to", "visual"].edge_index, CompleteIndex(2, 3, sources=4))
    assert same(batch[1]["audio", "to", "visual"].edge_index, CompleteIndex(1, 3, sources=4))


def test_pyg_may_ask_a_graph_about_itself():
    data = graph()
    assert data.validate() and data.num_edges == 9 and data.has_self_loops() and data.is_undirected()


@pytest.mark.parametrize("take", [
    lambda index: index.narrow(1, 0, 5), lambda index: index.to(torch.int32), lambda index: index.unbind(1),
    lambda index: index + torch.ones(2, 72, dtype=torch.long), lambda index: index[0].view(2, 36),
    lambda index: index[1].max(0), lambda index: index[0].min(0),
    lambda index: copy.deepcopy(index[0]), lambda index: pickle.dumps(index[1]), lambda index: index[:, 3:],
    lambda index: index.int(), lambda index: index.t(),
])
def test_what_would_hand_out_edges_that_do_not_exist_is_refused(take: Any):
    take(CompleteIndex(2, 6))
    with pytest.raises(FallbackError, match="leave out"):
        take(CompleteIndex(2, 6, sizes=[3, 4]))
