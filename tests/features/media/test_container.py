"""Whatever PyAV raises becomes one error that names the file, which opens no other file and costs what it may."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch

from avsgn_pyg.features.media import Limits, MediaError, probe, read_seconds, source
from avsgn_pyg.features.media.clock import GAP

from . import fuzz

Make = Callable[..., Path]


@pytest.mark.parametrize("error", [IndexError("list index"), TypeError("None"), MemoryError(), ValueError("bad"),
                                   UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), ZeroDivisionError("by zero")])
def test_any_error_names_the_file_the_second_and_the_reason(clip_file: Make, monkeypatch, error: Exception):
    seconds = read_seconds(clip_file())
    assert next(seconds).index == 0

    def fail(*_) -> None:
        raise error

    monkeypatch.setattr(source, "decode", fail)
    with pytest.raises(MediaError, match=f"second [1-3] .*{type(error).__name__}") as caught:
        list(seconds)
    assert str(caught.value).startswith(str(clip_file())) and caught.value.__cause__ is error
    with pytest.raises(MediaError, match=type(error).__name__):
        probe(clip_file())


def test_opening_a_file_is_limited_in_time(clip_file: Make, monkeypatch: pytest.MonkeyPatch):
    opening = []

    def open_late(*_, timeout: tuple[float, float], **__) -> None:
        opening.append(timeout[0])
        raise av.error.ExitError(1, "Immediate exit requested")

    monkeypatch.setattr(av, "open", open_late)
    with pytest.raises(MediaError, match="to open"):
        probe(clip_file())
    assert opening[0] <= 60


@pytest.mark.parametrize("text", [
    "ffconcat version 1.0\nfile good.mp4\n",
    "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:4.0,\ngood.mp4\n#EXT-X-ENDLIST\n",
    "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "1\n00:00:01,000 --> 00:00:02,000\nHello\n", "WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n",
    "this is no video\n" * 100,
    "# VobSub index file, v7\nsize: 720x576\nid: en, index: 0\ntimestamp: 00:00:01:000, filepos: 000000000\n",
    "<html><body>404 Not Found</body></html>",
])  # fmt: skip
def test_text_under_the_name_of_a_video_has_no_picture_and_no_sound(clip_file: Make, tmp_path: Path, text: str):
    shutil.copy(clip_file(), tmp_path / "good.mp4")
    (tmp_path / "clip.mp4").write_text(text)
    with pytest.raises(MediaError, match="no picture and no sound"):
        probe(tmp_path / "clip.mp4")


@pytest.mark.parametrize("name", [b"-a: b%03d 100%.mp4", b"no text \xff\xfe.mp4", b"file:concat:x|y.mp4"])
def test_any_name_is_the_name_of_a_file(clip_file: Make, tmp_path: Path, name: bytes):
    path = tmp_path / os.fsdecode(name)
    with pytest.raises(MediaError, match="no such file") as caught:
        probe(path)
    assert str(caught.value).encode("utf-8").startswith(bytes(tmp_path))
    shutil.copy(clip_file(seconds=1.0), path)
    assert probe(path).seconds == len(list(read_seconds(path))) == 1


def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path: Path):
    path = tmp_path / "bomb.gif"
    image = b"\x2c" + struct.pack("<4HB", 0, 0, 16_000, 16_000, 0) + b"\x08\x04\x00\x01\x04\x05\x00"
    path.write_bytes(b"GIF89a" + struct.pack("<2H", 16_000, 16_000) + b"\xf7\0\0" + bytes(768) + image + b"\x3b")
    begun = time.monotonic()
    with pytest.raises(MediaError, match=r"16000 x 16000 .* limit"):
        probe(path)
    assert time.monotonic() - begun < 1


def test_the_limit_holds_for_the_picture_as_displayed(clip_file: Make):
    path = clip_file(seconds=1.0, pixel_aspect=Fraction(4))
    assert probe(path, limits=Limits(pixels=384 * 64)).width == 384
    with pytest.raises(MediaError, match=r"384 x 64 .* limit"):
        read_seconds(path, limits=Limits(pixels=96 * 64))


@pytest.mark.parametrize(("suffix", "codec"), [(".h264", "libx264"), (".mjpeg", "mjpeg"), (".obu", "libsvtav1")])
def test_pictures_that_grow_beyond_the_limit_are_refused(clip_file: Make, tmp_path: Path, suffix: str, codec: str):
    small, large = (clip_file(suffix, codecs=(codec, ""), audio=False, seconds=1.0, size=size).read_bytes()
                    for size in ((96, 64), (640, 480)))
    path = tmp_path / f"clip{suffix}"
    path.write_bytes(small + large)
    assert len(list(read_seconds(path, count=2, size=(64, 96)))) == 2
    with pytest.raises(MediaError, match="limit is 6144"):
        list(read_seconds(path, count=2, size=(64, 96), limits=Limits(pixels=96 * 64)))


# --- Damage ----------------------------------------------------------------------------------------


#: Suffix, codecs and sample rate of the small files that are damaged.
SEEDS = [
    (".mp4", ("libx264", "aac"), 48_000), (".mkv", ("libx264", "aac"), 48_000), (".avi", ("mpeg4", "ac3"), 44_100),
    (".webm", ("libvpx", "libopus"), 48_000), (".ogv", ("libvpx", "libopus"), 48_000), (".wav", ("", "pcm_u8"), 16_000),
    (".ts", ("libx264", "aac"), 48_000), (".flv", ("flv", "libmp3lame"), 44_100), (".flac", ("", "flac"), 44_100),
    (".mov", ("mpeg4", "pcm_s16le"), 16_000), (".mp3", ("", "libmp3lame"), 44_100), (".m4a", ("", "aac"), 48_000),
    (".h264", ("libx264", ""), 48_000),
]


@pytest.mark.slow
def test_a_damaged_file_is_read_or_refused_within_limits(make_clip: Make, tmp_path: Path):
    clips = [make_clip(tmp_path / f"good{suffix}", seconds=3.0, codecs=codecs, rate=rate, video=bool(codecs[0]),
                       audio=bool(codecs[1])) for suffix, codecs, rate in SEEDS]
    command = [sys.executable, fuzz.__file__, "8", "0", tmp_path, *clips]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=55)
    found = json.loads(run.stdout)
    assert found["files"] > found["refused"] == found["named"] > 0
    # Read in three passes, of which damage can add one; a wild time adds at most a gap that can be true.
    assert found["packets"][0] <= 3 and found["bytes"][0] <= 3
    assert found["seconds"][0] <= 4 + GAP and found["made"][0] <= fuzz.COUNT
    assert found["gib"] < 0.5 and found["time"][0] < 15


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".mov", ".nut"])
def test_other_seconds_than_the_damaged_one_stay_right_to_the_bit(clip_file: Make, tmp_path: Path, suffix: str):
    clip = clip_file(suffix, codecs=("mjpeg", "pcm_s16le"))
    data, good = clip.read_bytes(), list(read_seconds(clip, frames_per_segment=25))
    with av.open(str(clip)) as file:
        # NUT stores the first bytes of packets elsewhere.
        payloads = [(data.index(bytes(packet)[64:]), packet.size - 64) for packet in file.demux()
                    if packet.size > 64 and 2 <= packet.pts * packet.time_base
                    and (packet.pts + packet.duration) * packet.time_base <= 3]
    chance, changed = random.Random(0), set()
    for seed in range(4):
        spoiled = bytearray(data)
        for place, length in chance.sample(payloads, 9):
            for _ in range(10):
                spoiled[place + chance.randrange(length)] = chance.randrange(256)
        path = tmp_path / f"{seed}{suffix}"
        path.write_bytes(spoiled)
        found = list(read_seconds(path, frames_per_segment=25))
        assert len(found) == 4
        for old, new in zip(good, found, strict=True):
            same = torch.equal(old.frames, new.frames) and torch.equal(old.seen, new.seen)
            changed |= set() if same else {("picture", old.index)}
            changed |= set() if torch.equal(old.samples, new.samples) else {("sound", old.index)}
    assert changed == {("picture", 2), ("sound", 2)}
