"""build_batch equals PyG's collation, for videos of one length or of several, with any topology."""

from __future__ import annotations

from collections.abc import Mapping

import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.graph.build import build_batch, build_video, collate
from avsgn_pyg.graph.schema import NO_EVENT
from avsgn_pyg.graph.topology import COMPLETE, Topology

TEXT_NODES = 3
TOPOLOGIES = [COMPLETE, Topology("window", 1), Topology("cross_modal_only"), None]


def stacked(videos: int = 4, segments: int = 5, seed: int = 0) -> dict:
    generator = torch.Generator().manual_seed(seed)
    return {
        "audio": torch.randn(videos, segments, 6, generator=generator),
        "visual": torch.randn(videos, segments, 7, generator=generator),
        "category": torch.randint(NO_EVENT, 9, (videos,), generator=generator),
        "relevance": torch.randint(0, 2, (videos, segments), generator=generator).float(),
        "row": torch.randperm(4143, generator=generator)[:videos],
    }


def singles(parts: dict, text_nodes: int = TEXT_NODES, topology: Topology | None = COMPLETE) -> list[HeteroData]:
    names = ("audio", "visual", "category", "relevance", "row")
    return [build_video(audio, visual, text_nodes=text_nodes, category=int(category), relevance=relevance, row=int(row),
                        topology=topology)
            for audio, visual, category, relevance, row in zip(*(parts[name] for name in names), strict=True)]


def same(first: object, second: object) -> bool:
    """Equal in structure, dtype, shape, device and every bit."""
    if isinstance(first, torch.Tensor):
        alike = isinstance(second, torch.Tensor) and (first.dtype, first.device) == (second.dtype, second.device)
        return alike and torch.equal(first, second)
    if isinstance(first, Mapping):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    return first == second


def without_empty(stores: Mapping) -> dict:
    return {key: value for key, value in stores.items() if not isinstance(value, dict) or value}


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=str)
@settings(max_examples=8, deadline=None)
@given(videos=st.integers(1, 6), segments=st.integers(1, 6), text_nodes=st.integers(1, 8))
def test_build_batch_is_bit_identical_to_from_data_list(
    videos: int, segments: int, text_nodes: int, topology: Topology | None
) -> None:
    parts = stacked(videos, segments)
    one_by_one = singles(parts, text_nodes, topology)
    plain = Batch.from_data_list(one_by_one)
    fast = build_batch(**parts, text_nodes=text_nodes, topology=topology)

    assert type(fast) is type(plain) and fast.num_graphs == videos
    assert same(fast.to_dict(), plain.to_dict())
    assert same(without_empty(fast._slice_dict), without_empty(plain._slice_dict))
    assert same(without_empty(fast._inc_dict), without_empty(plain._inc_dict))
    assert fast["text"]._num_nodes == plain["text"]._num_nodes
    for back, video in zip(fast.to_data_list(), one_by_one, strict=True):
        assert type(back) is HeteroData
        assert same(back.to_dict(), video.to_dict())


def test_a_video_has_features_labels_and_a_number_of_text_nodes() -> None:
    parts = stacked(videos=1)
    video = singles(parts)[0]
    assert torch.equal(video["audio"].x, parts["audio"][0])
    assert torch.equal(video["visual"].x, parts["visual"][0])
    assert dict(video["text"].items()) == {"num_nodes": TEXT_NODES}
    assert video.category.shape == video.row.shape == (1,)
    assert video.relevance.shape == (1, 5)
    video.validate(raise_on_error=True)


@pytest.mark.parametrize("topology", TOPOLOGIES[:3], ids=str)
@pytest.mark.parametrize("change", [
    lambda batch: batch["visual", "vt", "text"].edge_index[:, 1:].fill_(0),
    lambda batch: batch["audio"].ptr[1:].add_(1), lambda batch: batch["audio"].batch[1:].add_(1),
], ids=["edge_index", "ptr", "batch"])
def test_writing_into_a_batch_does_not_change_the_next_one(change, topology: Topology) -> None:
    parts = stacked(videos=3, segments=6)
    wanted = build_batch(**parts, text_nodes=9, topology=topology).clone()
    change(build_batch(**parts, text_nodes=9, topology=topology))
    assert same(build_batch(**parts, text_nodes=9, topology=topology).to_dict(), wanted.to_dict())


def test_labels_are_optional_and_features_are_not_copied() -> None:
    parts = stacked()
    batch = build_batch(parts["audio"], parts["visual"], text_nodes=TEXT_NODES)
    assert batch.category.tolist() == [NO_EVENT] * 4 and batch.row.tolist() == [0, 1, 2, 3]
    assert batch.relevance.shape == (4, 5) and not batch.relevance.any()
    assert batch["audio"].x.data_ptr() == parts["audio"].data_ptr()


def test_a_batch_built_in_inference_mode_does_not_stop_training() -> None:
    parts = stacked(videos=5, segments=3)
    with torch.inference_mode():
        build_batch(**parts, text_nodes=11)
    batch = build_batch(**parts, text_nodes=11)
    x = batch["audio"].x.clone().requires_grad_()
    x[batch["audio", "av", "visual"].edge_index[0]].sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 3.0))


@pytest.mark.parametrize(("change", "words"), [
    ({"visual": torch.zeros(4, 4, 7)}, r"visual \[4, 4, 7\]"),
    ({"relevance": torch.zeros(4, 4)}, r"'relevance': \[4, 4\]"),
    ({"category": torch.zeros(3, dtype=torch.int64)}, r"'category': \[3\]"),
    ({"lengths": torch.tensor([5, 5, 5, 5])}, "lengths"),
    ({"text_nodes": 0}, "text_nodes=0"),
    (stacked(videos=0), "at least one"),
], ids=str)
def test_shapes_that_do_not_fit_are_an_error(change: dict, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The library's own errors, without the tests' shape checks in front of them.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=words):
        build_batch(**({"text_nodes": TEXT_NODES} | stacked() | change))


# --- Videos of different length --------------------------------------------------------------------------


def concatenated(lengths: tuple[int, ...]) -> dict:
    return {
        "audio": torch.randn(sum(lengths), 6),
        "visual": torch.randn(sum(lengths), 7),
        "lengths": torch.tensor(lengths),
        "category": torch.arange(len(lengths)) - 1,
        "relevance": torch.randint(0, 2, (len(lengths), max(lengths))).float(),
        "row": 100 + torch.arange(len(lengths)),
    }


def collated(parts: dict, topology: Topology | None = COMPLETE) -> Batch:
    lengths = parts["lengths"].tolist()
    streams = zip(parts["audio"].split(lengths), parts["visual"].split(lengths), strict=True)
    return collate([
        build_video(audio, visual, text_nodes=TEXT_NODES, category=int(parts["category"][number]), topology=topology,
                    relevance=parts["relevance"][number, : lengths[number]], row=int(parts["row"][number]))
        for number, (audio, visual) in enumerate(streams)
    ])


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=str)
@settings(max_examples=8, deadline=None)
@given(lengths=st.lists(st.integers(1, 7), min_size=1, max_size=6).map(tuple))
def test_a_batch_of_mixed_lengths_equals_the_collated_one_and_can_be_separated(
    topology: Topology | None, lengths: tuple[int, ...]
) -> None:
    parts = concatenated(lengths)
    batch, plain = build_batch(**parts, text_nodes=TEXT_NODES, topology=topology), collated(parts, topology)
    for one, two in ((batch.to_dict(), plain.to_dict()), (batch._slice_dict, plain._slice_dict),
                     (batch._inc_dict, plain._inc_dict)):
        assert same(one, two)
    assert batch["text"]._num_nodes == plain["text"]._num_nodes
    ends = parts["lengths"].cumsum(0).tolist()
    for video, length, end in zip(batch.to_data_list(), lengths, ends, strict=True):
        assert torch.equal(video["audio"].x, parts["audio"][end - length: end])
        for source, name, target in video.edge_types:
            alone = build_video(video["audio"].x, video["visual"].x, text_nodes=TEXT_NODES, topology=topology)
            assert same(video[source, name, target].edge_index, alone[source, name, target].edge_index)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_batch_on_the_gpu_equals_the_collated_one() -> None:
    parts = {name: value.cuda() for name, value in stacked().items()}
    fast = build_batch(**parts, text_nodes=TEXT_NODES)
    plain = Batch.from_data_list(singles(parts))
    assert same(fast.to_dict(), plain.to_dict())
    assert same(without_empty(fast._slice_dict), without_empty(plain._slice_dict))
