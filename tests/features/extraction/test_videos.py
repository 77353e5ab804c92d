"""Which files are encoded under which ids, and what is refused before anything is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from avsgn_pyg.common.errors import DataError, ExtractionError
from avsgn_pyg.data.ave import Annotations, read_annotations
from avsgn_pyg.features.extraction.videos import Video, make_plan
from avsgn_pyg.features.files import Shard

LINES = ("Bark&-a&good&0&6", "Flute&b&good&1&3", "Bark&-a&good&2&4", "Flute&gone&good&0&1")


@pytest.fixture
def annotations(tmp_path: Path) -> Annotations:
    (tmp_path / "Annotations.txt").write_text("\n".join(LINES))
    return read_annotations(tmp_path / "Annotations.txt")


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"abc")


def test_an_annotated_id_is_taken_once_and_one_without_a_file_is_missing(tmp_path: Path, annotations: Annotations):
    touch(tmp_path, "-a.MP4", "deep/b.webm", "other.mp4", ".b.mp4", "b.txt")
    plan = make_plan(tmp_path, annotations)
    assert plan.videos == (
        Video("-a", tmp_path / "-a.MP4", (0, 2), 3), Video("b", tmp_path / "deep/b.webm", (1,), 3)
    )
    assert [str(each) for each in plan.missing] == ["gone (row 3): no file"]
    assert plan.notes == ("skipped 2 files: 2 .txt", "media files of other ids, ignored: 1")
    assert plan.categories == ("Bark", "Flute")


def test_two_videos_with_one_id_fail_alone_and_are_named(tmp_path: Path, annotations: Annotations):
    touch(tmp_path, "-a.mp4", "b.mp4", "deep/b.avi", "x.mp4", "x.avi")
    plan = make_plan(tmp_path, annotations)
    assert [video.id for video in plan.videos] == ["-a"] and plan.missing[0].retryable
    assert str(plan.missing[0]) == "b (row 1): several files: b.mp4, deep/b.avi; keep one"
    assert [each.id for each in make_plan(tmp_path).missing] == ["x"]


def test_a_video_wins_over_the_sound_of_the_same_name(tmp_path: Path, annotations: Annotations):
    touch(tmp_path, "b.wav", "b.mp4", "-a.flac", "-a.wav")
    plan = make_plan(tmp_path, annotations)
    assert [video.path.name for video in plan.videos] == ["b.mp4"] and plan.missing[0].id == "-a"
    assert plan.notes[1:] == ("sound files with the name of a video, not read: 1, first b.wav",)


def test_a_segment_is_found_in_the_longer_file_that_its_id_names(tmp_path: Path):
    touch(tmp_path, "y_1.mp4", "z_5_15.mp4", "z.mp4", "w.mp4")
    plan = make_plan(tmp_path, starts={"y_1_20_30": 0, "z_5_15": 0, "w": 7, "w_a_1": 0})
    assert [(video.id, video.path.name, video.start) for video in plan.videos] == [
        ("y_1_20_30", "y_1.mp4", 20), ("z_5_15", "z_5_15.mp4", 0), ("w", "w.mp4", 7)]
    assert [each.id for each in plan.missing] == ["w_a_1"]


def test_annotations_may_have_a_column_of_starts(tmp_path: Path):
    touch(tmp_path, "w.mp4", "y.mp4")
    head = "Category&VideoID&Quality&StartTime&EndTime&Start"
    (tmp_path / "a.txt").write_text(f"{head}\nA&w&good&0&6&30\nA&y&good&0&6&0\n")
    plan = make_plan(tmp_path, read_annotations(tmp_path / "a.txt"))
    assert [(video.id, video.start) for video in plan.videos] == [("w", 30), ("y", 0)]
    (tmp_path / "a.txt").write_text((tmp_path / "a.txt").read_text().replace("&y&", "&w&"))
    with pytest.raises(DataError, match=r"line 3: .*'w' starts at 0 s here and at 30 s"):
        read_annotations(tmp_path / "a.txt")


def test_a_name_that_is_not_utf8_is_an_id_with_its_bytes_written_out(tmp_path: Path):
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.mp4")).write_bytes(b"abc")
    except OSError:
        pytest.skip("this file system has no such names")
    touch(tmp_path, "a.mp4")
    assert [(video.id, video.size) for video in make_plan(tmp_path).videos] == [("a", 3), ("caf\\xe9", 3)]


def test_any_folder_is_taken_by_name_and_place(tmp_path: Path):
    touch(tmp_path, "b.x.mp4", "deep/a.wav", "note.txt", ".hidden/c.mp4")
    assert [video.id for video in make_plan(tmp_path).videos] == ["b.x", "deep/a"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_shards_share_the_ids_without_overlap(tmp_path: Path, number: int):
    touch(tmp_path, *(f"{name}.mp4" for name in "abcdefg"))
    plans = [make_plan(tmp_path, shard=Shard(each, number)) for each in range(1, number + 1)]
    counts = [len(plan.videos) for plan in plans]
    assert sorted(video.id for plan in plans for video in plan.videos) == list("abcdefg")
    assert max(counts) - min(counts) <= 1 and len({str(plan.source) for plan in plans}) == 1


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/2/3", "-1/2", ""])
def test_what_is_no_shard_is_refused(text: str):
    with pytest.raises(ExtractionError, match="numbers from 1"):
        Shard.parse(text)


def test_an_empty_folder_an_absent_one_and_one_of_other_videos_differ(tmp_path: Path, annotations: Annotations):
    with pytest.raises(ExtractionError, match="no such folder"):
        make_plan(tmp_path / "absent")
    with pytest.raises(ExtractionError, match="no media file"):
        make_plan(tmp_path)
    touch(tmp_path, "else.mp4")
    with pytest.raises(ExtractionError, match=r"none of the 3 .* ids .* -a\.mp4"):
        make_plan(tmp_path, annotations)
