"""The edges of a subgraph: complete, or a list."""

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


# --- Complete or a list --------------------------------------------------------------------------------


def test_complete_subgraphs_are_recognized():
    assert kinds(batch_of()) == kinds(batch_of(Topology("window", T - 1))) == ALL_COMPLETE
    assert type(subgraph_edges(batch_of(), "av", as_list=True)) is EdgeList
    assert kinds(batch_of(Topology("window", T - 2)))["av"] is EdgeList
    for batch in (batch_of(Topology("window", 1)), batch_of(Topology("cross_modal_only")), mixed(3, 5)):
        assert kinds(batch) == ALL_LISTS


def remove(batch: Batch) -> None:
    batch[AV].edge_index = batch[AV].edge_index[:, 1:]


def reorder(batch: Batch) -> None:
    batch[AV].edge_index = batch[AV].edge_index.flip(1)


def delete(batch: Batch) -> None:
    del batch[AV]


def write(batch: Batch) -> None:
    batch[AV].edge_index[0, 0] = 1


@pytest.mark.parametrize("change", [remove, reorder, delete, write])
@pytest.mark.parametrize("checked", [True, False], ids=["checked before", "not checked before"])
def test_changed_edges_are_a_list_of_exactly_these(change: Callable[[Batch], None], checked: bool):
    batch = batch_of()
    if checked:
        assert kinds(batch) == ALL_COMPLETE
    change(batch)
    assert kinds(batch) == ALL_COMPLETE | {"av": EdgeList}
    expected = sorted((j + below[source], i + below[target])
                      for below in ({"audio": 0, "visual": B * T},)
                      for source, name, target in batch.edge_types if name == "av"
                      for j, i in batch[source, name, target].edge_index.T.tolist())
    assert sorted(map(tuple, subgraph_edges(batch, "av").index.T.tolist())) == expected


# --- Agreement of both ---------------------------------------------------------------------------------


def both(name: str = "vt") -> tuple[Complete, EdgeList]:
    batch = batch_of()
    return subgraph_edges(batch, name), subgraph_edges(batch, name, as_list=True)


@pytest.mark.parametrize(("index", "words"), [([[T], [0]], "two videos"), ([[-1], [0]], "node numbers from 0")])
def test_an_edge_between_videos_or_of_no_node_is_an_error(index: list[list[int]], words: str):
    batch = batch_of()
    batch[VT].edge_index = torch.tensor(index)
    with pytest.raises(ValueError, match=words):
        subgraph_edges(batch, "vt")
    with pytest.raises(ValueError, match="topology"):
        subgraph_edges(batch_of(None), "av")


@pytest.mark.parametrize("name", SUBGRAPHS)
def test_relation_and_offset_agree(name: str):
    complete, edges = both(name)
    video, target, source = edges.place
    assert torch.equal(edges.offset, complete.offset[target, source])
    assert torch.equal(edges.relation, complete.relation[target, source])
    assert video.unique().tolist() == [0, 1]


@pytest.mark.parametrize("name", SUBGRAPHS)
def test_scores_and_their_softmax_agree(name: str):
    complete, edges = both(name)
    second = T if name == "av" else R
    one, two = torch.randn(B * T, 6, dtype=torch.float64), torch.randn(B * second, 6, dtype=torch.float64)
    query, key = ([part.join(rows, rows2) for part in (complete, edges)]
                  for rows, rows2 in ((one, two), (one + 1, two - 1)))
    dense, flat = (part.softmax(part.scores(q, k)) for part, q, k in zip((complete, edges), query, key, strict=True))
    torch.testing.assert_close(edges.matrix(flat).to_dense(), complete.matrix(dense))
    torch.testing.assert_close(flat, dense[tuple(edges.place)])
    assert all(map(torch.equal, edges.split(edges.join(one, two)), (one, two)))


def test_the_index_of_a_list_is_sorted_by_target():
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
def test_scores_are_products_of_query_and_key_with_their_gradients(twice: bool):
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


def test_strongest_keeps_edges_for_each_node_with_a_sum_of_one():
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


@pytest.mark.slow
def test_edges_of_32_bits_do_not_overflow():
    videos, seconds = 800, 30
    batch = build_batch(torch.randn(videos, seconds, 1), torch.randn(videos, seconds, 1), text_nodes=1)
    wanted = subgraph_edges(batch, "av", as_list=True).index
    for relation in batch.edge_types:
        batch[relation].edge_index = batch[relation].edge_index.int()
    assert torch.equal(subgraph_edges(batch, "av", as_list=True).index, wanted)
