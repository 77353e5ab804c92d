"""Mixed lengths are written at once as PyG's collation writes them, and no node fills a shorter video up."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Batch

from avsgn_pyg.graph.build import build_batch, build_video, collate
from avsgn_pyg.graph.mixed import build_mixed, real_seconds
from avsgn_pyg.graph.views import padded_view

TEXT_NODES = 3


def parts(lengths: tuple[int, ...]) -> dict:
    seconds, videos = sum(lengths), len(lengths)
    return {
        "audio": torch.randn(seconds, 6),
        "visual": torch.randn(seconds, 7),
        "lengths": torch.tensor(lengths),
        "category": torch.arange(videos) - 1,
        "relevance": torch.randint(0, 2, (videos, max(lengths))).float(),
        "row": 100 + torch.arange(videos),
    }


def collated(given: dict, edges: bool = True) -> Batch:
    lengths = given["lengths"].tolist()
    streams = zip(given["audio"].split(lengths), given["visual"].split(lengths), strict=True)
    return collate([
        build_video(audio, visual, text_nodes=TEXT_NODES, category=int(given["category"][number]), edges=edges,
                    relevance=given["relevance"][number, : lengths[number]], row=int(given["row"][number]))
        for number, (audio, visual) in enumerate(streams)
    ])


def same(first: object, second: object) -> bool:
    if isinstance(first, Tensor):
        return isinstance(second, Tensor) and first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, Mapping):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    return first == second


def assert_same(first: Batch, second: Batch) -> None:
    assert same(first.to_dict(), second.to_dict())
    assert same(first._slice_dict, second._slice_dict)
    assert same(first._inc_dict, second._inc_dict)
    assert first["text"]._num_nodes == second["text"]._num_nodes


@pytest.mark.parametrize("edges", [True, False])
@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(1, 7), min_size=1, max_size=6).map(tuple))
def test_a_mixed_batch_is_what_collation_makes_of_its_videos(edges: bool, lengths: tuple[int, ...]) -> None:
    given = parts(lengths)
    assert_same(build_mixed(**given, text_nodes=TEXT_NODES, edges=edges), collated(given, edges))


def test_videos_as_long_are_what_the_road_for_one_length_makes() -> None:
    given = parts((4, 4, 4))
    streams = {name: given.pop(name).unflatten(0, (3, 4)) for name in ("audio", "visual")}
    one_length = build_batch(**streams, **{name: given[name] for name in ("category", "relevance", "row")},
                             text_nodes=TEXT_NODES)
    flat = {name: value.flatten(0, 1) for name, value in streams.items()}
    assert_same(build_mixed(**flat, **given, text_nodes=TEXT_NODES), one_length)


def test_a_mixed_batch_parts_into_its_videos_again() -> None:
    given = parts((2, 5, 1))
    found = build_mixed(**given, text_nodes=TEXT_NODES).to_data_list()
    assert [len(video["audio"].x) for video in found] == [2, 5, 1]
    assert torch.equal(torch.cat([video["visual"].x for video in found]), given["visual"])
    assert [video["audio", "av", "visual"].num_edges for video in found] == [4, 25, 1]
    assert all(int(video[edge].edge_index.max()) < 5 for video in found for edge in video.edge_types)


def test_relevance_after_a_video_s_end_is_not_read() -> None:
    given = parts((2, 5))
    given["relevance"][0, 2:] = torch.nan
    assert not build_mixed(**given, text_nodes=TEXT_NODES).relevance[0, 2:].any()


def test_a_mixed_batch_is_padded_where_a_dense_view_is_asked_for() -> None:
    given = parts((2, 5, 1))
    block, real = padded_view(build_mixed(**given, text_nodes=TEXT_NODES), "audio")
    assert torch.equal(real, real_seconds(given["lengths"], 5))
    assert torch.equal(block[real], given["audio"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lengths": torch.tensor([2, 0])}, r"every video a second .* lengths \[2, 0\]"),
        ({"lengths": torch.tensor([2, 4])}, r"2 videos of 6 seconds together, 4 at most, need audio .*got \[7, 6\]"),
        ({"text_nodes": 0}, "text_nodes=0"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_mixed(**({"text_nodes": TEXT_NODES} | parts((2, 5)) | change))
