"""What is counted: matrix products, tensors with an entry per edge, and layers that ran along the edge list."""

from __future__ import annotations

import torch
import torch_geometric.nn as pyg

from avsgn_pyg.blocks import CompleteIndex, count_layer, count_paths

INDEX, X, WEIGHT = CompleteIndex(2, 3), torch.randn(6, 4), torch.rand(18)


def test_counts_begin_and_end_with_their_statement_and_nest():
    conv = pyg.GraphConv(4, 4)
    with count_paths() as outer:
        conv(X, INDEX, WEIGHT)
        with count_paths() as inner:
            conv(X, INDEX, WEIGHT)
    conv(X, INDEX, WEIGHT)
    assert (outer.matmul["sum"], inner.matmul["sum"]) == (2, 1)


def test_the_widest_broadcast_is_the_number_of_channels_of_a_message():
    with count_paths() as paths:
        pyg.GraphConv(4, 4, aggr="max")(X, INDEX, WEIGHT)
    assert paths.broadcast == {"amax": 1} and paths.widest == 4


def test_a_caller_counts_how_its_layers_ran():
    count_layer("outside", "complete")
    with count_paths() as paths:
        for how in ("complete", "edge_list", "fallback"):
            count_layer("cheb", how)
    assert (paths.complete, paths.edge_list, paths.fallback) == ({"cheb": 1}, {"cheb": 2}, {"cheb": 1})
