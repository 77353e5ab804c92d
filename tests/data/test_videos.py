"""Videos become graphs one by one and many at a time, the same either way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
import torch
from torch_geometric.data import Batch

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.settings import DataConfig, SyntheticConfig
from avsgn_pyg.data.dataset import load_dataset
from avsgn_pyg.data.feature_store import LabelText
from avsgn_pyg.data.legacy import open_maps
from avsgn_pyg.data.videos import Dataset, Videos
from avsgn_pyg.graph.build import collate
from avsgn_pyg.graph.schema import NO_EVENT
from avsgn_pyg.graph.topology import Topology


def videos(count: int = 5, segments: int = 3, text_nodes: int = 4) -> Videos:
    return Videos(
        audio=torch.randn(count, segments, 6),
        visual=torch.randn(count, segments, 7),
        category=torch.arange(count) - 1,
        relevance=torch.randint(0, 2, (count, segments)).float(),
        row=100 + torch.arange(count),
        video_ids=tuple(f"id{number % 4}" for number in range(count)),
        text_nodes=text_nodes,
    )


LENGTHS = torch.tensor([3, 1, 2, 3, 2])


def mixed() -> Videos:
    """Videos with nan in their padding."""
    whole = dataclasses.replace(videos(), lengths=LENGTHS)
    for name in ("audio", "visual", "relevance"):
        getattr(whole, name)[~whole.mask] = torch.nan
    return whole


@pytest.mark.parametrize(("make", "index"), [(videos, [3, 0, 3]), (mixed, [3, 1, 2]), (mixed, [1, 2])])
def test_a_batch_equals_its_videos_collated_one_by_one(make: Callable[[], Videos], index: list[int]) -> None:
    split = make()
    batch, plain = split.batch(torch.tensor(index)), collate([split[place] for place in index])
    for key in ("category", "relevance", "row"):
        assert torch.equal(batch[key], plain[key])
    for key in ("audio", "visual", "text"):
        assert torch.equal(batch[key].batch, plain[key].batch) and torch.equal(batch[key].ptr, plain[key].ptr)
    for key in ("audio", "visual"):
        seconds = [getattr(split, key)[place, : split.seconds[place]] for place in index]
        assert torch.equal(batch[key].x, torch.cat(seconds)) and torch.equal(plain[key].x, batch[key].x)
    assert all(torch.equal(batch[edge].edge_index, plain[edge].edge_index) for edge in plain.edge_types)
    assert batch.relevance.isfinite().all() and batch["text"].num_nodes == 4 * len(index)
    assert [int(video.row) for video in split] == [100, 101, 102, 103, 104] and split[-1].row.tolist() == [104]


def test_with_maps_a_batch_equals_its_videos_too(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["avadataset"] = torch.randn(5, 3, 7, 7, 7).numpy()
    split = dataclasses.replace(videos(), maps=open_maps(tmp_path / "v.h5"))
    fast = split.batch(torch.tensor([3, 0, 3]))
    plain = Batch.from_data_list([split[3], split[0], split[3]])
    assert torch.equal(fast["visual"].regions, plain["visual"].regions) and fast["visual"].regions.shape == (9, 49, 7)
    part = split.take(torch.tensor([4, 3])).to("cpu")
    assert torch.equal(part[1]["visual"].regions, split[3]["visual"].regions)
    assert torch.equal(fast.to_data_list()[2]["visual"].regions, split[3]["visual"].regions)
    with pytest.raises(DataError, match="maps of 5 videos, got 2"):
        dataclasses.replace(videos(), maps=split.maps.take(torch.tensor([0, 1])))
    seconds = split.audio.shape[1]
    with pytest.raises(DataError, match=r"mixed lengths; data\.regions=keep"):
        dataclasses.replace(split, lengths=torch.tensor([seconds - 1] + [seconds] * (len(split) - 1)))


def test_taking_videos_keeps_every_part_together() -> None:
    split = mixed()
    part = split.take(torch.tensor([2, 1]))
    assert part.row.tolist() == [102, 101] and part.video_ids == ("id2", "id1") and part.lengths.tolist() == [2, 1]
    assert part.mask.tolist() == [[True, True, False], [True, False, False]]
    for name in ("audio", "visual", "relevance"):
        assert torch.equal(getattr(part, name)[part.mask], getattr(split, name)[[2, 1]][part.mask])
    assert split.take(torch.tensor([0, 3])).lengths is None


def test_moving_to_a_device_moves_every_tensor_but_the_lengths() -> None:
    moved = mixed().to("meta")
    devices = {name: value.device.type for name, value in vars(moved).items() if isinstance(value, torch.Tensor)}
    assert devices.pop("lengths") == "cpu"
    assert len(devices) == 5 and set(devices.values()) == {"meta"}


@pytest.mark.parametrize(
    "change",
    [
        {"visual": torch.zeros(5, 4, 7)},
        {"relevance": torch.zeros(5, 2)},
        {"category": torch.zeros(4, dtype=torch.int64)},
        {"video_ids": ("one",)},
    ],
)
@pytest.mark.usefixtures("as_installed")
def test_parts_of_different_length_are_refused(change: dict) -> None:
    with pytest.raises(DataError, match="same videos and segments"):
        dataclasses.replace(videos(), **change)


@pytest.fixture
def labelled() -> Dataset:
    """Four classes, a video of each and one without an event."""
    split = dataclasses.replace(videos(), video_ids=("silent", "a", "b", "c", "d"))
    text = LabelText(torch.randn(4, 6), torch.randn(4, 7))
    return Dataset("made", ("bark", "bell", "flute", "horn"), split, val=split, label_text=text)


def test_classes_that_are_held_out_leave_no_trace_but_a_record(labelled: Dataset) -> None:
    part = labelled.without_classes(["horn", "bark"])
    assert part.categories == ("bell", "flute") and part.name == "made, 2 of 4 classes"
    assert part.train.category.tolist() == [NO_EVENT, 0, 1] and part.train.row.tolist() == [100, 102, 103]
    assert torch.equal(part.val.audio, labelled.val.audio[[0, 2, 3]])
    assert torch.equal(part.label_text.audio, labelled.label_text.audio[[1, 2]])
    assert torch.equal(part.label_text.visual, labelled.label_text.visual[[1, 2]])
    assert part.provenance == {"held_out": ["bark", "horn"]} and "bark, horn" in part.notes[-1]


def test_a_limit_takes_videos_evenly_from_each_split_and_the_name_says_so() -> None:
    part = Dataset("made", ("a", "b", "c", "d"), train=videos(9), test=videos(2)).limited(3)
    assert part.train.row.tolist() == [100, 103, 106] and len(part.test) == 2 and part.val is None
    assert "at most 3 videos" in part.name and "3 of 9 train, 2 of 2 test" in part.notes[-1]


def test_a_held_out_video_leaves_every_split_that_has_it(labelled: Dataset) -> None:
    val = dataclasses.replace(labelled.val, video_ids=("silent", "b", "x", "y", "z"))  # bark, and in train bell
    part = dataclasses.replace(labelled, val=val).without_classes(["bark"])
    assert part.train.video_ids == ("silent", "c", "d") and part.val.video_ids == ("silent", "x", "y", "z")


@pytest.mark.parametrize(("names", "message"), [
    (["gong"], r"\['gong'\]; there are bark, bell, flute, horn"),
    (["bell", "bark", "horn"], "1 of 4 classes are left"),
    (["bark", "bell"], "the val split has no video left of the 2 remaining classes flute, horn"),
])
def test_classes_that_cannot_be_held_out_are_refused(labelled: Dataset, names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        dataclasses.replace(labelled, val=videos(3)).without_classes(names)


def test_the_config_holds_classes_out() -> None:
    config = DataConfig(kind="synthetic", synthetic=SyntheticConfig(videos=60, classes=4, width=8))
    whole = load_dataset(config)
    rest = load_dataset(config.model_copy(update={"held_out": whole.categories[::2]}))
    assert rest.categories == whole.categories[1::2]


def test_the_topology_is_that_of_every_batch_and_every_video() -> None:
    data = Dataset("made", ("a",), mixed(), test=mixed()).with_graph(4, Topology("window", 1))
    batch = data.test.batch(torch.tensor([0, 2]))  # of 3 and 2 seconds
    ends = batch["audio", "av", "visual"].edge_index
    assert bool(((ends[0] - ends[1]).abs() <= 1).all()) and ends.shape[1] == 7 + 4
    assert data.test[0]["audio", "av", "visual"].edge_index.shape[1] == 7
    assert data.with_graph(4, None).train.batch(torch.tensor([1])).edge_types == []


def test_lengths_that_are_all_the_longest_are_no_mixture() -> None:
    split, same = videos(), dataclasses.replace(videos(), lengths=torch.full((5,), 3))
    assert same.lengths is None and same.mask is None
    assert split.seconds.tolist() == [3] * 5


def test_a_data_set_spans_the_lengths_of_all_its_splits() -> None:
    assert Dataset("made", ("a",), videos(segments=4), test=mixed()).span == (1, 4)
