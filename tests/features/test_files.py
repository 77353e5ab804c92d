"""Media files of a folder and label lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from avsgn_pyg.common.errors import DataError, ExtractionError
from avsgn_pyg.features import files
from avsgn_pyg.features.files import describe_skipped, find_media, read_ids, read_labels


def test_a_folder_that_cannot_be_listed_is_an_error_and_not_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "locked").mkdir()
    for name in ("a.mp4", "locked/b.mp4"):
        (tmp_path / name).touch()

    def scan(path: str):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    real = files.os.scandir
    monkeypatch.setattr(files.os, "scandir", scan)
    with pytest.raises(ExtractionError, match=r"locked: cannot be listed \(Permission denied\)"):
        find_media(tmp_path)


def test_files_that_are_no_media_are_counted_by_suffix(tmp_path: Path):
    for name in ("00001.MTS", "a.gif", "b.Txt", "deep/c.txt", "deep/d", ".hidden", "e.jpg", ".git/f.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found, skipped = find_media(tmp_path)
    assert [path.name for path in found] == ["00001.MTS", "a.gif"]
    assert describe_skipped(skipped) == "skipped 4 files: 2 .txt, 1 .jpg, 1 without suffix"
    with pytest.raises(ExtractionError, match=r"no media file; skipped 2 files: 1 \.txt"):
        find_media(tmp_path / "deep")


@pytest.mark.parametrize(("text", "ids"), [
    ("a b\n-c\n\n", {"a b": 0, "-c": 0}), ("\ufeffid\r\nx\r\n", {"x": 0}),
    ("filename\tevent_labels\nx_20_30\tSpeech,Dog\ny_1_2\tDog\n", {"x_20_30": 0, "y_1_2": 0}),
    ("# YTID, start_seconds, end_seconds, labels\nx, 30.000, 40.000, \"a,b\"\ny, 0, 10, c\n", {"x": 30, "y": 0}),
    ("label,start,id\nq,5,x\nq,5,x\n", {"x": 5}),
])
def test_ids_stand_one_a_line_or_in_a_table_with_their_starts(tmp_path: Path, text: str, ids: dict[str, int]):
    (tmp_path / "ids.csv").write_bytes(text.encode())
    assert read_ids(tmp_path / "ids.csv") == ids


@pytest.mark.parametrize("text", ["", "id,start\nx,1.5", "id,start\nx,1\nx,2", "id,start\nx", "id,start\n,4",
                                  "name,of\nx,y", "id,start\nx,-1"])
def test_a_table_without_ids_or_whole_starts_is_refused(tmp_path: Path, text: str):
    (tmp_path / "ids.csv").write_text(text)
    with pytest.raises(DataError, match=r"ids\.csv.* expected"):
        read_ids(tmp_path / "ids.csv")


def test_class_names_stand_one_a_line(tmp_path: Path):
    path = tmp_path / "classes.txt"
    path.write_text("Male speech, man speaking\n\n Bark \n")
    assert read_labels(path) == ("Male speech, man speaking", "Bark")
    for text in ("", "a\na\n"):
        path.write_text(text)
        with pytest.raises(DataError, match="no duplicates"):
            read_labels(path)
