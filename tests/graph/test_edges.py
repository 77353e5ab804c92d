"""The edges of a subgraph: complete only where they are, and otherwise a list that tells where every edge lies."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch_geometric.data import Batch

from avsgn_pyg.graph.build import RELATIONS, build_batch, build_video, collate
from avsgn_pyg.graph.edges import Complete, EdgeList, subgraph_edges
from avsgn_pyg.graph.schema import SUBGRAPHS
from avsgn_pyg.graph.topology import COMPLETE, Topology

B, T, R = 2, 4, 3
AV, VT = ("audio", "av", "visual"), ("visual", "vt", "text")


def batch_of(topology: Topology | None = COMPLETE, videos: int = B, seconds: int = T) -> Batch:
    return build_batch(torch.randn(videos, seconds, 5), torch.randn(videos, seconds, 6), text_nodes=R,
                       topology=topology)


def mixed(*lengths: int) -> Batch:
    return collate([build_video(torch.randn(t, 5), torch.randn(t, 6), text_nodes=R) for t in lengths])


def kinds(batch: Batch) -> dict[str, type]:
    return {name: type(subgraph_edges(batch, name)) for name in SUBGRAPHS}


ALL_COMPLETE = dict.fromkeys(SUBGRAPHS, Complete)
ALL_LISTS = dict.fromkeys(SUBGRAPHS, EdgeList)


# --- Which of the two ----------------------------------------------------------------------------------


def test_complete_graphs_of_one_length_are_complete_and_a_list_where_one_is_wanted():
    batch = batch_of()
    assert kinds(batch) == ALL_COMPLETE
    assert type(subgraph_edges(batch, "av", as_list=True)) is EdgeList


@pytest.mark.parametrize("topology", [Topology("window", 1), Topology("cross_modal_only")], ids=lambda one: one.name)
def test_fewer_edges_are_lists(topology: Topology):
    assert kinds(batch_of(topology)) == ALL_LISTS


def test_a_window_as_wide_as_the_video_is_complete():
    assert kinds(batch_of(Topology("window", T - 1))) == ALL_COMPLETE
    assert kinds(batch_of(Topology("window", T - 2)))["av"] is EdgeList


def test_videos_of_different_length_are_lists():
    assert kinds(mixed(3, 5)) == ALL_LISTS


def remove(batch: Batch) -> None:
    batch[AV].edge_index = batch[AV].edge_index[:, 1:]


def double_another(batch: Batch) -> None:
    index = batch[AV].edge_index
    batch[AV].edge_index = torch.cat((index[:, 1:], index[:, -1:]), dim=1)


def reorder(batch: Batch) -> None:
    batch[AV].edge_index = batch[AV].edge_index.flip(1)


def delete(batch: Batch) -> None:
    del batch[AV]


def turn(batch: Batch) -> None:
    index = batch[AV].edge_index.clone()
    index[:, [0, 1]] = index[:, [1, 0]]
    batch[AV].edge_index = index


def write(batch: Batch) -> None:
    batch[AV].edge_index[0, 0] = 1


def write_into_a_view(batch: Batch) -> None:
    batch[AV].edge_index.view(-1)[:2].fill_(2)


@pytest.mark.parametrize("change", [remove, double_another, reorder, delete, turn, write, write_into_a_view])
@pytest.mark.parametrize("asked", [True, False], ids=["asked before", "not asked"])
def test_other_edges_are_a_list_of_exactly_these(change: Callable[[Batch], None], asked: bool):
    batch = batch_of()
    if asked:
        assert kinds(batch) == ALL_COMPLETE
    change(batch)
    assert kinds(batch) == ALL_COMPLETE | {"av": EdgeList}
    expected = sorted((j + below[source], i + below[target])
                      for below in ({"audio": 0, "visual": B * T},)
                      for source, name, target in batch.edge_types if name == "av"
                      for j, i in batch[source, name, target].edge_index.T.tolist())
    assert sorted(map(tuple, subgraph_edges(batch, "av").index.T.tolist())) == expected


def test_a_batch_without_edges_says_how_to_get_them():
    with pytest.raises(ValueError, match="topology"):
        subgraph_edges(batch_of(None), "av")


def test_an_edge_between_videos_is_refused():
    batch = batch_of()
    batch[VT].edge_index = torch.tensor([[T], [0]])  # from video 1 into video 0
    with pytest.raises(ValueError, match="two videos"):
        subgraph_edges(batch, "vt")


# --- What the two say alike ----------------------------------------------------------------------------


def both(name: str = "vt") -> tuple[Complete, EdgeList]:
    batch = batch_of()
    return subgraph_edges(batch, name), subgraph_edges(batch, name, as_list=True)


@pytest.mark.parametrize("name", SUBGRAPHS)
def test_relation_and_offset_are_the_same_edge_by_edge(name: str):
    complete, edges = both(name)
    video, target, source = edges.place
    assert torch.equal(edges.offset, complete.offset[target, source])
    assert torch.equal(edges.relation, complete.relation[target, source])
    assert video.unique().tolist() == [0, 1]


@pytest.mark.parametrize("name", SUBGRAPHS)
def test_scores_and_their_softmax_are_the_same_edge_by_edge(name: str):
    complete, edges = both(name)
    second = T if name == "av" else R
    one, two = torch.randn(B * T, 6, dtype=torch.float64), torch.randn(B * second, 6, dtype=torch.float64)
    query, key = ([part.join(rows, rows2) for part in (complete, edges)]
                  for rows, rows2 in ((one, two), (one + 1, two - 1)))
    dense, flat = (part.softmax(part.scores(q, k)) for part, q, k in zip((complete, edges), query, key, strict=True))
    torch.testing.assert_close(edges.matrix(flat).to_dense(), complete.matrix(dense))
    torch.testing.assert_close(flat, dense[tuple(edges.place)])


def test_nodes_are_taken_apart_as_they_were_put_together():
    for edges in both():
        first, second = torch.randn(B * T, 6), torch.randn(B * R, 6)
        assert all(map(torch.equal, edges.split(edges.join(first, second)), (first, second)))


def test_the_index_of_a_list_is_sorted_by_target_whatever_the_batch_holds():
    batch = batch_of(Topology("window", 1))
    for relation in RELATIONS:
        batch[relation].edge_index = batch[relation].edge_index[:, torch.randperm(batch[relation].num_edges)]
    index = subgraph_edges(batch, "av").index
    assert bool((index[1].diff() >= 0).all())
    assert torch.equal(index, subgraph_edges(batch_of(Topology("window", 1)), "av").index)


def scored(edges: EdgeList, width: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    query, key = (torch.randn(sum(edges.nodes), width, dtype=torch.float64, requires_grad=True) for _ in range(2))
    return query, key, edges.scores(query, key)


@pytest.mark.parametrize("twice", [False, True], ids=["kernel", "an edge twice"])
def test_scores_are_products_of_an_edge_s_ends_with_their_gradients(twice: bool):
    batch = batch_of(Topology("window", 1))
    if twice:
        batch[AV].edge_index = torch.cat((batch[AV].edge_index, batch[AV].edge_index[:, :2]), dim=1)
    edges = subgraph_edges(batch, "av")
    assert (edges.rowptr is None) == twice
    query, key, found = scored(edges)
    expected = torch.stack([query[i] @ key[j] for j, i in edges.index.T.tolist()])
    torch.testing.assert_close(found, expected)
    probe = torch.randn_like(found)
    torch.testing.assert_close(torch.autograd.grad(found, (query, key), probe),
                               torch.autograd.grad(expected, (query, key), probe))


def test_scores_of_half_precision_are_single():
    edges = subgraph_edges(batch_of(Topology("window", 1)), "av")
    rows = torch.randn(sum(edges.nodes), 6).bfloat16()
    assert edges.scores(rows, rows).dtype == torch.float32


def test_the_strongest_edges_are_kept_by_node_and_sum_to_one():
    edges = subgraph_edges(mixed(3, 5), "vt")
    weight = edges.softmax(scored(edges)[2])
    kept, found = edges.strongest(weight, 2)
    expected = {}
    for node in range(sum(edges.nodes)):
        into = [number for number, target in enumerate(edges.index[1].tolist()) if target == node]
        into = sorted(into, key=lambda number: -float(weight[number]))[:2]
        expected |= {tuple(edges.index[:, one].tolist()): float(weight[one] / weight[into].sum()) for one in into}
    assert dict(zip(map(tuple, kept.index.T.tolist()), found.tolist(), strict=True)) == pytest.approx(expected)
    everything, same = edges.strongest(weight, 99)
    assert torch.equal(everything.index, edges.index)
    torch.testing.assert_close(same, weight)


def test_a_negative_node_number_is_refused():
    batch = build_batch(torch.randn(1, 3, 2), torch.randn(1, 3, 2), text_nodes=2)
    batch["audio", "av", "audio"].edge_index = torch.tensor([[-1], [0]])
    with pytest.raises(ValueError, match="node numbers from 0"):
        subgraph_edges(batch, "av")


def test_edges_of_32_bits_are_sorted_where_their_product_exceeds_these():
    videos, seconds = 800, 30
    batch = build_batch(torch.randn(videos, seconds, 1), torch.randn(videos, seconds, 1), text_nodes=1)
    wanted = subgraph_edges(batch, "av", as_list=True).index
    for relation in batch.edge_types:
        batch[relation].edge_index = batch[relation].edge_index.int()
    assert torch.equal(subgraph_edges(batch, "av", as_list=True).index, wanted)


def test_second_derivatives_along_sparse_kernels_are_an_error():
    edges = subgraph_edges(build_batch(torch.randn(1, 2, 1), torch.randn(1, 2, 1), text_nodes=1), "av", as_list=True)
    query = torch.randn(4, 3, requires_grad=True)
    (first,) = torch.autograd.grad(edges.scores(query, query).square().sum(), query, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
