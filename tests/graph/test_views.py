"""A batch as dense blocks, and attention on the edges of the graph."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Batch, HeteroData
from torch_geometric.transforms import ToUndirected
from torch_geometric.utils import to_networkx

from avsgn_pyg.graph.build import RELATIONS, build_batch, build_video, collate
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.schema import SUBGRAPHS
from avsgn_pyg.graph.views import (
    dense_view,
    has_regions,
    padded_view,
    region_rows,
    set_edges,
    to_heterodata,
    with_regions,
)


def batch_of(videos: int, segments: int) -> tuple[torch.Tensor, Batch]:
    audio = torch.randn(videos, segments, 4)
    return audio, build_batch(audio, torch.randn(videos, segments, 6), text_nodes=2)


def video_of(segments: int) -> HeteroData:
    features = torch.randn(segments, 4)
    return build_video(features, features, text_nodes=2)


def test_views_of_equal_lengths_are_not_copied() -> None:
    audio, batch = batch_of(3, 5)
    view = dense_view(batch, "audio")
    assert torch.equal(view, audio)
    assert view.data_ptr() == batch["audio"].x.data_ptr()
    block, mask = padded_view(batch, "audio")
    assert mask is None and block.data_ptr() == view.data_ptr() and torch.equal(block, audio)
    del batch._global_store._slice_dict
    assert torch.equal(dense_view(batch, "audio"), audio)


def test_videos_of_different_length_have_no_dense_view() -> None:
    videos = [video_of(3), video_of(5)]
    for video in videos:
        del video.relevance  # [1, T] cannot be stacked over different T
    batch = Batch.from_data_list(videos)
    with pytest.raises(ValueError, match="between 3 and 5"):
        dense_view(batch, "audio")


def test_node_types_without_features_are_an_error() -> None:
    _, batch = batch_of(2, 3)
    for name in ("text", "smell"):
        with pytest.raises(ValueError, match=rf"'{name}'.*audio.*visual"):
            dense_view(batch, name)


# --- Videos of different length --------------------------------------------------------------------


def mixed_batch(*lengths: int) -> tuple[list[HeteroData], Batch]:
    videos = [video_of(length) for length in lengths]
    return videos, collate(videos)


def test_shorter_videos_are_padded_with_zeros() -> None:
    videos, batch = mixed_batch(3, 5, 1)
    block, mask = padded_view(batch, "audio")
    assert block.shape == (3, 5, 4) and mask.sum(1).tolist() == [3, 5, 1]
    for number, video in enumerate(videos):
        length = len(video["audio"].x)
        assert torch.equal(block[number, :length], video["audio"].x) and not block[number, length:].any()
        assert mask[number, :length].all()


# --- Attention as a graph --------------------------------------------------------------------------


def output_for(batch: Batch, sparse: bool = False, text: int = 2) -> Localization:
    """Random attention of every subgraph, normalised over sources that are no padding."""
    _, mask = padded_view(batch, "audio")
    lengths = batch["audio"].ptr.diff()
    videos, longest = len(lengths), int(lengths.max())
    seconds = torch.ones(videos, longest, dtype=torch.bool) if mask is None else mask
    labels = torch.ones(videos, text, dtype=torch.bool)
    masks = {"av": (seconds, seconds), "vt": (seconds, labels), "at": (seconds, labels)}
    adjacency = {}
    for name, parts in masks.items():
        rows = torch.cat(parts, dim=1)
        score = torch.randn(videos, rows.shape[1], rows.shape[1]).masked_fill(~rows[:, None], -torch.inf)
        weight = score.softmax(-1) * rows[..., None]
        adjacency[name] = (weight.to_sparse() if sparse else weight,)
    return Localization(torch.zeros(videos, 3), torch.zeros(videos, longest), adjacency=adjacency)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("lengths", [(4, 4), (3, 5, 1)])
def test_edge_weights_are_the_attention(lengths: tuple[int, ...], sparse: bool) -> None:
    _, batch = mixed_batch(*lengths)
    output = output_for(batch, sparse)
    graph = to_heterodata(batch, output)
    graph.validate(raise_on_error=True)
    assert set(graph.edge_types) == set(RELATIONS)
    for edge_type in RELATIONS:
        source, subgraph, target = edge_type
        matrix, offset = output.adjacency[subgraph][0], {SUBGRAPHS[subgraph][1]: max(lengths)}
        matrix = matrix.to_dense() if sparse else matrix
        store, ptr = graph[edge_type], {name: graph[name].ptr for name in (source, target)}
        assert bool((store.edge_index[1].diff() >= 0).all())
        for (j, i), weight in zip(store.edge_index.T.tolist(), store.edge_weight, strict=True):
            video = int(graph[target].batch[i])
            assert video == int(graph[source].batch[j])
            row = i - int(ptr[target][video]) + offset.get(target, 0)
            column = j - int(ptr[source][video]) + offset.get(source, 0)
            assert weight == matrix[video, row, column]
    for name in ("audio", "visual"):  # attention into a node sums to one over its subgraph's relations
        total = sum(torch.zeros(graph[name].num_nodes).index_add(0, graph[kind].edge_index[1], graph[kind].edge_weight)
                    for kind in graph.edge_types if kind[2] == name)
        torch.testing.assert_close(total, torch.full_like(total, 2.0))


@pytest.mark.parametrize("lengths", [(4, 4), (3, 5)])
def test_tools_of_pyg_accept_the_graph(lengths: tuple[int, ...], tmp_path: Path) -> None:
    videos, batch = mixed_batch(*lengths)
    graph = to_heterodata(batch, output_for(batch))
    assert batch["audio", "av", "visual"].edge_index is not graph["audio", "av", "visual"].edge_index
    separated = graph.to_data_list()
    for video, one in zip(videos, separated, strict=True):
        one.validate(raise_on_error=True)
        length = len(video["audio"].x)
        assert torch.equal(one["audio", "av", "visual"].edge_index, video["audio", "av", "visual"].edge_index)
        assert one["text", "vt", "visual"].edge_weight.shape == (2 * length,)
    undirected = ToUndirected()(copy.copy(separated[1]))
    one_way = separated[1]["audio", "av", "visual"].edge_weight
    assert torch.equal(undirected["visual", "rev_av", "audio"].edge_weight.sort().values, one_way.sort().values)
    network = to_networkx(separated[0], edge_attrs=["edge_weight"])
    assert network.number_of_nodes() == separated[0].num_nodes
    torch.save(graph, tmp_path / "graph.pt")
    loaded = torch.load(tmp_path / "graph.pt", weights_only=False)
    assert torch.equal(loaded["audio", "at", "text"].edge_weight, graph["audio", "at", "text"].edge_weight)


def test_the_output_of_another_batch_or_layer_is_an_error() -> None:
    _, batch = mixed_batch(4, 4)
    _, other = mixed_batch(3, 3)
    with pytest.raises(ValueError, match=r"'av'.*6, 6.*4 and 4"):
        to_heterodata(batch, output_for(other))
    with pytest.raises(ValueError, match="layer=1"):
        to_heterodata(batch, output_for(batch), layer=1)


def test_edges_set_in_a_batch_are_separated_with_their_videos():
    batch = build_batch(torch.randn(2, 3, 4), torch.randn(2, 3, 4), text_nodes=2)
    relation = ("audio", "av", "visual")
    set_edges(batch, relation, torch.tensor([[5, 0, 1], [3, 2, 2]]), edge_weight=torch.tensor([0.1, 0.2, 0.3]))
    one, two = batch.to_data_list()
    assert one[relation].edge_index.tolist() == [[0, 1], [2, 2]] and two[relation].edge_index.tolist() == [[2], [0]]
    torch.testing.assert_close(one[relation].edge_weight, torch.tensor([0.2, 0.3]))


# --- Regions ---------------------------------------------------------------------------------------


def test_regions_are_added_to_the_vectors_and_separated_by_video():
    (_, plain), regions = batch_of(3, 4), torch.randn(3, 4, 5, 6)
    vectors = plain["visual"].x.clone()
    assert not has_regions(plain) and torch.equal(region_rows(plain), vectors[:, None])  # a vector is one region
    with pytest.raises(ValueError, match=r"2 videos.*12"):
        with_regions(plain, regions[:2])
    full = with_regions(plain, regions)
    assert has_regions(full) and torch.equal(region_rows(full), regions.flatten(0, 1))
    for number, video in enumerate(full.to_data_list()):
        assert torch.equal(video["visual"].regions, regions[number])
        assert torch.equal(video["visual"].x, vectors.view(3, 4, 6)[number])
