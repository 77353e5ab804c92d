"""The published annotation files of AVE, OV-AVE and AVE-PM as videos with timed events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.annotations import AnnotatedVideo, TimedEvent, labels_of, read_annotations, write_annotations
from avsgn_pyg.data.timed import read_folder


def test_rows_of_one_id_are_one_video_in_the_split_that_is_held_out(tmp_path: Path):
    rows = ["Bark&a&good&2&5", "Bell&b&good&0&10", "Bell&a&good&4&10", "Bell&c&good&0&0"]
    (tmp_path / "Annotations.txt").write_text("\n".join(rows))
    (tmp_path / "trainSet.txt").write_text("\n".join([rows[0], rows[1], rows[3]]))
    (tmp_path / "valSet.txt").write_text(rows[2])
    assert read_folder(tmp_path) == [
        AnnotatedVideo("a", 10.0, "val", (TimedEvent("Bark", 2.0, 5.0), TimedEvent("Bell", 4.0, 10.0))),
        AnnotatedVideo("b", 10.0, "train", (TimedEvent("Bell", 0.0, 10.0),)), AnnotatedVideo("c", 10.0, "train", ()),
    ]


def test_runs_of_ovave_are_events(tmp_path: Path):
    (tmp_path / "ovave_dataset_meta.csv").write_text("split,cls_name,cls_type,vid_name\ntrain,dog,close,a\n")
    (tmp_path / "released_ovavel_dataset_anno.json").write_text('{"a": {"category": "dog", "label": "[1, 1, 0, 1]"}}')
    [video] = read_folder(tmp_path)
    assert (video.split, video.events) == ("train", (TimedEvent("dog", 0.0, 2.0), TimedEvent("dog", 3.0, 4.0)))


def test_a_folder_of_something_else_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="expected the annotation files of AVE"):
        read_folder(tmp_path)


@pytest.mark.slow
def test_the_published_files_of_ave_are_read_and_written(tmp_path: Path, ave_root: Path):
    found = read_folder(ave_root)
    assert Counter(video.split for video in found) == {"train": 3294, "val": 401, "test": 402}
    assert sum(len(video.events) > 1 for video in found) == 45 and len(labels_of(found)) == 28
    write_annotations(tmp_path / "a.json", found)
    assert read_annotations(tmp_path / "a.json") == found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "videos", "several"), [("ov-ave", 24_800, 3_167), ("ave-pm", 25_335, 0)])
def test_the_published_files_of_the_others_are_read(
    real_data: Callable[[str], Path], name: str, videos: int, several: int
):
    found = read_folder(real_data(name))
    assert len(found) == videos and sum(len(video.events) > 1 for video in found) == several
