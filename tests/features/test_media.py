"""Reading a media file gives what was written into it, second by second."""

from __future__ import annotations

import errno
import struct
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from avsgn_pyg.features import media
from avsgn_pyg.features.media import (
    RATE,
    Clip,
    Limits,
    MediaError,
    container,
    probe,
    read_seconds,
    source,
    stack,
    subdivide,
)

Make = Callable[..., Path]


@pytest.fixture(scope="session")
def truth(make_clip: Make) -> ModuleType:
    """The colours, tones and pictures that `make_clip` writes."""
    return sys.modules[make_clip.__module__]


def read(path: Path, **options) -> Clip:
    return stack(read_seconds(path, **options))


def shown(clip: Clip, truth: ModuleType) -> list[list[int]]:
    """The second that each frame was written for, by its colour, modulo the number of colours; [S][k]."""
    palette = torch.tensor(np.array(truth.COLOURS), dtype=torch.float)
    centre = clip.frames[:, :, clip.frames.shape[2] * 3 // 4, clip.frames.shape[3] * 3 // 4].float()
    return torch.cdist(centre.reshape(-1, 3), palette).argmin(1).reshape(centre.shape[:2]).tolist()


def delay(samples: Tensor, truth: ModuleType, first: float = 0.0) -> float:
    """Seconds by which sound is late against the tones it was made of, by cross-correlation within 50 ms."""
    sound = samples.reshape(-1).numpy()
    made = truth.tone(first, first + len(sound) / RATE, RATE)
    length, most = 2 * len(sound), RATE // 20
    product = np.fft.irfft(np.fft.rfft(sound, length) * np.conj(np.fft.rfft(made, length)), length)
    return int(np.argmax(np.concatenate([product[-most:], product[: most + 1]])) - most) / RATE


# --- Pictures and tones are in their seconds -----------------------------------------------------


@pytest.mark.parametrize(("suffix", "options"), [
    (".mp4", {"rate": 16_000}), (".avi", {"rate": 44_100}), (".webm", {"shift": 5.0}), (".ts", {"shift": 5.0}),
])
def test_every_second_has_its_colour_and_its_tone(clip_file: Make, truth, suffix: str, options: dict):
    clip = read(clip_file(suffix, **options))
    assert shown(clip, truth) == [[0], [1], [2], [3]]
    assert clip.seen.all() and clip.heard.min() > 0.96
    assert abs(delay(clip.samples, truth)) < 0.03
    for second in range(4):
        alone = clip.samples[second, RATE // 20 : -RATE // 20].numpy()
        strongest = np.argmax(np.abs(np.fft.rfft(alone))) * RATE / len(alone)
        assert abs(strongest - truth.pitch(second)) < 2


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 96_000])
def test_sound_of_any_rate_is_exact_to_the_sample(clip_file: Make, truth, rate: int):
    clip = read(clip_file(".wav", video=False, rate=rate, seconds=2.0))
    assert delay(clip.samples, truth) == 0 and clip.heard.tolist() == [1, 1]
    assert np.abs(clip.samples.reshape(-1).numpy() - truth.tone(0, 2, RATE))[2400:-2400].mean() < 0.01


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_f32le"])
@pytest.mark.parametrize("layout", ["stereo", "5.1"])
def test_channels_are_mixed_to_one_without_growing_louder(clip_file: Make, layout: str, codec: str):
    clip = read(clip_file(".wav", video=False, seconds=1.0, layout=layout, codecs=("", codec)))
    assert clip.samples.abs().max() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("k", [1, 3])
def test_k_frames_per_second_are_the_middles_of_its_parts(clip_file: Make, k: int):
    path = clip_file()
    with av.open(str(path)) as file:
        plain = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    wanted = np.stack([plain[int((number + 0.5) / k * 25 + 1e-6)] for number in range(4 * k)])
    assert torch.equal(read(path, frames_per_segment=k).frames.flatten(0, 1), torch.from_numpy(wanted))


def test_the_parts_of_seconds_have_the_frames_of_their_time_and_the_second_of_sound_around_it(clip_file: Make):
    seconds = list(read_seconds(clip_file(), frames_per_segment=4))
    assert list(subdivide(seconds, 1)) == seconds
    parts = list(subdivide(seconds, 2))
    assert [part.index for part in parts] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert torch.equal(torch.cat([part.frames for part in parts]), torch.cat([second.frames for second in seconds]))
    silence, sound = torch.zeros(RATE // 4), torch.cat([second.samples for second in seconds])
    padded = torch.cat((silence, sound, silence))
    for place, part in enumerate(parts):
        assert torch.equal(part.samples, padded[place * RATE // 2 :][:RATE])


def test_a_frame_of_a_variable_rate_is_shown_until_the_next(clip_file: Make, truth):
    clip = read(clip_file(times=[0, 0.4, 1.9, 2.1, 3.2, 3.9]), frames_per_segment=2)
    # Shown at 0.25 0.75 1.25 1.75 2.25 2.75 3.25 3.75.
    assert shown(clip, truth) == [[0, 0], [0, 0], [2, 2], [3, 3]] and clip.seen.all()


# --- What is missing is padded and marked --------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_sound_that_starts_late_and_ends_early_is_silent_there(clip_file: Make, truth, suffix: str):
    clip = read(clip_file(suffix, seconds=5.0, audio_from=1.5, audio_to=3.25))
    # An encoder starts a block early and fills its last one up.
    assert clip.heard.tolist() == pytest.approx([0, 0.5, 1, 0.25, 0], abs=0.03)
    assert not clip.samples[[0, 4]].any() and not clip.samples[1, : int(0.47 * RATE)].any()
    assert abs(delay(clip.samples, truth)) < 0.02
    assert clip.seen.all() and shown(clip, truth) == [[0], [1], [2], [3], [4]]


def test_a_gap_in_the_sound_is_silent_and_the_rest_in_time(truth, tmp_path: Path):
    with av.open(str(tmp_path / "clip.mkv"), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=44_100, layout="mono")
        for first, last in ((0.0, 1.5), (2.5, 4.0)):
            sound = (truth.tone(first, last, 44_100) * 32_767).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(sound, format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = 44_100, Fraction(1, 44_100), int(first * 44_100)
            file.mux(stream.encode(frame))
    clip = read(tmp_path / "clip.mkv")
    assert clip.heard.tolist() == pytest.approx([1, 0.5, 0.5, 1], abs=2e-3)
    assert not clip.samples[1, RATE // 2 + 100 :].any() and not clip.samples[2, : RATE // 2 - 100].any()
    assert abs(delay(clip.samples[:1], truth)) < 2e-3 and abs(delay(clip.samples[3:], truth, first=3.0)) < 2e-3


def test_the_nearest_frame_is_repeated_where_there_is_no_picture(clip_file: Make, truth):
    clip = read(clip_file(seconds=5.0, video_from=1.2, video_to=3.0))
    assert clip.seen.flatten().tolist() == [False, True, True, False, False]
    assert shown(clip, truth) == [[1], [1], [2], [2], [2]]
    assert clip.heard.min() > 0.97 and abs(delay(clip.samples, truth)) < 0.02


@pytest.mark.parametrize("place", [{"video_from": 25.2}, {"video_to": 2.0}])
def test_a_picture_missing_for_long_is_marked_all_the_time(clip_file: Make, truth, place: dict):
    clip = read(clip_file(seconds=30.0, frame_rate=5, rate=8_000, layout="mono", **place))
    late = "video_from" in place
    assert clip.seen.flatten().tolist() == [second >= 25 if late else second < 2 for second in range(30)]
    nearest = [max(second, 25) if late else min(second, 1) for second in range(30)]
    assert shown(clip, truth) == [[second % 10] for second in nearest]
    assert clip.heard.min() > 0.97


@pytest.mark.parametrize(("suffix", "options"), [(".mp3", {}), (".mp4", {"codecs": ("", "aac")})])
def test_sound_without_video_is_black_and_a_cover_is_no_video(clip_file: Make, truth, suffix: str, options: dict):
    path = clip_file(suffix, video=False, cover=True, **options)
    info, clip = probe(path), read(path)
    assert (info.has_video, info.has_audio, info.width, info.height, info.seconds) == (False, True, 0, 0, 4)
    assert not clip.seen.any() and not clip.frames.any() and abs(delay(clip.samples, truth)) < 0.02
    assert read(path, size=(10, 20), frames_per_segment=3).frames.shape == (4, 3, 10, 20, 3)


def test_a_video_without_sound_is_silent(clip_file: Make):
    clip = read(clip_file(audio=False))
    assert not clip.heard.any() and not clip.samples.any() and clip.seen.all()


def test_count_pads_or_cuts(clip_file: Make):
    path = clip_file()
    whole, longer, shorter = read(path), read(path, count=6), read(path, count=2)
    assert longer.seen.flatten().tolist() == [True] * 4 + [False] * 2 and longer.heard[4:].max() < 0.03
    assert torch.equal(longer.frames[:4], whole.frames) and torch.equal(longer.frames[5], whole.frames[3])
    assert torch.equal(shorter.samples, whole.samples[:2]) and len(shorter.seen) == 2
    assert not read(path, start=7, count=2).seen.any()
    assert [second.index for second in read_seconds(path, start=1, count=2)] == [1, 2]
    assert not list(read_seconds(path, start=4)) and not list(read_seconds(path, count=0))


# --- Shape -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("matrix", [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0),
                                    (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)])  # fmt: skip
def test_a_rotated_or_mirrored_video_is_upright(clip_file: Make, tmp_path: Path, matrix: tuple):
    data = bytearray(clip_file(seconds=1.0, audio=False).read_bytes())
    a, b, c, d = matrix  # of display: x' = a x + c y, y' = b x + d y
    place = data.index(b"tkhd") + 44
    data[place : place + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    info, frame = probe(path), read(path).frames[0, 0]
    assert (info.width, info.height) == ((96, 64) if a else (64, 96)) == tuple(frame.shape[1::-1])
    assert read(path, size=(30, 50)).frames.shape[2:4] == (30, 50)
    # The white corner was at x = y = -1, from the middle.
    white = (-a - c > 0, -b - d > 0)
    corners = {(x, y): int(frame[-3 if y else 2, -3 if x else 2].min()) > 200 for x in (0, 1) for y in (0, 1)}
    assert corners == {(x, y): (x, y) == white for x in (0, 1) for y in (0, 1)}


@pytest.mark.parametrize(("suffix", "options", "shape"), [
    (".mp4", {"size": (72, 48), "pixel_aspect": Fraction(4, 3)}, (48, 96)),
    (".webm", {"size": (97, 63)}, (63, 97)),
])
def test_pixels_become_square_and_odd_sizes_are_kept(clip_file: Make, truth, suffix: str, options: dict, shape: tuple):
    path = clip_file(suffix, seconds=2.0, **options)
    clip = read(path)
    assert (probe(path).height, probe(path).width) == shape == tuple(clip.frames.shape[2:4])
    assert shown(clip, truth) == [[0], [1]]


@pytest.mark.parametrize(("seconds", "segments"), [(0.2, 1), (2.0, 2), (2.08, 2), (2.2, 3)])
def test_a_last_piece_of_a_tenth_is_no_segment(clip_file: Make, seconds: float, segments: int):
    path = clip_file(seconds=seconds)
    info = probe(path)
    assert info.duration == pytest.approx(seconds, abs=0.03) and not info.breaks_off
    assert info.seconds == segments == len(list(read_seconds(path)))


# --- Reading from the middle ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "options"), [
    (".mp4", {"group": 500}), (".webm", {"rate": 48_000}), (".avi", {}), (".ts", {}), (".mp3", {"video": False}),
    (".mp4", {"video_from": 8.2, "audio_to": 2.0}), (".mp4", {"video_to": 2.0, "audio_from": 8.2}),
])
def test_the_middle_is_the_same_as_from_the_start(clip_file: Make, suffix: str, options: dict):
    path = clip_file(suffix, **{"seconds": 12.0, "group": 40, "rate": 44_100, **options})
    whole = read(path, frames_per_segment=2)
    for start in (3, 11):
        part = read(path, start=start, count=1, frames_per_segment=2)
        assert torch.equal(part.frames[0], whole.frames[start]) and torch.equal(part.seen[0], whole.seen[start])
        assert (part.samples[0] - whole.samples[start]).abs().max() < 1e-3
        assert part.heard[0] == pytest.approx(float(whole.heard[start]), abs=1e-3)


def test_little_is_decoded_before_the_start(clip_file: Make, monkeypatch: pytest.MonkeyPatch):
    decoded, frames = [], media.frames

    def counted(*arguments):
        for frame in frames(*arguments):
            decoded.append(frame)
            yield frame

    monkeypatch.setattr(media, "frames", counted)
    read(clip_file(".avi", seconds=12.0, group=40, rate=44_100), start=9, count=1)
    assert 20 < sum(isinstance(frame, av.VideoFrame) for frame in decoded) < 120


# --- Long, broken and foreign files ----------------------------------------------------------------


PEAK = """
import resource, sys
from pathlib import Path
from avsgn_pyg.features.media import read_seconds
for path in sys.argv[1:]:
    print(sum(1 for _ in read_seconds(Path(path))), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_length(clip_file: Make):
    form = {"frame_rate": 1, "size": (160, 96), "rate": 8_000, "layout": "mono", "codecs": ("mpeg4", "pcm_s16le")}
    paths = [clip_file(".mov", seconds=seconds, **form) for seconds in (60, 360)]
    run = subprocess.run([sys.executable, "-c", PEAK, *paths], capture_output=True, text=True, check=True, timeout=300)
    (minute, before), (long, after) = (map(int, line.split()) for line in run.stdout.splitlines())
    assert (minute, long) == (60, 360)
    # Kept whole, the samples alone would be 69 MB, the frames 17 MB.
    assert after - before < 30_000


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "stated"), [(".mp4", True), (".ts", False)])
def test_a_cut_file_has_the_seconds_that_are_left(clip_file: Make, truth, tmp_path: Path, suffix: str, stated: bool):
    path = clip_file(suffix, seconds=8.0, options={"movflags": "faststart"} if suffix == ".mp4" else None)
    assert not probe(path).breaks_off
    cut, data = tmp_path / f"cut{suffix}", path.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    info, clip, padded = probe(cut), read(cut), read(cut, count=8)
    assert info.breaks_off == stated and (not stated or info.stated == pytest.approx(8, abs=0.1))
    assert 2 < info.duration < 6 and len(clip.seen) == info.seconds
    assert clip.seen[:-1].all() and clip.heard[:-1].min() > 0.97
    assert shown(clip, truth)[:-1] == [[second] for second in range(info.seconds - 1)]
    assert not padded.seen[info.seconds :].any() and padded.heard[info.seconds :].max() < 0.05


def _without_frames(good: bytes) -> bytes:
    start, index = good.index(b"mdat") + 4, good.index(b"moov") - 4
    return good[:start] + b"\xff" * (index - start) + good[index:]


@pytest.mark.parametrize(("name", "spoil", "reason"), [
    ("clip.mp4", lambda good: good[: len(good) // 2], "cut short before its index"),
    ("clip.mp4", lambda _: b"", "the file is empty"),
    ("clip.mp4", _without_frames, r"nothing in it can be decoded .*video h264, audio aac"),
])
def test_an_unreadable_file_is_named_with_the_reason(
    clip_file: Make, tmp_path: Path, name: str, spoil: Callable, reason: str
):
    path = tmp_path / name
    path.write_bytes(spoil(clip_file(seconds=1.0).read_bytes()))
    with pytest.raises(MediaError, match=reason) as caught:
        read_seconds(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_folder_a_missing_and_a_forbidden_file_are_named(
    clip_file: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(MediaError, match="a folder"):
        probe(tmp_path)
    with pytest.raises(MediaError, match="no such file"):
        read_seconds(tmp_path / "gone.mp4")

    def deny(path: str, **_) -> None:  # root may read everything
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(av, "open", deny)
    with pytest.raises(MediaError, match="no permission to read it"):
        probe(clip_file(seconds=1.0))


def test_numbers_that_are_too_small_raise_at_the_call(clip_file: Make):
    for name, value in {"frames_per_segment": 0, "start": -1, "count": -1, "size": (0, 5)}.items():
        with pytest.raises(ValueError, match=name):
            read_seconds(clip_file(seconds=1.0), **{name: value})


# --- Limits ----------------------------------------------------------------------------------------


def test_more_seconds_than_the_limit_are_refused_unless_fewer_are_wanted(clip_file: Make):
    path, limits = clip_file(), Limits(seconds=3)
    assert len(read(path, count=3, limits=limits).seen) == len(read(path, start=1, limits=limits).seen) == 3
    with pytest.raises(MediaError, match=r"4 s .* limit is 3"):
        read_seconds(path, limits=limits)


def test_the_deadline_counts_the_time_in_the_reader_alone(clip_file: Make, monkeypatch: pytest.MonkeyPatch):
    now = [0.0]
    monkeypatch.setattr(container, "monotonic", lambda: now[0])
    seconds = read_seconds(clip_file(seconds=8.0), limits=Limits(deadline=5.0))
    next(seconds)
    now[0] += 100  # the caller's
    next(seconds)
    monkeypatch.setattr(source, "decode", lambda packet, _: now.append(now.pop() + 1) or packet.decode())
    with pytest.raises(MediaError, match="deadline of 5 s"):
        list(seconds)
