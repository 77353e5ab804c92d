"""Counting of what ran how."""

from __future__ import annotations

import pytest
import torch
import torch_geometric.nn as pyg

from avsgn_pyg.blocks import CompleteIndex, FallbackError, count_paths

INDEX, X, WEIGHT = CompleteIndex(2, 3), torch.randn(6, 4), torch.rand(18)


def test_counts_begin_and_end_with_their_block_and_nest():
    conv = pyg.GraphConv(4, 4)
    with count_paths() as outer:
        conv(X, INDEX, WEIGHT)
        with count_paths() as inner:
            conv(X, INDEX, WEIGHT)
    conv(X, INDEX, WEIGHT)
    assert (outer.matmul["sum"], inner.matmul["sum"]) == (2, 1)


def test_a_strict_block_is_strict_only_inside():
    with count_paths(strict=True), pytest.raises(FallbackError):
        _ = INDEX[0] != INDEX[1]
    with count_paths() as paths:
        assert int((INDEX[0] == INDEX[1]).sum()) == 6
    assert paths.fallback.total() == 1
