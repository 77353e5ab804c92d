"""Counts of matrix products and of tensors with an entry per edge."""

from __future__ import annotations

import torch
import torch_geometric.nn as pyg

from avsgn_pyg.blocks import CompleteIndex, count_paths

INDEX, X, WEIGHT = CompleteIndex(2, 3), torch.randn(6, 4), torch.rand(18)


def test_counts_are_nested():
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
