"""Which edges are drawn, and where their curves begin and end."""

from __future__ import annotations

import numpy as np
import pytest

from avsgn_pyg.visualize.edges import curves, strength, strongest

WEIGHTS = np.array([[0.5, 0.3, 0.2], [0.0, 0.4, 0.6], [0.9, 0.1, 0.0]])


def test_the_strongest_come_first_and_point_from_column_to_row():
    edges = strongest(WEIGHTS, share=0.4)
    assert list(zip(edges.source, edges.target, edges.weight, strict=True)) == [(0, 2, 0.9), (2, 1, 0.6), (0, 0, 0.5)]


def test_zeros_are_no_edges():
    assert len(strongest(WEIGHTS).weight) == 7
    assert len(strongest(np.zeros((3, 3))).weight) == 0


def test_a_threshold_stands_in_place_of_a_share():
    assert strongest(WEIGHTS, share=0.1, threshold=0.4).weight.tolist() == [0.9, 0.6, 0.5, 0.4]
    assert len(strongest(WEIGHTS, threshold=2.0).weight) == 0


def test_no_more_than_the_most_are_taken_and_at_least_one():
    assert strongest(WEIGHTS, most=2).weight.tolist() == [0.9, 0.6]
    assert strongest(WEIGHTS, share=1e-6).weight.tolist() == [0.9]


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match="is no part of the edges"):
        strongest(WEIGHTS, share=share)


@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_what_is_no_attention_is_refused(value):
    with pytest.raises(ValueError, match="give attention after its softmax"):
        strongest(np.full((2, 2), value))


def test_curves_leave_and_arrive_upright():
    start, end = np.array([[0.0, 1.0]]), np.array([[4.0, 3.0]])
    (curve,) = curves(start, end, np.array([[1.0, -1.0]]))
    assert curve[0].tolist() == [0, 1] and curve[-1].tolist() == [4, 3]
    leaving, arriving = curve[1] - curve[0], curve[-1] - curve[-2]
    assert leaving[1] > 5 * leaving[0] > 0 and arriving[1] > 5 * arriving[0] > 0


def test_strength_rises_with_weight():
    assert strength(np.array([0.1, 0.2, 0.3]), 0.1, 0.3) == pytest.approx([0, 0.5, 1])
    assert strength(np.array([0.2, 0.2]), 0.2, 0.2).tolist() == [1, 1]
