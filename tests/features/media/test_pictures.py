"""How long a picture counts as seen, and pictures of two fields."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from avsgn_pyg.features.media import probe, read_seconds, stack

Make = Callable[..., Path]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi", ".ts"])
@pytest.mark.parametrize("audio", [True, False])
def test_slides_are_seen_until_the_next_one(clip_file: Make, suffix: str, audio: bool):
    clip = stack(read_seconds(clip_file(suffix, times=[0, 11, 22], seconds=23.0, audio=audio), count=22))
    assert clip.seen.all()
    changes = clip.frames[:, 0, -1, -1].float().diff(dim=0).abs().sum(1) > 30
    # MPEG-TS stores a picture where the next one begins, too far behind the sound.
    assert changes.sum() == 1 and changes[10 : 13 if suffix == ".ts" else 11].any()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".avi", ".ts"])
def test_the_last_slide_under_music_is_seen_as_long_as_the_others(clip_file: Make, suffix: str):
    path = clip_file(suffix, times=[0, 10, 20], seconds=45.0, codecs=("mpeg4", "aac"))  # mpeg4 holds no picture back
    seen = stack(read_seconds(path)).seen.flatten()
    assert seen[20:30].all() and not seen[36:].any()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_still_image_under_music_is_seen(clip_file: Make, suffix: str):
    path = clip_file(suffix, times=[0.0], seconds=20.0)
    clip, later = stack(read_seconds(path)), stack(read_seconds(path, start=5, count=3))
    assert clip.seen.all() and later.seen.all() and torch.equal(later.frames, clip.frames[5:8])


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts"])
def test_a_picture_that_ends_is_seen_no_longer_than_seconds_after(clip_file: Make, suffix: str):
    seen = stack(read_seconds(clip_file(suffix, seconds=25.0, video_to=4.0))).seen.flatten()
    assert seen[:4].all() and not seen[7:].any()


def interlaced(path: Path, codec: str, options: dict) -> Path:
    """A white bar that moves 8 pixels from each field to the next."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 352, 288, "yuv420p"
        stream.codec_context.flags |= av.codec.context.Flags.interlaced_dct | av.codec.context.Flags.interlaced_me
        for number in range(50):
            image = np.full((288, 352, 3), 16, np.uint8)
            for field in (0, 1):
                place = (2 * number + field) * 8 % 300
                image[field::2, place : place + 40] = 235
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


@pytest.mark.parametrize(("name", "codec", "options"), [
    ("clip.mpg", "mpeg2video", {}), ("clip.mp4", "libx264", {"x264-params": "interlaced=1:tff=1"}),
])
def test_interlaced_pictures_show_one_field_and_are_noted(tmp_path: Path, name: str, codec: str, options: dict):
    path = interlaced(tmp_path / name, codec, options)
    frames = stack(read_seconds(path)).frames[:, 0, :, :, 0].float()
    # Between the two fields, lines differ by 16 columns of white at full contrast.
    assert (frames[:, 1::2] - frames[:, ::2]).abs().mean() < 4
    assert "interlaced" in probe(path).notes[0] and probe(path).seconds == 2
