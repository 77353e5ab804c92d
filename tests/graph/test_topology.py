"""Which edges each topology has, counted, sorted, repeated for a batch, and left out where rows only fill up."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.graph import topology
from avsgn_pyg.graph.topology import (
    TOPOLOGIES,
    CrossModalOnly,
    Layout,
    SparseAdjacency,
    TopK,
    Topology,
    Window,
    batch_edges,
    complete_edges,
)

T, R = 5, 3
SECONDS, WITH_TEXT = Layout((T, T)), Layout((T, R), (True, False))


def edges(topology: Topology, layout: Layout) -> set[tuple[int, int]]:
    return {(source, target) for source, target in topology.pairs(layout).T.tolist()}


def allowed(rule, layout: Layout) -> set[tuple[int, int]]:
    """Edges by a rule on (modality, row) of source and target, in loops."""
    place = [(number, row) for number, rows in enumerate(layout.rows) for row in range(rows)]
    return {(j, i) for i, hearer in enumerate(place) for j, heard in enumerate(place) if rule(heard, hearer)}


@pytest.mark.parametrize("layout", [SECONDS, WITH_TEXT])
def test_a_complete_subgraph_has_every_edge_and_self_edges(layout: Layout):
    assert edges(Topology(), layout) == allowed(lambda heard, hearer: True, layout)


@pytest.mark.parametrize("reach", [1, 2, 9])
def test_in_a_window_seconds_hear_near_seconds_of_either_modality(reach: int):
    assert edges(Window(reach), SECONDS) == allowed(lambda j, i: abs(j[1] - i[1]) <= reach, SECONDS)


def test_label_text_is_in_no_second_and_hears_and_is_heard_by_all():
    expected = allowed(lambda j, i: 1 in (j[0], i[0]) or abs(j[1] - i[1]) <= 1, WITH_TEXT)
    assert edges(Window(1), WITH_TEXT) == expected


@pytest.mark.parametrize("layout", [SECONDS, WITH_TEXT])
def test_cross_modal_edges_join_the_two_modalities_alone(layout: Layout):
    assert edges(CrossModalOnly(), layout) == allowed(lambda j, i: j[0] != i[0], layout)


@pytest.mark.parametrize("layout", [SECONDS, WITH_TEXT])
@pytest.mark.parametrize("edges_of", [Topology(), Window(1), Window(2), Window(9), CrossModalOnly()])
def test_edges_are_sorted_by_target_unique_and_counted_without_being_made(edges_of: Topology, layout: Layout):
    index = edges_of.pairs(layout)
    key = index[1] * layout.nodes + index[0]
    assert bool((key.diff() > 0).all()) and edges_of.count(layout) == index.shape[1]


def test_top_k_counts_no_more_sources_than_there_are():
    assert TopK(3).count(WITH_TEXT) == 3 * (T + R) and TopK(99).count(WITH_TEXT) == (T + R) ** 2


def test_window_edges_grow_with_the_length_and_complete_ones_with_its_square():
    short, long = Layout((100, 100)), Layout((1000, 1000))
    assert 9.5 < Window(4).count(long) / Window(4).count(short) < 10.5
    assert Topology().count(long) / Topology().count(short) == 100


def test_a_batch_repeats_a_video_s_edges_within_each_video():
    index = batch_edges(Window(1), WITH_TEXT, 3, torch.device("cpu"))
    video = index // WITH_TEXT.nodes
    assert torch.equal(video[0], video[1]) and torch.equal(video[0], video[0].sort().values)
    for number in range(3):
        here = index[:, video[0] == number] - number * WITH_TEXT.nodes
        assert torch.equal(here, Window(1).pairs(WITH_TEXT))


def test_rows_that_only_fill_up_have_no_edge():
    real = torch.ones(2, T + R, dtype=torch.bool)
    real[1, 3:T] = False
    index = batch_edges(Window(1), Layout((T, R), (True, False), real), 2, torch.device("cpu"))
    assert real.flatten()[index].all() and index[:, index[1] < T + R].shape[1] == Window(1).count(WITH_TEXT)
    short = Layout((3, R), (True, False))
    assert (index[1] >= T + R).sum() == Window(1).count(short)


def test_complete_edges_stay_within_their_graph():
    index = complete_edges(2, 3, torch.device("cpu"))
    assert index.shape == (2, 2 * 9) and len({tuple(edge) for edge in index.T.tolist()}) == 18
    assert torch.equal(index[0] // 3, index[1] // 3) and torch.equal(index[1], index[1].sort().values)


def test_a_dense_adjacency_as_edges_and_back_is_itself():
    adjacency = torch.rand(2, 4, 4)
    edges = SparseAdjacency.of(adjacency)
    assert torch.equal(edges.matrix(2, 4).to_dense(), adjacency)
    real = torch.tensor([[True] * 4, [True, True, False, True]])
    kept = SparseAdjacency.of(adjacency, Layout((2, 2), real=real).kept).matrix(2, 4).to_dense()
    assert torch.equal(kept, adjacency * real[:, None] * real[:, :, None])


def test_the_table_hands_each_topology_its_own_setting():
    made = {name: make(7, 5) for name, make in TOPOLOGIES.items()}
    assert made == {"complete": Topology(), "window": Window(7), "topk": TopK(5), "cross_modal_only": CrossModalOnly()}
    assert [name for name, topology in made.items() if topology.complete] == ["complete"]


def test_long_lists_are_not_kept(monkeypatch: pytest.MonkeyPatch):
    device = torch.device("cpu")
    assert complete_edges(2, 3, device) is complete_edges(2, 3, device)
    monkeypatch.setattr(topology, "KEPT", 17)
    assert complete_edges(2, 3, device) is not complete_edges(2, 3, device)
