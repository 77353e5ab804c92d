"""Media files of a folder and label lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from avsgn_pyg.common.errors import DataError, ExtractionError
from avsgn_pyg.features import files
from avsgn_pyg.features.files import media_files, read_labels


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
        media_files(tmp_path)


def test_class_names_stand_one_a_line(tmp_path: Path):
    path = tmp_path / "classes.txt"
    path.write_text("Male speech, man speaking\n\n Bark \n")
    assert read_labels(path) == ("Male speech, man speaking", "Bark")
    for text in ("", "a\na\n"):
        path.write_text(text)
        with pytest.raises(DataError, match="no duplicates"):
            read_labels(path)
