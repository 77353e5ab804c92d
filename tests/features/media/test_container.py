"""Whatever PyAV raises becomes one error that names the file, which opens no other file and costs what it may."""

from __future__ import annotations

import os
import random
import resource
import shutil
import struct
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from avsgn_pyg.features.media import Limits, MediaError, probe, read_seconds, source

Make = Callable[..., Path]


@pytest.mark.parametrize("error", [IndexError("list index"), TypeError("None"), MemoryError(), ValueError("bad"),
                                   UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), ZeroDivisionError("by zero")])
def test_any_error_names_the_file_the_second_and_the_reason(clip_file: Make, monkeypatch, error: Exception):
    seconds = read_seconds(clip_file())
    assert next(seconds).index == 0

    def fail(packet: av.Packet) -> None:
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
    "this is no film\n" * 100,
    "# VobSub index file, v7\nsize: 720x576\nid: en, index: 0\ntimestamp: 00:00:01:000, filepos: 000000000\n",
    "<html><body>404 Not Found</body></html>",
])  # fmt: skip
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_text_under_the_name_of_a_film_has_no_picture_and_no_sound(
    clip_file: Make, tmp_path: Path, text: str, suffix: str
):
    shutil.copy(clip_file(), tmp_path / "good.mp4")
    (tmp_path / f"clip{suffix}").write_text(text)
    with pytest.raises(MediaError, match="no picture and no sound"):
        probe(tmp_path / f"clip{suffix}")


@pytest.mark.parametrize("name", [b"-a: b%03d 100%.mp4", b"no text \xff\xfe.mp4", b"file:concat:x|y.mp4"])
def test_any_name_is_the_name_of_a_file(clip_file: Make, tmp_path: Path, name: bytes):
    path = tmp_path / os.fsdecode(name)
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


# --- Damage ----------------------------------------------------------------------------------------


#: Suffix, codecs and sample rate of the small files that are damaged.
SEEDS = [
    (".mp4", ("libx264", "aac"), 48_000), (".mkv", ("libx264", "aac"), 48_000), (".avi", ("mpeg4", "ac3"), 44_100),
    (".webm", ("libvpx", "libopus"), 48_000), (".ogv", ("libvpx", "libopus"), 48_000), (".wav", ("", "pcm_u8"), 16_000),
    (".ts", ("libx264", "aac"), 48_000), (".flv", ("flv", "libmp3lame"), 44_100), (".flac", ("", "flac"), 44_100),
    (".mov", ("mpeg4", "pcm_s16le"), 16_000), (".mp3", ("", "libmp3lame"), 44_100), (".m4a", ("", "aac"), 48_000),
    (".h264", ("libx264", ""), 48_000),
]
FUZZ_SECONDS, FUZZ_GIB = 40, 1.0


def damaged(data: bytes, seed: int) -> bytes:
    """Overwrite or cut bytes: in the header in half of the cases, anywhere in the others."""
    chance, spoiled = random.Random(seed), bytearray(data)
    reach = len(data) if seed % 2 else min(len(data), 2_000)
    for _ in range(chance.choice((1, 3, 20))):
        place = chance.randrange(reach)
        new = chance.choice((bytes([chance.randrange(256)]), b"\xff" * 4, bytes(8), b"\x7f\xff\xff\xff"))
        spoiled[place : place + len(new)] = new
    return bytes(spoiled[: chance.randrange(reach, len(data) + 1)] if seed % 7 == 0 else spoiled)


@pytest.mark.slow
def test_a_damaged_file_is_read_or_refused_within_limits(make_clip: Make, tmp_path: Path):
    clips = [make_clip(tmp_path / f"good{suffix}", seconds=3.0, codecs=codecs, rate=rate, video=bool(codecs[0]),
                       audio=bool(codecs[1])) for suffix, codecs, rate in SEEDS]
    limits, begun, seed, read = Limits(deadline=10), time.monotonic(), 0, 0
    longest = named = refused = 0
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while time.monotonic() - begun < FUZZ_SECONDS:
        clip = clips[seed % len(clips)]
        path = tmp_path / f"damaged{clip.suffix}"
        path.write_bytes(damaged(clip.read_bytes(), seed))
        try:
            info = probe(path, limits=limits)
            longest = max(longest, info.seconds)
            read += len(list(read_seconds(path, count=5, limits=limits)))
        except MediaError as error:
            named += str(error).startswith(f"{path}: ")
            refused += 1
        seed += 1
    assert read > seed and named == refused > 0 and longest < 100
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < FUZZ_GIB * 2**20
