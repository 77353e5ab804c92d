"""Parts of a file that are copied without encoding them again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from avsgn_pyg.features.limits import Limits
from avsgn_pyg.features.media import MediaError, probe
from avsgn_pyg.features.media.cut import copy_part, copy_suffix

Make = Callable[..., Path]


def codecs(path: Path) -> list[str]:
    with av.open(str(path)) as file:
        return [stream.codec_context.name for stream in file.streams]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_part_that_begins_at_a_keyframe_is_copied(make_clip: Make, tmp_path: Path, suffix: str):
    path = make_clip(tmp_path / f"a{suffix}", seconds=6, group=25)
    assert copy_suffix(path, 2.0, Limits()) == suffix
    part = tmp_path / f"part{suffix}"
    copy_part(path, part, 2.0, 4.0, Limits())
    assert codecs(part) == codecs(path) and probe(part).duration == pytest.approx(2, abs=0.15)


def test_a_part_between_keyframes_or_of_another_format_is_not(make_clip: Make, tmp_path: Path):
    path = make_clip(tmp_path / "a.mp4", seconds=6, group=250)
    assert copy_suffix(path, 0.0, Limits()) == ".mp4" and copy_suffix(path, 2.0, Limits()) is None
    assert copy_suffix(make_clip(tmp_path / "a.avi", seconds=2), 0.0, Limits()) is None


def test_sound_alone_can_be_cut_anywhere(make_clip: Make, tmp_path: Path):
    path = make_clip(tmp_path / "a.wav", seconds=4, video=False)
    copy_part(path, tmp_path / "b.wav", 1.0, 3.0, Limits())
    assert copy_suffix(path, 1.0, Limits()) == ".wav"
    assert probe(tmp_path / "b.wav").duration == pytest.approx(2, abs=0.1)


def test_streams_that_the_format_does_not_take_are_a_media_error(make_clip: Make, tmp_path: Path, monkeypatch):
    path = make_clip(tmp_path / "a.mp4", seconds=2)
    monkeypatch.setattr("avsgn_pyg.features.media.cut._FORMATS", {"mov,mp4,m4a,3gp,3g2,mj2": ("wav", ".wav")})
    with pytest.raises(MediaError, match="cannot be copied"):
        copy_part(path, tmp_path / "b.wav", 0.0, 1.0, Limits())
