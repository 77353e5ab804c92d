"""The scenes tool as a user runs it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from avsgn_pyg.common.files import write_bytes

SMALL = ["--videos", "8", "--seconds", "2", "--workers", "1", "--quiet"]


def test_the_tool_creates_a_folder_and_lists_its_files(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("avsgn_pyg.scenes.make.make_clip", lambda clip: write_bytes(clip[0], b"a clip"))
    assert tool.main([str(tmp_path / "scenes"), *SMALL]) == 0
    printed = capsys.readouterr()
    assert "8 clips (8 made now; " in printed.out
    assert printed.err == ""
    assert tool.main([str(tmp_path / "scenes"), *SMALL]) == 0
    assert "8 clips (0 made now; " in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [["--videos", "3"], ["--workers", "0"]])
def test_a_wrong_setting_is_an_error_in_one_line(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: list[str]
):
    assert tool.main([str(tmp_path / "scenes"), "--quiet", *wrong]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
