"""The dense view is the batch's own memory, and only exists where all videos are as long."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.graph.build import build_batch, build_video
from avsgn_pyg.graph.views import dense_view


def batch_of(videos: int, segments: int) -> tuple[torch.Tensor, Batch]:
    audio = torch.randn(videos, segments, 4)
    batch = build_batch(
        audio,
        torch.randn(videos, segments, 6),
        text_nodes=2,
        category=torch.zeros(videos, dtype=torch.int64),
        relevance=torch.zeros(videos, segments),
        row=torch.arange(videos),
    )
    return audio, batch


def video_of(segments: int) -> HeteroData:
    features = torch.randn(segments, 4)
    return build_video(features, features, text_nodes=2, category=0, relevance=torch.zeros(segments), row=0)


def test_the_view_gives_the_stacked_features_back_without_a_copy() -> None:
    audio, batch = batch_of(3, 5)
    view = dense_view(batch, "audio")
    assert torch.equal(view, audio)
    assert view.data_ptr() == batch["audio"].x.data_ptr()
    view[1, 2, 3] = 42.0
    assert batch["audio"].x[1 * 5 + 2, 3] == 42.0


def test_gradients_flow_through_the_view() -> None:
    _, batch = batch_of(2, 3)
    batch["visual"].x.requires_grad_()
    dense_view(batch, "visual")[1].sum().backward()
    assert batch["visual"].x.grad[:3].eq(0).all()
    assert batch["visual"].x.grad[3:].eq(1).all()


def test_a_collated_batch_has_the_same_view() -> None:
    videos = [video_of(4), video_of(4)]
    expected = torch.stack([video["audio"].x for video in videos])
    assert torch.equal(dense_view(Batch.from_data_list(videos), "audio"), expected)


def test_the_view_reads_ptr_where_a_batch_has_no_slices() -> None:
    audio, batch = batch_of(3, 5)
    del batch._global_store._slice_dict
    assert torch.equal(dense_view(batch, "audio"), audio)


def test_videos_of_different_length_have_no_dense_view() -> None:
    videos = [video_of(3), video_of(5)]
    for video in videos:
        del video.relevance  # [1, T] cannot be stacked over different T
    batch = Batch.from_data_list(videos)
    with pytest.raises(ValueError, match="between 3 and 5"):
        dense_view(batch, "audio")


def test_text_has_no_features_to_view() -> None:
    _, batch = batch_of(2, 3)
    with pytest.raises(ValueError, match=r"'text' carries no features.*audio.*visual"):
        dense_view(batch, "text")
    with pytest.raises(ValueError, match="'smell'"):
        dense_view(batch, "smell")
