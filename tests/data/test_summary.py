"""The summary of a folder or store states what is in it, and the tool prints it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest
import torch

from avsgn_pyg.data.feature_store import Features, write_store
from avsgn_pyg.data.summary import summarize
from avsgn_pyg.errors import DataError

TOOL = Path(__file__).parents[2] / "tools" / "inspect_data.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Annotations.txt").write_text("Bark&a&good&0&10\nCat&a&good&0&5\nCat&b&good&0&0\n")
    (tmp_path / "trainSet.txt").write_text("Bark&a&good&0&10\nCat&b&good&0&0\n")
    (tmp_path / "valSet.txt").write_text("Cat&a&good&0&5\n")
    return tmp_path


@pytest.fixture
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("inspect_data", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_folder_without_features_is_described(folder: Path) -> None:
    assert summarize(folder, splits="txt") == [
        "Annotations.txt: 3 rows, 2 different videos",
        "  class  0  Bark: 1 rows",
        "  class  1  Cat: 2 rows",
        "video ids in more than one row: 1",
        "rows without event seconds: [2]",
        "train: 2 rows, 50.0 % of seconds foreground, 50.0 % of videos foreground throughout",
        "val: 1 rows, 50.0 % of seconds foreground, 0.0 % of videos foreground throughout",
        "test: no file",
        "video ids in train and in another split: 1",
        "  a: train row 0, val row 1",
        "audio_feature.h5: not here",
        "visual_feature.h5: not here",
    ]


def write_legacy(path: Path, videos: int) -> None:
    with h5py.File(path, "w") as file:
        file["avadataset"] = np.zeros((videos, 10, 4), np.float32)


@pytest.mark.parametrize("videos", [2, 4])
def test_features_of_another_number_of_rows_are_an_error_that_names_both(folder: Path, videos: int) -> None:
    write_legacy(folder / "audio_feature.h5", 3)
    assert "audio_feature.h5: 3 videos of 10 segments, 4 wide" in summarize(folder, splits="txt")
    write_legacy(folder / "visual_feature.h5", videos)
    with pytest.raises(DataError) as caught:
        summarize(folder, splits="txt")
    for part in (folder / "visual_feature.h5", f"{videos} videos", folder / "Annotations.txt", "3 rows"):
        assert str(part) in str(caught.value)


def make_store(path: Path, ids: tuple[str, ...], rows: list[int] | None, segments: int = 10) -> None:
    audio, visual = torch.ones(len(ids), segments, 5), torch.ones(len(ids), segments, 6)
    write_store(path, Features(audio, visual, ids, rows=None if rows is None else torch.tensor(rows)))


def test_a_store_in_the_folder_is_reported(folder: Path) -> None:
    make_store(folder / "clip.h5", ("b", "a"), [2, 0])
    write_legacy(folder / "train_order.h5", 1)  # an h5 file, but no store
    lines = summarize(folder, splits="txt")
    place = lines.index("clip.h5: a feature store, with 2 of 3 rows")
    assert lines[place + 1 : place + 3] == [
        "  clip.h5: 2 videos of 10 segments", "  audio 5 wide, visual 6 wide",
    ]
    assert not [line for line in lines if "train_order.h5" in line]


@pytest.mark.parametrize(("ids", "rows", "message"), [
    (("a", "a"), None, "clip.h5: 2 videos, but .*Annotations.txt has 3 rows"),
    (("a", "b"), [0, 1], "clip.h5, entry 1: row 1 is video 'b' here and 'a' in .*Annotations.txt"),
])
def test_a_store_of_other_rows_is_an_error(
    folder: Path, ids: tuple[str, ...], rows: list[int] | None, message: str
) -> None:
    make_store(folder / "clip.h5", ids, rows)
    with pytest.raises(DataError, match=message):
        summarize(folder, splits="txt")


def test_features_of_different_lengths_are_an_error(folder: Path) -> None:
    make_store(folder / "clip.h5", ("a", "a", "b"), None, segments=11)
    write_legacy(folder / "audio_feature.h5", 3)
    with pytest.raises(DataError, match=r"'audio_feature\.h5': 10, 'clip\.h5': 11"):
        summarize(folder, splits="txt")


def test_a_store_is_described(tmp_path: Path) -> None:
    provenance = {"encoder": "made", "sizes": {f"{number}.mp4": 9 for number in range(300)}}
    features = Features(torch.ones(2, 4, 5), torch.ones(2, 4, 6), ("a", "a"), provenance=provenance)
    write_store(tmp_path / "store.h5", features)
    lines = summarize(tmp_path / "store.h5")
    assert lines[:2] == ["store.h5: 2 videos of 4 segments", "audio 5 wide, visual 6 wide"]
    assert "video ids in more than one row: 1" in lines
    assert lines[-2:] == ["file sizes on record: of 300 video files", 'provenance: {"encoder": "made"}']


def test_the_tool_prints_the_summary_or_the_error(
    folder: Path, tool: ModuleType, capsys: pytest.CaptureFixture
) -> None:
    assert tool.main([str(folder), "--splits", "txt"]) == 0
    assert capsys.readouterr().out.splitlines() == summarize(folder, splits="txt")
    assert tool.main([str(folder)]) == 2 and "--splits order" in capsys.readouterr().err
    (folder / "valSet.txt").write_text("Cat&a&good&0&6\n")
    assert tool.main([str(folder), "--splits", "txt"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert "valSet.txt, line 1" in captured.err


def test_shares_of_mixed_lengths_are_of_real_seconds(folder: Path) -> None:
    lengths = torch.tensor([10, 6, 5])
    features = Features(torch.ones(3, 10, 5), torch.ones(3, 10, 6), ("a", "a", "b"), lengths=lengths)
    write_store(folder / "mixed.h5", features)
    lines = summarize(folder, splits="txt")
    assert "train: 2 rows, 66.7 % of seconds foreground, 50.0 % of videos foreground throughout" in lines
    assert "val: 1 rows, 83.3 % of seconds foreground, 0.0 % of videos foreground throughout" in lines
    assert "  mixed.h5: 3 videos of 5 to 10 segments" in lines
