"""The extraction benchmark as a user runs it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tool_prints_three_timings_and_their_ratios(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make = load(ROOT / "tests" / "features" / "conftest.py").make
    for number in range(3):
        make(tmp_path / f"{number}.mp4", seconds=2.0, size=(64, 48))
    tool, threads = load(ROOT / "tools" / "benchmark_extraction.py"), torch.get_num_threads()
    given = ["--count", "2", "--segments", "2", "--workers", "0", "--rounds", "1", "--threads", "1", "--device", "cpu"]
    try:
        assert tool.main([str(tmp_path), *given]) == 0
        said = capsys.readouterr().out
        assert said.startswith("2 videos, medians of 1 rounds\n")
        rows = ("decoding  ", "encoding  ", "extraction  ", "slower half: ", "both halves in turn: ")
        assert all(row in said for row in rows)
        (tmp_path / "2.mp4").unlink()
        (tmp_path / "0.mp4").write_bytes(b"nothing")
        assert tool.main([str(tmp_path), *given]) == 2
        assert "0: not a media file" in capsys.readouterr().err
    finally:
        torch.set_num_threads(threads)
