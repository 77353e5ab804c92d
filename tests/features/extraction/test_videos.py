"""Which files are encoded under which ids, and what is refused before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from avsgn_pyg.common.errors import ExtractionError
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
    assert plan.unannotated == 1 and plan.categories == ("Bark", "Flute")


def test_two_files_with_one_id_are_refused_where_the_id_is_used(tmp_path: Path, annotations: Annotations):
    touch(tmp_path, "-a.mp4", "b.mp4", "deep/b.avi", "x.mp4", "x.avi")
    with pytest.raises(ExtractionError, match=r"'b': .*b\.mp4 and .*deep/b\.avi"):
        make_plan(tmp_path, annotations)
    (tmp_path / "deep/b.avi").unlink()
    assert len(make_plan(tmp_path, annotations).videos) == 2
    with pytest.raises(ExtractionError, match=r"'x': .*x\.avi and .*x\.mp4"):
        make_plan(tmp_path)


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
    with pytest.raises(ExtractionError, match=r"none of the 3 ids .* -a\.mp4"):
        make_plan(tmp_path, annotations)
