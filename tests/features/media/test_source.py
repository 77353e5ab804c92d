"""What a header states is judged by the packets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from avsgn_pyg.features.media import probe, read_seconds, stack

Make = Callable[..., Path]


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".mp4", ".ts", ".flv"])
def test_a_clock_that_does_not_start_at_zero_does_not_break_off(clip_file: Make, suffix: str):
    codecs = {"codecs": ("flv", "libmp3lame"), "rate": 44_100} if suffix == ".flv" else {}
    info = probe(clip_file(suffix, shift=5.0, **codecs))
    assert info.seconds == 4 and not info.breaks_off and not info.notes


@pytest.mark.parametrize("late", ["picture", "sound"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_sound_that_is_far_from_the_picture_is_left_out(moved: Make, suffix: str, late: str):
    path = moved(suffix, **{late: lambda time: 70_000})
    info, clip = probe(path), stack(read_seconds(path))
    assert (info.seconds, info.has_video, info.has_audio, info.breaks_off) == (4, True, False, False)
    assert "apart" in info.notes[0] and clip.seen.all() and not clip.heard.any()


def test_a_file_after_the_end_of_another_is_noted(clip_file: Make, tmp_path: Path):
    path = tmp_path / "joined.mp4"
    path.write_bytes(clip_file(seconds=8.0).read_bytes() * 2)
    assert probe(path).seconds == 8 and "not read" in probe(path).notes[0]
