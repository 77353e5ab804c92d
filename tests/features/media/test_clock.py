"""Wild timestamps and jumps of a file's clock neither make seconds nor cost any."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from avsgn_pyg.features.media import probe, read_seconds, stack
from avsgn_pyg.features.media.clock import Clock

Make = Callable[..., Path]


def times(path: Path, change: Callable = lambda packets: None) -> tuple[list[tuple], list[str]]:
    """The stream, pts and dts of the packets after a change and the correction, and the clock's notes."""
    with av.open(str(path)) as file:
        packets = list(file.demux(video=0, audio=0))
        change([packet for packet in packets if packet.size and packet.stream.type == "video"])
        clock = Clock(list(file.streams), [None, None])
        return [(packet.stream.index, packet.pts, packet.dts) for packet in clock.correct(packets)], clock.notes


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi", ".webm"])
def test_times_of_a_good_file_are_left_alone(clip_file: Make, suffix: str):
    with av.open(str(clip_file(suffix))) as file:
        plain = [(packet.stream.index, packet.pts, packet.dts) for packet in file.demux(video=0, audio=0)]
    corrected, notes = times(clip_file(suffix))
    assert sorted(corrected, key=str) == sorted(plain, key=str) and not notes


@pytest.mark.parametrize("place", [0, 40, -1])
@pytest.mark.parametrize("seconds", [-50, 8, 3_000_000])
def test_one_wild_timestamp_is_put_in_its_place_and_changes_no_other(clip_file: Make, place: int, seconds: int):
    def spoil(packets: list[av.Packet]) -> None:
        packets[place].pts += round(seconds / packets[place].time_base)
        packets[place].dts = packets[place].pts

    path = clip_file(".ts")
    good, (found, notes) = dict(enumerate(sorted(times(path)[0], key=str))), times(path, spoil)
    off = [abs(pts - right) for (_, pts, _), (_, right, _) in zip(sorted(found, key=str), good.values(), strict=True)
           if pts is not None and pts != right]
    assert len(off) <= 1 and max(off, default=0) <= 90_000 / 10 and not notes


@pytest.mark.parametrize("suffix", [".ts", ".mkv"])
def test_joined_recordings_last_as_long_as_both(clip_file: Make, tmp_path: Path, suffix: str):
    path = tmp_path / f"joined{suffix}"
    path.write_bytes(clip_file(suffix).read_bytes() * 2)
    info, clip = probe(path), stack(read_seconds(path))
    assert info.seconds == 8 and "back by 4.0 s at second 4.0" in info.notes[0] and len(info.notes) == 1
    assert clip.seen.all() and clip.heard.min() > 0.95 and not info.breaks_off
    assert (clip.frames[:4].int() - clip.frames[4:].int()).abs().max() < 9
    assert (stack(read_seconds(path, start=5, count=2)).frames == clip.frames[5:7]).all()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_gap_too_long_to_be_true_is_left_out(moved: Make, suffix: str):
    path = moved(suffix, picture=lambda time: 20_000 * (time > 3), sound=lambda time: 20_000 * (time > 3), seconds=6.0)
    info = probe(path)
    assert info.seconds == 6 and "ahead by" in info.notes[0] and not info.breaks_off
    clip = stack(read_seconds(path))
    assert clip.seen.all() and clip.heard.min() > 0.9


def test_a_gap_that_can_be_true_is_kept(moved: Make):
    path = moved(".ts", picture=lambda time: 6 * (time > 3.4), sound=lambda time: 6 * (time > 3.4))
    clip = stack(read_seconds(path))
    assert clip.seen.flatten().tolist() == [True] * 6 + [False] * 3 + [True]
    assert clip.heard[4:9].max() < 0.2 and not probe(path).notes


def test_a_last_picture_far_away_makes_no_seconds(clip_file: Make):
    path = clip_file(".mkv", audio=False, times=[*(number / 25 for number in range(50)), 2e6])
    begun = time.monotonic()
    assert probe(path).seconds == 2
    assert stack(read_seconds(path, count=10)).seen.sum() <= 3
    assert time.monotonic() - begun < 1


@pytest.mark.parametrize(("suffix", "codec"), [(".h264", "libx264"), (".m4v", "mpeg4"), (".hevc", "libx265")])
def test_a_raw_stream_counts_its_frames(clip_file: Make, suffix: str, codec: str):
    path = clip_file(suffix, codecs=(codec, ""), audio=False, options={"x265-params": "log-level=0"})
    clip = stack(read_seconds(path))
    assert len(clip.seen) == 4 and clip.seen.all()
    assert len({tuple(frame.tolist()) for frame in clip.frames[:, 0, -1, -1]}) == 4
