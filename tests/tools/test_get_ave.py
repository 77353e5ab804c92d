"""The tool that gets AVE."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of one video in the layout of text files."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in ("Annotations", "trainSet", "valSet", "testSet"):
        (folder / f"{name}.txt").write_text("Bark&a&good&0&10\n")
    (folder / "a.mp4").touch()
    return folder


def test_the_next_commands_are_printed(
    tool: ModuleType, copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "my AVE"
    assert tool.main(["--out", str(out), "--snapshot", str(copy)]) == 0
    *_, extract, train = capsys.readouterr().out.splitlines()
    assert f"tools/extract_features.py '{out}/videos' --annotations '{out}/Annotations.txt'" in extract
    assert f"tools/train.py configs/avsgn_full.yaml 'data.root={out}' data.splits=txt" in train


def test_a_copy_that_cannot_be_used_is_one_line(tool: ModuleType, copy: Path, capsys: pytest.CaptureFixture[str]):
    (copy / "a.mp4").unlink()
    assert tool.main(["--out", str(copy.parent / "out"), "--snapshot", str(copy)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and "no video" in error
