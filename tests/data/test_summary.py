"""The summary of a folder or store states what is in it, and the tool prints it."""

from __future__ import annotations

import runpy
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.feature_store import Features, write_store
from avsgn_pyg.data.summary import summarize

TOOL = Path(__file__).parents[2] / "tools" / "inspect_data.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Annotations.txt").write_text("Bark&a&good&0&10\nCat&a&good&0&5\nCat&b&good&0&0\n")
    (tmp_path / "trainSet.txt").write_text("Bark&a&good&0&10\nCat&b&good&0&0\n")
    (tmp_path / "valSet.txt").write_text("Cat&a&good&0&5\n")
    return tmp_path


def test_a_folder_of_another_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected the annotation files of AVE"):
        summarize(tmp_path, splits="txt")


def test_a_folder_without_features_is_described(folder: Path) -> None:
    assert summarize(folder, splits="txt") == [
        "Annotations.txt: 3 rows, 2 different videos",
        "  class  0  Bark: 1 rows",
        "  class  1  Cat: 2 rows",
        "video ids in more than one row: 1",
        "rows without event seconds: 1: 2",
        "train: 2 rows, 50.0 % of seconds foreground, 50.0 % of videos foreground throughout",
        "val: 1 rows, 50.0 % of seconds foreground, 0.0 % of videos foreground throughout",
        "test: no file",
        "video ids in train and in another split: 1",
        "  a: train row 0, val row 1",
        "audio_feature.h5: not found",
        "visual_feature.h5: not found",
    ]


def test_folders_of_ovave_and_avepm_are_described_with_their_stores(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.csv").write_text(f"sample_id,onset,offset,label\n{split}7,0.5,3.25,0\n")
    make_store(tmp_path / "f.h5", ("val7", "train7"), segments=4)
    lines = summarize(tmp_path)
    assert "  class  0  class 0: 3 rows" in lines and "f.h5: a feature store, with 2 of 3 rows" in lines
    assert "train: 1 rows, 75.0 % of seconds foreground, 0.0 % of videos foreground throughout" in lines
    (tmp_path / "ovave_dataset_meta.csv").write_text("split,cls_name,cls_type,vid_name\ntrain,dog,close,train7\n")
    with pytest.raises(DataError, match=r"released_ovavel_dataset_anno\.json: no such file"):
        summarize(tmp_path)
    labels = '{"train7": {"category": "dog", "label": [0, 1, 1, 0]}}'
    (tmp_path / "released_ovavel_dataset_anno.json").write_text(labels)
    lines = summarize(tmp_path)
    assert "rows without event seconds: 0" in lines and not any(line.startswith("audio_feature") for line in lines)


def write_legacy(path: Path, videos: int) -> None:
    with h5py.File(path, "w") as file:
        file["avadataset"] = np.zeros((videos, 10, 4), np.float32)


def make_store(path: Path, ids: tuple[str, ...], rows: list[int] | None = None, segments: int = 10,
               **parts: object) -> None:
    audio, visual = torch.ones(len(ids), segments, 5), torch.ones(len(ids), segments, 6)
    write_store(path, Features(audio, visual, ids, rows=None if rows is None else torch.tensor(rows), **parts))


def test_a_store_in_the_folder_is_reported(folder: Path) -> None:
    make_store(folder / "clip.h5", ("b", "a"), [2, 0])
    write_legacy(folder / "audio_feature.h5", 3)
    write_legacy(folder / "train_order.h5", 1)  # an h5 file, but no store
    lines = summarize(folder, splits="txt")
    assert "audio_feature.h5: 3 videos of 10 segments, 4 wide" in lines
    place = lines.index("clip.h5: a feature store, with 2 of 3 rows")
    assert lines[place + 1 : place + 3] == [
        "  clip.h5: 2 videos of 10 segments", "  audio 5 wide, visual 6 wide",
    ]
    assert not [line for line in lines if "train_order.h5" in line]


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda folder: write_legacy(folder / "visual_feature.h5", 4),
     r"visual_feature\.h5 has 4 videos, .*Annotations\.txt has 3 rows"),
    (lambda folder: make_store(folder / "clip.h5", ("a", "a")),
     r"clip\.h5: 2 videos, but .*Annotations\.txt has 3 rows"),
    (lambda folder: make_store(folder / "clip.h5", ("a", "b"), [0, 1]),
     r"clip\.h5, entry 1: row 1 is video 'b' here and 'a' in .*Annotations\.txt"),
    (lambda folder: make_store(folder / "clip.h5", ("a", "a", "b"), segments=11),
     r"'audio_feature\.h5': 10, 'clip\.h5': 11"),
])
def test_features_of_other_rows_or_lengths_are_an_error(folder: Path, spoil: object, message: str) -> None:
    write_legacy(folder / "audio_feature.h5", 3)
    spoil(folder)
    with pytest.raises(DataError, match=message):
        summarize(folder, splits="txt")


def test_a_store_is_described(tmp_path: Path) -> None:
    provenance = {"encoder": "made", "sizes": {f"{number}.mp4": 9 for number in range(300)}}
    make_store(tmp_path / "store.h5", ("a", "a"), segments=4, provenance=provenance)
    lines = summarize(tmp_path / "store.h5")
    assert lines[:2] == ["store.h5: 2 videos of 4 segments", "audio 5 wide, visual 6 wide"]
    assert "video ids in more than one row: 1" in lines
    assert lines[-2:] == ["file sizes on record: of 300 video files", 'provenance: {"encoder": "made"}']


def test_shares_of_mixed_lengths_are_of_real_seconds(folder: Path) -> None:
    make_store(folder / "mixed.h5", ("a", "a", "b"), lengths=torch.tensor([10, 6, 5]))
    lines = summarize(folder, splits="txt")
    assert "train: 2 rows, 66.7 % of seconds foreground, 50.0 % of videos foreground throughout" in lines
    assert "val: 1 rows, 83.3 % of seconds foreground, 0.0 % of videos foreground throughout" in lines
    assert "  mixed.h5: 3 videos of 5 to 10 segments" in lines


def test_events_that_end_after_their_clip_and_classes_that_differ_by_a_slip_are_named(folder: Path) -> None:
    record = {"made by": "avsgn_pyg.features", "failed": [], "label_text": {},
              "incomplete": [{"id": "a", "unheard": 4, "unseen": 4, "padded": 4}]}
    make_store(folder / "clip.h5", ("a", "a", "b"), provenance=record)
    for name in ("Annotations.txt", "trainSet.txt"):
        (folder / name).write_text((folder / name).read_text().replace("Cat&b", "cat&b"))
    text = "\n".join(summarize(folder, splits="txt"))
    assert "events that end after their clip: 1: row 0 (a) ends at 10, its clip has 6 s" in text
    assert "class 'cat' (index 2, row 2) differs from 'Cat'" in text and "not recorded" not in text
    make_store(folder / "clip.h5", ("a", "a", "b"))
    assert "not recorded" in "\n".join(summarize(folder, splits="txt"))


def test_the_tool_prints_the_summary_or_the_error(folder: Path, capsys: pytest.CaptureFixture) -> None:
    main = runpy.run_path(str(TOOL))["main"]
    assert main([str(folder), "--splits", "txt"]) == 0
    assert capsys.readouterr().out.splitlines() == summarize(folder, splits="txt")
    assert main([str(folder)]) == 2 and "--splits order" in capsys.readouterr().err
    (folder / "valSet.txt").write_text("Cat&a&good&0&6\n")
    assert main([str(folder), "--splits", "txt"]) == 2
    captured = capsys.readouterr()
    assert not captured.out and captured.err.startswith("error: ") and "valSet.txt, line 1" in captured.err
