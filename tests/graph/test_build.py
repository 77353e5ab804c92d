"""build_batch writes what PyG's own collation writes, for videos of one length and of several, with any topology."""

from __future__ import annotations

from collections.abc import Mapping

import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.graph.build import RELATIONS, build_batch, build_video, collate
from avsgn_pyg.graph.schema import NO_EVENT, SUBGRAPHS, relations
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
    return [
        build_video(
            audio,
            visual,
            text_nodes=text_nodes,
            category=int(category),
            relevance=relevance,
            row=int(row),
            topology=topology,
        )
        for audio, visual, category, relevance, row in zip(*(parts[name] for name in names), strict=True)
    ]


def same(first: object, second: object) -> bool:
    """Equal in structure, dtype, shape, device and every bit."""
    if isinstance(first, torch.Tensor):
        return (
            isinstance(second, torch.Tensor)
            and first.dtype == second.dtype
            and first.device == second.device
            and torch.equal(first, second)
        )
    if isinstance(first, Mapping):
        return isinstance(second, Mapping) and first.keys() == second.keys() and all(
            same(first[key], second[key]) for key in first
        )
    return first == second


def without_empty(stores: Mapping) -> dict:
    return {key: value for key, value in stores.items() if not isinstance(value, dict) or value}


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=str)
@settings(max_examples=12, deadline=None)
@given(
    videos=st.integers(1, 6),
    segments=st.integers(1, 6),
    text_nodes=st.integers(1, 8),
    seed=st.integers(0, 99),
)
def test_build_batch_is_bit_identical_to_from_data_list(
    videos: int, segments: int, text_nodes: int, seed: int, topology: Topology | None
) -> None:
    parts = stacked(videos, segments, seed)
    one_by_one = singles(parts, text_nodes, topology)
    plain = Batch.from_data_list(one_by_one)
    fast = build_batch(**parts, text_nodes=text_nodes, topology=topology)

    assert type(fast) is type(plain)
    assert fast.num_graphs == plain.num_graphs == videos
    assert same(fast.to_dict(), plain.to_dict())
    assert same(without_empty(fast._slice_dict), without_empty(plain._slice_dict))
    assert same(without_empty(fast._inc_dict), without_empty(plain._inc_dict))
    assert fast["text"]._num_nodes == plain["text"]._num_nodes
    assert fast.edge_types == plain.edge_types
    assert fast.node_types == plain.node_types
    for back, video in zip(fast.to_data_list(), one_by_one, strict=True):
        assert type(back) is HeteroData
        assert same(back.to_dict(), video.to_dict())


def test_a_video_holds_features_labels_and_a_bare_number_of_text_nodes() -> None:
    parts = stacked(videos=1)
    video = singles(parts)[0]
    assert torch.equal(video["audio"].x, parts["audio"][0])
    assert torch.equal(video["visual"].x, parts["visual"][0])
    assert dict(video["text"].items()) == {"num_nodes": TEXT_NODES}
    assert video.category.shape == video.row.shape == (1,)
    assert video.relevance.shape == (1, 5)
    video.validate(raise_on_error=True)


def test_every_relation_is_complete_with_self_loops_and_sorted_by_target() -> None:
    video = singles(stacked(videos=1))[0]
    assert len(video.edge_types) == len(set(RELATIONS)) == 12
    for subgraph in SUBGRAPHS:
        for source, name, target in relations(subgraph):
            index = video[source, name, target].edge_index
            senders, receivers = video[source].num_nodes, video[target].num_nodes
            expected = [[j, i] for i in range(receivers) for j in range(senders)]
            assert index.T.tolist() == expected


def test_the_structure_is_shared_but_the_bookkeeping_is_not() -> None:
    first, second = (build_batch(**stacked(seed=seed), text_nodes=TEXT_NODES) for seed in (0, 1))
    relation = ("audio", "av", "visual")
    assert first[relation].edge_index is second[relation].edge_index
    del first[relation]
    first._slice_dict["audio"]["x"] = None
    assert relation in second.edge_types
    assert second._slice_dict["audio"]["x"] is not None


@pytest.mark.parametrize("topology", TOPOLOGIES[:3], ids=str)
def test_writing_into_a_batch_s_edges_is_not_seen_by_the_next_one(topology: Topology) -> None:
    parts, relation = stacked(videos=3, segments=6), ("visual", "vt", "text")
    wanted = build_batch(**parts, text_nodes=9, topology=topology)[relation].edge_index.clone()
    batch = build_batch(**parts, text_nodes=9, topology=topology)
    batch[relation].edge_index[0, 1:] = 0
    assert torch.equal(build_batch(**parts, text_nodes=9, topology=topology)[relation].edge_index, wanted)


@pytest.mark.parametrize("name", ["ptr", "batch"])
def test_nor_is_writing_into_its_other_shared_tensors(name: str) -> None:
    parts = stacked(videos=2, segments=6)
    wanted = build_batch(**parts, text_nodes=10)["audio"][name].clone()
    build_batch(**parts, text_nodes=10)["audio"][name][1] += 1
    assert torch.equal(build_batch(**parts, text_nodes=10)["audio"][name], wanted)


def test_structure_made_under_inference_mode_serves_training() -> None:
    parts = stacked(videos=5, segments=3)
    with torch.inference_mode():
        build_batch(**parts, text_nodes=11)
    batch = build_batch(**parts, text_nodes=11)
    x = batch["audio"].x.clone().requires_grad_()
    x[batch["audio", "av", "visual"].edge_index[0]].sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 3.0))


def test_features_enter_the_batch_without_a_copy() -> None:
    parts = stacked()
    batch = build_batch(**parts, text_nodes=TEXT_NODES)
    assert batch["audio"].x.data_ptr() == parts["audio"].data_ptr()


@pytest.mark.parametrize(("change", "words"), [
    ({"visual": torch.zeros(4, 4, 7)}, r"visual \[4, 4, 7\]"),
    ({"relevance": torch.zeros(4, 4)}, r"'relevance': \[4, 4\]"),
    ({"category": torch.zeros(3, dtype=torch.int64)}, r"'category': \[3\]"),
    ({"lengths": torch.tensor([5, 5, 5, 5])}, "lengths"),
    ({"text_nodes": 0}, "text_nodes=0"),
    (stacked(videos=0), "at least one"),
], ids=str)
def test_parts_that_do_not_fit_are_refused(change: dict, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The library's own errors, without the tests' shape checks in front of them.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=words):
        build_batch(**({"text_nodes": TEXT_NODES} | stacked() | change))


def test_labels_may_be_left_out() -> None:
    parts = stacked()
    batch = build_batch(parts["audio"], parts["visual"], text_nodes=TEXT_NODES)
    assert batch.category.tolist() == [NO_EVENT] * 4 and batch.row.tolist() == [0, 1, 2, 3]
    assert batch.relevance.shape == (4, 5) and not batch.relevance.any()


def test_videos_of_different_length_are_collated_and_parted_again() -> None:
    videos = [build_video(torch.randn(length, 6), torch.randn(length, 7), text_nodes=TEXT_NODES, category=length,
                          relevance=torch.ones(length), row=length) for length in (2, 5, 3)]
    batch = collate(videos)
    assert batch.relevance.tolist() == [[1, 1, 0, 0, 0], [1] * 5, [1, 1, 1, 0, 0]]
    assert batch["audio"].ptr.tolist() == [0, 2, 7, 10] and batch["text"].num_nodes == 3 * TEXT_NODES
    assert videos[0].relevance.shape == (1, 2)
    for back, video in zip(batch.to_data_list(), videos, strict=True):
        assert same(back["audio"].x, video["audio"].x) and back["text"].num_nodes == TEXT_NODES
        for relation in RELATIONS:
            assert same(back[relation].edge_index, video[relation].edge_index)


# --- Videos of different length --------------------------------------------------------------------------


def end_to_end(lengths: tuple[int, ...]) -> dict:
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


def assert_same(first: Batch, second: Batch) -> None:
    assert same(first.to_dict(), second.to_dict())
    assert same(first._slice_dict, second._slice_dict)
    assert same(first._inc_dict, second._inc_dict)
    assert first["text"]._num_nodes == second["text"]._num_nodes


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=str)
@settings(max_examples=12, deadline=None)
@given(lengths=st.lists(st.integers(1, 7), min_size=1, max_size=6).map(tuple))
def test_a_mixed_batch_is_what_collation_makes_of_its_videos(
    topology: Topology | None, lengths: tuple[int, ...]
) -> None:
    parts = end_to_end(lengths)
    assert_same(build_batch(**parts, text_nodes=TEXT_NODES, topology=topology), collated(parts, topology))


def test_relevance_after_a_video_s_end_is_not_read() -> None:
    parts = end_to_end((2, 5))
    parts["relevance"][0, 2:] = torch.nan
    assert not build_batch(**parts, text_nodes=TEXT_NODES).relevance[0, 2:].any()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_batch_on_the_gpu_equals_the_collated_one() -> None:
    parts = {name: value.cuda() for name, value in stacked().items()}
    fast = build_batch(**parts, text_nodes=TEXT_NODES)
    plain = Batch.from_data_list(singles(parts))
    assert same(fast.to_dict(), plain.to_dict())
    assert same(without_empty(fast._slice_dict), without_empty(plain._slice_dict))


def test_a_topology_may_join_the_two_modalities_in_one_direction_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Topology.edges

    def edges(self: Topology, source: str, target: str, sources: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        found = whole(self, source, target, sources, targets)
        return found[:, :0] if (source, target) == ("visual", "audio") else found

    monkeypatch.setattr(Topology, "edges", edges)
    batch = build_batch(torch.randn(2, 7, 1), torch.randn(2, 7, 1), text_nodes=9, topology=Topology("window", 3))
    assert not batch["visual", "av", "audio"].edge_index.numel()
    assert batch["audio", "av", "visual"].edge_index.numel()
