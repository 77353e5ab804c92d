"""Attention over several layers as one adjacency."""

from __future__ import annotations

import numpy as np
import pytest

from avsgn_pyg.visualize.rollout import rollout


def attention(nodes, seed):
    scores = np.exp(np.random.default_rng(seed).normal(size=(nodes, nodes)))
    return scores / scores.sum(1, keepdims=True)


def test_rollout_is_the_product_of_the_layers_each_with_its_residual():
    one, two = attention(5, 1), attention(5, 2)
    eye = np.eye(5)
    # Section 3 of Abnar and Zuidema: A_rolled(2) = (0.5 A_2 + 0.5 I)(0.5 A_1 + 0.5 I).
    want = (0.5 * two + 0.5 * eye) @ (0.5 * one + 0.5 * eye)
    assert np.allclose(rollout([one, two]), want)
    assert not np.allclose(rollout([two, one]), want)
    assert np.allclose(rollout([one, two], residual=False), two @ one)


def test_rows_still_sum_to_one():
    flow = rollout([attention(7, seed) for seed in range(4)])
    assert np.allclose(flow.sum(1), 1) and flow.min() >= 0


def test_a_shared_adjacency_counts_once_a_layer():
    one = attention(5, 1)
    assert np.allclose(rollout([one], layers=3), rollout([one, one, one]))
    assert np.allclose(rollout([one, one], layers=2), rollout([one, one]))


def test_the_path_of_a_message_is_followed():
    # 0 is heard by 1 in the first layer, 1 by 2 in the second: only then 0 reaches 2.
    first, second = np.eye(3), np.eye(3)
    first[1], second[2] = [1, 0, 0], [0, 1, 0]
    assert rollout([first, second], residual=False)[2].tolist() == [1, 0, 0]
    assert rollout([second, first], residual=False)[2].tolist() == [0, 1, 0]


@pytest.mark.parametrize(("count", "layers"), [(0, None), (2, 3), (1, 0)])
def test_layers_that_do_not_fit_are_refused(count, layers):
    with pytest.raises(ValueError, match=r"rollout needs|layers="):
        rollout([attention(3, 0)] * count, layers=layers)
