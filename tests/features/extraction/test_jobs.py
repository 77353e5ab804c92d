"""Which files are encoded under which ids, and what is refused before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from avsgn_pyg.data.ave import Annotations, read_annotations
from avsgn_pyg.features.extraction.jobs import ExtractionError, Shard, Video, plan_annotated, plan_folder

LINES = ("Bark&-a&good&0&6", "Flute&b&good&1&3", "Bark&-a&good&2&4", "Flute&gone&good&0&1")


def annotations(root: Path, lines: tuple[str, ...] = LINES) -> Annotations:
    (root / "Annotations.txt").write_text("\n".join(lines))
    return read_annotations(root / "Annotations.txt")


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"abc")


def test_an_id_in_two_rows_is_one_job_and_an_id_without_a_file_is_kept_with_its_reason(tmp_path: Path):
    touch(tmp_path, "-a.MP4", "deep/b.webm", "other.mp4", ".b.mp4", "b.txt")
    plan = plan_annotated(tmp_path, annotations(tmp_path))
    assert plan.videos == (
        Video("-a", tmp_path / "-a.MP4", (0, 2), 3), Video("b", tmp_path / "deep/b.webm", (1,), 3)
    )
    assert [str(each) for each in plan.missing] == ["gone (row 3): no file"]
    assert plan.unannotated == 1 and plan.categories == ("Bark", "Flute")


def test_two_files_with_one_annotated_id_are_both_named(tmp_path: Path):
    touch(tmp_path, "-a.mp4", "b.mp4", "deep/b.avi", "x.mp4", "x.avi")
    with pytest.raises(ExtractionError, match=r"'b': .*b\.mp4 and .*deep/b\.avi"):
        plan_annotated(tmp_path, annotations(tmp_path))
    (tmp_path / "deep/b.avi").unlink()
    assert len(plan_annotated(tmp_path, annotations(tmp_path))) == 2
    with pytest.raises(ExtractionError, match=r"'x': .*x\.avi and .*x\.mp4"):
        plan_folder(tmp_path)


def test_any_folder_is_taken_by_name_and_place(tmp_path: Path):
    touch(tmp_path, "b.x.mp4", "deep/a.wav", "note.txt", ".hidden/c.mp4")
    assert [video.id for video in plan_folder(tmp_path).videos] == ["b.x", "deep/a"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_shards_share_the_ids_without_overlap(tmp_path: Path, number: int):
    touch(tmp_path, *(f"{name}.mp4" for name in "abcdefg"))
    plans = [plan_folder(tmp_path, shard=Shard(each, number)) for each in range(1, number + 1)]
    ids = [video.id for plan in plans for video in plan.videos]
    assert sorted(ids) == list("abcdefg") and max(map(len, plans)) - min(map(len, plans)) <= 1
    assert len({str(plan.source) for plan in plans}) == 1


def test_missing_ids_are_shared_among_the_shards(tmp_path: Path):
    touch(tmp_path, "b.mp4")
    rows = annotations(tmp_path)
    plans = [plan_annotated(tmp_path, rows, Shard(each, 2)) for each in (1, 2)]
    assert [[each.id for each in plan.missing] for plan in plans] == [["-a", "gone"], []]


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/2/3", "-1/2", ""])
def test_what_is_no_shard_is_refused(text: str):
    with pytest.raises(ExtractionError, match="numbers from 1"):
        Shard.parse(text)


def test_a_shard_names_its_own_file():
    assert Shard.parse("2/8").name(Path("d/f.h5")) == Path("d/f.2-of-8.h5")
    assert Shard.parse("1/1").name(Path("d/f.h5")) == Path("d/f.h5")


def test_an_empty_folder_an_absent_one_and_one_of_other_videos_are_told_apart(tmp_path: Path):
    rows = annotations(tmp_path)
    with pytest.raises(ExtractionError, match="no such folder"):
        plan_folder(tmp_path / "absent")
    with pytest.raises(ExtractionError, match=r"no media file among its 1 files; looked for .*\.mp4"):
        plan_folder(tmp_path)
    touch(tmp_path, "else.mp4")
    with pytest.raises(ExtractionError, match=r"none of the 3 ids of .* has a file here; the first would be -a\.mp4"):
        plan_annotated(tmp_path, rows)
