"""Which edges are drawn, which sizes fit, and attention over several layers."""

from __future__ import annotations

import numpy as np
import pytest

from avsgn_pyg.visualize.edges import count_nodes, rollout, strongest

WEIGHTS = np.array([[0.5, 0.3, 0.2], [0.0, 0.4, 0.6], [0.9, 0.1, 0.0]])


def test_the_strongest_come_first_and_lead_from_column_to_row():
    edges = strongest(WEIGHTS, share=0.4)
    assert list(zip(edges.source, edges.target, edges.weight, strict=True)) == [(0, 2, 0.9), (2, 1, 0.6), (0, 0, 0.5)]


@pytest.mark.parametrize(("options", "weights"), [
    ({"share": 0.1, "threshold": 0.4}, [0.9, 0.6, 0.5, 0.4]), ({"share": 1e-6}, [0.9]),
    ({}, [0.9, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]),
])
def test_share_and_threshold_choose_the_edges_and_zeros_are_none(options, weights):
    assert strongest(WEIGHTS, **options).weight.tolist() == weights


@pytest.mark.parametrize(("weights", "share", "says"), [
    (WEIGHTS, 0.0, "share"), (WEIGHTS, 1.5, "share"), (-WEIGHTS, 1.0, "negative"),
])
def test_other_shares_and_weights_are_errors(weights, share, says):
    with pytest.raises(ValueError, match=says):
        strongest(weights, share=share)


@pytest.mark.parametrize(("adjacency", "says"), [
    ({"xy": {"a": np.eye(20)}}, "some of av, vt, at"), ({"av": {"a": np.eye(21)}}, r"\[21, 21\]"),
    ({"av": {"a": np.zeros((20, 10))}}, "square"), ({"av": {}}, "same layers"),
    ({"vt": {"a": np.eye(15), "b": np.eye(16)}}, "10 seconds and 5 text nodes"),
    ({"vt": {"a": np.eye(15), "b": np.eye(15)}, "at": {"a": np.eye(15)}}, "same layers"),
])
def test_adjacencies_that_fit_no_video_or_each_other_are_errors(adjacency, says):
    with pytest.raises(ValueError, match=says):
        count_nodes(adjacency, 10)


def test_rollout_is_the_product_of_the_layers_each_with_its_residual(attention):
    one, two, eye = attention(5, 1), attention(5, 2), np.eye(5)
    # Section 3 of Abnar and Zuidema: A_rolled(2) = (0.5 A_2 + 0.5 I)(0.5 A_1 + 0.5 I).
    want = (0.5 * two + 0.5 * eye) @ (0.5 * one + 0.5 * eye)
    assert np.allclose(rollout([one, two]), want, atol=1e-6) and np.allclose(want.sum(1), 1)
    assert not np.allclose(rollout([two, one]), want)
    assert np.allclose(rollout([one, two], residual=False), two @ one, atol=1e-6)
