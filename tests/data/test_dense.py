"""An annotation file and a store as videos with events: batches of mixed lengths, and errors by file and video."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from avsgn_pyg.common.config import load_config
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.settings import DataConfig
from avsgn_pyg.data.annotations import AnnotatedVideo, TimedEvent, write_annotations
from avsgn_pyg.data.dataset import load_dataset
from avsgn_pyg.data.dense import DenseVideos
from avsgn_pyg.data.feature_store import Features, write_store


def settings(root: Path, *more: str) -> DataConfig:
    return load_config(None, [f"data.root={root}", "data.kind=dense", "data.name=made", "data.features=features.h5",
                              "data.annotations=annotations.json", "model.text.slots=per_class", *more]).data


@pytest.fixture
def write(tmp_path: Path):
    """Write two train videos of 3 and 2 s, with a feature a second, and these events of the first."""
    def make(*events: TimedEvent, ids: tuple[str, ...] = ("a", "b"), **more: object) -> DataConfig:
        videos = [AnnotatedVideo("a", None, "train", events), AnnotatedVideo("b", None, "train", ())]
        write_annotations(tmp_path / "annotations.json", videos)
        write_store(tmp_path / "features.h5", Features(torch.rand(2, 3, 4), torch.rand(2, 3, 4), ids,
                                                       lengths=torch.tensor([3, 2]), **more))
        return settings(tmp_path)

    return make


def test_a_batch_has_the_events_of_its_videos(dense_root: Path):
    dataset = load_dataset(settings(dense_root))
    assert dataset.categories == ("bell", "dog", "saw") and dataset.span == (12, 24)
    assert {name: len(videos) for name, videos in dataset.splits.items()} == {"train": 32, "val": 16, "test": 16}
    train = dataset.train
    assert isinstance(train, DenseVideos) and train.rate == 2
    annotated = json.loads((dense_root / "annotations.json").read_text())["database"]
    for video, events in zip(train.video_ids, train.events, strict=True):
        wanted = [[dataset.categories.index(one["label"]), *one["segment"]] for one in annotated[video]["annotations"]]
        torch.testing.assert_close(events, torch.tensor(wanted))
    batch = train.batch(torch.tensor([3, 0]))
    assert batch.events.shape == (2, 2, 3) and [int(count) for count in batch["audio"].ptr.diff()] == \
        train.seconds[[3, 0]].tolist()
    torch.testing.assert_close(batch.events[0], train.events[3])
    assert batch.events[1, 1].tolist() == [-1, -1, -1]
    one, _ = batch.to_data_list()
    assert one.events.shape == (1, 2, 3)


def test_a_part_of_the_videos_keeps_their_events(dense_root: Path):
    limited = load_dataset(settings(dense_root, "data.limit=4")).train
    whole = load_dataset(settings(dense_root)).train
    assert len(limited) == len(limited.events) == 4
    assert torch.equal(limited.events[3], whole.events[whole.video_ids.index(limited.video_ids[3])])
    with pytest.raises(DataError, match="events"):
        dataclasses.replace(limited, events=limited.events[:2])


def test_an_event_is_cut_at_the_end_of_the_features_and_an_error_after_it(write):
    events = load_dataset(write(TimedEvent("x", 0.25, 3.4))).train.events
    assert [rows.tolist() for rows in events] == [[[0, 0.25, 3]], []]
    with pytest.raises(DataError, match=r"annotations\.json.*'a'.*'x' from 3 .*end at 3 s"):
        load_dataset(write(TimedEvent("x", 3.0, 3.4)))


def test_files_that_contradict_each_other_are_errors(write, tmp_path: Path):
    event = TimedEvent("dgo", 0.0, 1.0)
    with pytest.raises(DataError, match=r"'a'.*did you mean 'dog'"):
        load_dataset(write(event, categories=("cat", "dog")))
    with pytest.raises(DataError, match="1 ids occur with different features"):
        load_dataset(write(event, ids=("a", "a")))
    config = write(event, ids=("a", "c"))
    with pytest.raises(DataError, match=r"'b'; data\.missing=drop"):
        load_dataset(config)
    dropped = load_dataset(config.model_copy(update={"missing": "drop"}))
    assert dropped.train.video_ids == ("a",) and "left out: 1: b" in dropped.notes[0]
    with pytest.raises(DataError, match="no video of the train split"):
        load_dataset(write(event, ids=("c", "d")).model_copy(update={"missing": "drop"}))
    (tmp_path / "annotations.json").unlink()
    with pytest.raises(DataError, match=r"annotations\.json: no such file"):
        load_dataset(config)




@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Rows of AVE: three of the id a, one of them in val, and one of b; a is 10 s with a feature a second."""
    lines = ["Bark&a&good&2&5", "Bell&b&good&0&10", "Bell&a&good&4&10", "Bark&a&good&2&5"]
    (tmp_path / "Annotations.txt").write_text("\n".join(lines))
    (tmp_path / "trainSet.txt").write_text("\n".join([*lines[:2], lines[3]]))
    (tmp_path / "valSet.txt").write_text(lines[2])
    return tmp_path


def write_rows(root: Path, *, noise: float) -> DataConfig:
    """A store of the four rows; the features of a differ by the noise."""
    features = torch.randn(2, 10, 4)[[0, 1, 0, 0]]
    features[2] += noise
    write_store(root / "features.h5", Features(features, features.clone(), ("a", "b", "a", "a")))
    return settings(root, "data.annotations=Annotations.txt", "data.splits=txt")


def test_the_rows_of_ave_with_one_id_are_the_events_of_one_clip(rows: Path):
    found = load_dataset(write_rows(rows, noise=1e-6))
    assert found.categories == ("Bark", "Bell")
    assert found.train.video_ids == ("b",) and found.train.events[0].tolist() == [[1, 0, 10]]
    assert found.val.video_ids == ("a",) and found.val.events[0].tolist() == [[0, 2, 5], [1, 4, 10]]


def test_rows_with_one_id_and_different_features_are_no_clip(rows: Path):
    config = write_rows(rows, noise=0.1)
    with pytest.raises(DataError, match=r"1 ids occur with different features.* 'a'; data\.missing=drop"):
        load_dataset(config)
    found = load_dataset(config.model_copy(update={"missing": "drop"}))
    assert found.train.video_ids == ("b",) and found.val is None and "left out: 1: a" in found.notes[0]


def test_the_split_files_of_rows_of_ave_are_recorded(rows: Path):
    config = write_rows(rows, noise=0.0)
    files = load_dataset(config).provenance["files"]
    assert {"features", "annotations", "train split", "val split"} == {*files}
    (rows / "trainSet.txt").write_text("Bell&b&good&0&10")
    assert load_dataset(config).provenance["files"]["train split"] != files["train split"]


def test_rows_of_ave_need_a_train_split(rows: Path):
    config = write_rows(rows, noise=0.0)
    (rows / "trainSet.txt").unlink()
    with pytest.raises(DataError, match=r"trainSet\.txt: no such file"):
        load_dataset(config)


@pytest.mark.slow
def test_ave_composite_has_38_ids_of_several_clips(tmp_path: Path, ave_composite_root: Path):
    """Every row was composed anew, so its event is in no other row's features."""
    whole = load_dataset(DataConfig(root=ave_composite_root))
    features = [torch.empty(3741, 10, 512) for _ in range(2)]
    ids = [""] * 3741
    for videos in whole.splits.values():
        features[0][videos.row], features[1][videos.row] = videos.audio, videos.visual
        for row, video_id in zip(videos.row.tolist(), videos.video_ids, strict=True):
            ids[row] = video_id
    write_store(tmp_path / "f.h5", Features(*features, tuple(ids)))
    found = load_dataset(DataConfig(kind="dense", name="AVE-Composite", root=ave_composite_root, missing="drop",
                                    features=str(tmp_path / "f.h5")))
    assert {name: len(videos) for name, videos in found.splits.items()} == {"train": 3275, "val": 390}
    assert "ids with different features, left out: 38" in found.notes[0]
