"""What is read of a media file is what was put into it, second by second, in the form it was put there."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from avsgn_pyg.features import media
from avsgn_pyg.features.media import RATE, Clip, MediaError, MediaInfo, probe, read_seconds, stack

Make = Callable[..., Path]
TS = ("libx264", "aac")


@pytest.fixture(scope="session")
def truth(make_clip: Make) -> Callable[..., np.ndarray]:
    """The colours, tones and pictures that `make_clip` puts into a clip."""
    return sys.modules[make_clip.__module__]


@pytest.fixture(scope="session")
def real_clip() -> Path:
    """A real clip of ten seconds."""
    data = Path(os.environ.get("AVSGN_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    path = data / "clips" / "llp_BjCEufrlXm4.mp4"
    if not path.is_file():
        pytest.skip("the real clip is not here; set AVSGN_DATA to the folder that holds clips/")
    return path


def read(path: Path, **options) -> Clip:
    return stack(read_seconds(path, **options))


def shown(clip: Clip, truth, first: int = 0) -> list[list[int]]:
    """The second that each frame was made for, by its colour, counted from the first palette round; [S][k]."""
    palette = torch.tensor(np.array(truth.COLOURS), dtype=torch.float)
    centre = clip.frames[:, :, clip.frames.shape[2] * 3 // 4, clip.frames.shape[3] * 3 // 4].float()
    return torch.cdist(centre.reshape(-1, 3), palette).argmin(1).reshape(centre.shape[:2]).tolist()


def delay(samples: Tensor, truth, first: float = 0.0) -> float:
    """Seconds by which sound comes late against the tones it was made of, by cross-correlation within 50 ms."""
    sound = samples.reshape(-1).numpy()
    made = truth.tone(first, first + len(sound) / RATE, RATE)
    length, most = 2 * len(sound), RATE // 20
    alike = np.fft.irfft(np.fft.rfft(sound, length) * np.conj(np.fft.rfft(made, length)), length)
    return int(np.argmax(np.concatenate([alike[-most:], alike[: most + 1]])) - most) / RATE


def corrupt(path: Path, to: Path, keep: float) -> Path:
    data = path.read_bytes()
    to.write_bytes(data[: int(len(data) * keep)])
    return to


# --- Pictures and tones land in their seconds ----------------------------------------------------


@pytest.mark.parametrize(("suffix", "rate"), [(".mp4", 48_000), (".mp4", 16_000), (".webm", 48_000), (".webm", 16_000),
                                              (".avi", 48_000), (".avi", 44_100)])  # fmt: skip
def test_every_second_has_its_colour_and_its_tone(make_clip: Make, truth, tmp_path: Path, suffix: str, rate: int):
    path = make_clip(tmp_path / f"clip{suffix}", rate=rate)
    clip = read(path)
    assert shown(clip, truth) == [[0], [1], [2], [3]]
    assert clip.seen.all() and clip.heard.min() > 0.97
    assert abs(delay(clip.samples, truth)) < 0.02
    for second in range(4):
        alone = clip.samples[second, RATE // 20 : -RATE // 20].numpy()
        strongest = np.argmax(np.abs(np.fft.rfft(alone))) * RATE / len(alone)
        assert abs(strongest - truth.pitch(second)) < 2


def test_a_tone_changes_within_20_ms_of_its_second(make_clip: Make, truth, tmp_path: Path):
    sound = read(make_clip(tmp_path / "clip.mp4", rate=44_100)).samples.reshape(-1).numpy()
    for second in (1, 2, 3):
        for side, own, other in ((-0.03, second - 1, second), (0.01, second, second - 1)):
            first = round((second + side) * RATE)
            window = sound[first : first + RATE // 50]
            pitches = np.array([[truth.pitch(own)], [truth.pitch(other)]])
            strengths = np.abs(np.exp(-2j * np.pi * pitches * np.arange(len(window)) / RATE) @ window)
            assert strengths[0] > 2 * strengths[1]


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_any_rate_lands_on_the_same_sample(make_clip: Make, truth, tmp_path: Path, rate: int):
    path = make_clip(tmp_path / "clip.wav", video=False, rate=rate, seconds=2.0)
    clip = read(path)
    assert delay(clip.samples, truth) == 0
    assert (clip.samples.reshape(-1).numpy() - truth.tone(0, 2, RATE))[2400:-2400].__abs__().mean() < 0.01
    assert clip.heard.tolist() == [1, 1]


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_f32le", "pcm_s24le", "pcm_u8"])
@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_channels_are_mixed_to_one_without_growing_louder(make_clip: Make, tmp_path: Path, layout: str, codec: str):
    clip = read(make_clip(tmp_path / "clip.wav", video=False, seconds=1.0, layout=layout, codecs=("", codec)))
    assert clip.samples.shape == (1, RATE)
    assert clip.samples.abs().max() == pytest.approx(0.5, abs=0.02)


def test_k_frames_a_second_are_the_middles_of_its_parts(make_clip: Make, tmp_path: Path):
    path = make_clip(tmp_path / "clip.mp4", seconds=2.0)
    with av.open(str(path)) as file:
        plain = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    for k in (1, 2, 3, 10):
        clip = read(path, frames_per_segment=k)
        wanted = [int((second + (j + 0.5) / k) * 25 + 1e-6) for second in range(2) for j in range(k)]
        assert torch.equal(clip.frames.flatten(0, 1), torch.from_numpy(np.stack([plain[number] for number in wanted])))


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_frames_of_a_variable_rate_stand_until_the_next(make_clip: Make, truth, tmp_path: Path, suffix: str):
    path = make_clip(tmp_path / f"clip{suffix}", times=[0, 0.4, 1.9, 2.1, 3.2, 3.9], seconds=4.0)
    clip = read(path, frames_per_segment=2)
    # Shown at 0.25 0.75 1.25 1.75 2.25 2.75 3.25 3.75.
    assert shown(clip, truth) == [[0, 0], [0, 0], [2, 2], [3, 3]]
    assert clip.seen.all()


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".ts"])
def test_time_starts_where_the_presentation_does(make_clip: Make, truth, tmp_path: Path, suffix: str):
    path = make_clip(tmp_path / f"clip{suffix}", shift=5.0, codecs=TS if suffix == ".ts" else None)
    clip = read(path)
    assert clip.seen.all()
    assert shown(clip, truth) == [[0], [1], [2], [3]]
    assert abs(delay(clip.samples, truth)) < 0.03


# --- What is missing is padded and marked --------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_sound_that_starts_late_and_ends_early_is_silent_there(make_clip: Make, truth, tmp_path: Path, suffix: str):
    path = make_clip(tmp_path / f"clip{suffix}", seconds=5.0, audio_from=1.5, audio_to=3.25)
    clip = read(path)
    # An encoder starts a block early and fills its last one up.
    assert clip.heard.tolist() == pytest.approx([0, 0.5, 1, 0.25, 0], abs=0.03)
    assert not clip.samples[[0, 4]].any() and not clip.samples[1, : int(0.47 * RATE)].any()
    assert abs(delay(clip.samples, truth)) < 0.02
    assert clip.seen.all() and shown(clip, truth) == [[0], [1], [2], [3], [4]]


def test_a_gap_in_the_sound_is_silent_and_what_follows_is_in_time(truth, tmp_path: Path):
    with av.open(str(tmp_path / "clip.mkv"), "w") as file:
        speaker = file.add_stream("pcm_s16le", rate=44_100, layout="mono")
        for first, last in ((0.0, 1.5), (2.5, 4.0)):
            sound = (truth.tone(first, last, 44_100) * 32_767).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(sound, format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = 44_100, Fraction(1, 44_100), int(first * 44_100)
            file.mux(speaker.encode(frame))
    clip = read(tmp_path / "clip.mkv")
    assert clip.heard.tolist() == pytest.approx([1, 0.5, 0.5, 1], abs=2e-3)
    assert not clip.samples[1, RATE // 2 + 100 :].any() and not clip.samples[2, : RATE // 2 - 100].any()
    assert abs(delay(clip.samples[:1], truth)) < 2e-3 and abs(delay(clip.samples[3:], truth, first=3.0)) < 2e-3


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_picture_that_starts_late_and_ends_early_repeats_the_nearest(
    make_clip: Make, truth, tmp_path: Path, suffix: str
):
    path = make_clip(tmp_path / f"clip{suffix}", seconds=5.0, video_from=1.2, video_to=3.0)
    clip = read(path)
    assert clip.seen.flatten().tolist() == [False, True, True, False, False]
    assert shown(clip, truth) == [[1], [1], [2], [2], [2]]
    assert clip.heard.min() > 0.97 and abs(delay(clip.samples, truth)) < 0.02


@pytest.mark.parametrize("place", [{"video_from": 25.2}, {"video_to": 2.0}])
def test_a_picture_missing_for_long_is_marked_all_the_time(make_clip: Make, truth, tmp_path: Path, place: dict):
    path = make_clip(tmp_path / "clip.mp4", seconds=30.0, frame_rate=5, rate=8_000, layout="mono", **place)
    clip = read(path)
    seen = [second >= 25 if "video_from" in place else second < 2 for second in range(30)]
    assert clip.seen.flatten().tolist() == seen
    nearest = [max(second, 25) if "video_from" in place else min(second, 1) for second in range(30)]
    assert shown(clip, truth) == [[second % 10] for second in nearest]
    assert clip.heard.min() > 0.97


def test_a_silent_film_has_no_sound(make_clip: Make, truth, tmp_path: Path):
    path = make_clip(tmp_path / "clip.mp4", audio=False)
    info, clip = probe(path), read(path)
    assert (info.has_video, info.has_audio, info.seconds) == (True, False, 4)
    assert not clip.heard.any() and not clip.samples.any()
    assert shown(clip, truth) == [[0], [1], [2], [3]]


@pytest.mark.parametrize(
    ("name", "codec", "cover"),
    [("clip.wav", "pcm_s16le", False), ("clip.mp3", "libmp3lame", True), ("clip.mp4", "aac", True)],
)
def test_sound_alone_is_black_and_a_cover_is_no_film(
    make_clip: Make, truth, tmp_path: Path, name: str, codec: str, cover: bool
):
    path = make_clip(tmp_path / name, video=False, cover=cover, codecs=("", codec))
    info, clip = probe(path), read(path)
    assert (info.has_video, info.has_audio, info.width, info.height, info.seconds) == (False, True, 0, 0, 4)
    assert not clip.seen.any() and not clip.frames.any()
    assert abs(delay(clip.samples, truth)) < 0.02
    assert read(path, size=(10, 20), frames_per_segment=3).frames.shape == (4, 3, 10, 20, 3)


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_still_image_stays_as_long_as_its_sound(make_clip: Make, truth, tmp_path: Path, suffix: str):
    path = make_clip(tmp_path / f"clip{suffix}", times=[0.0], seconds=14.0, rate=16_000, layout="mono")
    clip = read(path)
    assert clip.seen.all() and clip.heard.min() > 0.97
    assert shown(clip, truth) == [[0]] * 14
    later = read(path, start=5, count=3)
    assert later.seen.all() and torch.equal(later.frames, clip.frames[5:8])


def test_a_picture_file_is_one_second(tmp_path: Path):
    image = np.zeros((40, 60, 3), dtype=np.uint8)
    image[:, 30:] = (250, 120, 10)
    av.VideoFrame.from_ndarray(image).save(str(tmp_path / "still.png"))
    clip = read(tmp_path / "still.png")
    assert clip.seen.tolist() == [[True]] and clip.heard.tolist() == [0]
    assert np.abs(clip.frames[0, 0].numpy().astype(int) - image).max() < 3


def test_count_pads_with_marks_and_cuts(make_clip: Make, tmp_path: Path):
    path = make_clip(tmp_path / "clip.mp4", seconds=3.0)
    whole, longer, shorter = read(path), read(path, count=5), read(path, count=2)
    assert longer.seen.flatten().tolist() == [True] * 3 + [False] * 2
    assert longer.heard[3:].max() < 0.03
    assert torch.equal(longer.frames[:3], whole.frames) and torch.equal(longer.frames[4], whole.frames[2])
    assert torch.equal(shorter.samples, whole.samples[:2]) and len(shorter.seen) == 2
    assert not read(path, start=7, count=2).seen.any()
    assert [second.index for second in read_seconds(path, start=1, count=2)] == [1, 2]
    assert not list(read_seconds(path, start=3)) and not list(read_seconds(path, count=0))


# --- Shape -----------------------------------------------------------------------------------------


def turn(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write a display matrix (a, b, c, d) into the mp4's first track: x' = a x + c y, y' = b x + d y."""
    data = bytearray(path.read_bytes())
    a, b, c, d = (value << 16 for value in matrix)
    place = data.index(b"tkhd") + 44
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("matrix", [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0),
                                    (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)])  # fmt: skip
@pytest.mark.parametrize("size", [None, (30, 50)])
def test_a_turned_or_mirrored_film_is_upright(make_clip: Make, tmp_path: Path, matrix: tuple, size: tuple | None):
    path = turn(make_clip(tmp_path / "clip.mp4", seconds=1.0, size=(96, 64), audio=False), matrix)
    a, b, c, d = matrix
    info, frame = probe(path), read(path, size=size).frames[0, 0]
    assert (info.width, info.height) == ((96, 64) if a else (64, 96))
    assert tuple(frame.shape[:2]) == (size or (info.height, info.width))
    # The white corner was at x = y = -1, from the middle.
    right, low = -a - c > 0, -b - d > 0
    corners = {(x, y): int(frame[-3 if y else 2, -3 if x else 2].min()) > 200 for x in (0, 1) for y in (0, 1)}
    assert corners == {(x, y): (x, y) == (right, low) for x in (0, 1) for y in (0, 1)}


def test_pixels_that_are_not_square_are_made_so(make_clip: Make, tmp_path: Path):
    path = make_clip(tmp_path / "clip.mp4", seconds=1.0, size=(72, 48), pixel_aspect=Fraction(4, 3))
    assert (probe(path).width, probe(path).height) == (96, 48)
    assert read(path).frames.shape == (1, 1, 48, 96, 3)


def test_odd_sizes_are_kept(make_clip: Make, truth, tmp_path: Path):
    path = make_clip(tmp_path / "clip.webm", seconds=2.0, size=(97, 63))
    clip = read(path)
    assert clip.frames.shape == (2, 1, 63, 97, 3) and shown(clip, truth) == [[0], [1]]


def test_frames_are_scaled_on_the_way_out(make_clip: Make, truth, tmp_path: Path):
    clip = read(make_clip(tmp_path / "clip.mp4", seconds=2.0), size=(24, 40))
    assert clip.frames.shape == (2, 1, 24, 40, 3) and shown(clip, truth) == [[0], [1]]


@pytest.mark.parametrize(("seconds", "segments"), [(0.2, 1), (2.0, 2), (2.08, 2), (2.2, 3)])
def test_a_last_piece_of_a_tenth_is_no_segment(make_clip: Make, tmp_path: Path, seconds: float, segments: int):
    path = make_clip(tmp_path / "clip.mp4", seconds=seconds)
    info = probe(path)
    assert info.duration == pytest.approx(seconds, abs=0.03) and not info.breaks_off
    assert info.seconds == segments == len(list(read_seconds(path)))


# --- From the middle ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codecs"),
    [
        ("clip.mp4", None), ("clip.webm", None), ("clip.avi", None), ("clip.ts", TS), ("clip.mkv", TS),
        ("clip.mp3", ("", "libmp3lame")), ("clip.wav", None),
    ],
)  # fmt: skip
def test_the_middle_is_the_same_without_reading_up_to_it(
    make_clip: Make, tmp_path: Path, name: str, codecs: tuple | None
):
    film = codecs is None or codecs[0] != ""
    path = make_clip(tmp_path / name, seconds=12.0, group=40, rate=44_100 if "webm" not in name else 48_000,
                     video=film and not name.endswith("wav"), codecs=codecs)  # fmt: skip
    whole = read(path, frames_per_segment=2)
    for start in (3, 6, 11):
        part = read(path, start=start, count=1, frames_per_segment=2)
        assert torch.equal(part.frames[0], whole.frames[start])
        assert torch.equal(part.seen[0], whole.seen[start])
        assert (part.samples[0] - whole.samples[start]).abs().max() < 1e-3
        assert part.heard[0] == pytest.approx(float(whole.heard[start]), abs=1e-3)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.webm", "clip.avi"])
def test_little_is_decoded_before_the_start(
    make_clip: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    path = make_clip(tmp_path / name, seconds=12.0)
    decoded, frames = [], media.frames

    def counted(*arguments, **options):
        for frame in frames(*arguments, **options):
            decoded.append(frame)
            yield frame

    monkeypatch.setattr(media, "frames", counted)
    read(path, start=9, count=1)
    pictures = [frame for frame in decoded if isinstance(frame, av.VideoFrame)]
    assert 20 < len(pictures) < 100


def test_a_file_that_cannot_be_sought_is_read_from_its_start(make_clip: Make, tmp_path: Path, monkeypatch):
    path = make_clip(tmp_path / "clip.mp4", seconds=6.0, group=500)
    whole = read(path)
    monkeypatch.setattr(media.container, "_seek_offset", lambda source, time: None)
    assert torch.equal(read(path, start=4).frames, whole.frames[4:])


@pytest.mark.parametrize("place", [{"video_from": 8.2}, {"video_to": 2.0}, {"audio_from": 8.2}, {"audio_to": 2.0}])
def test_the_middle_is_marked_as_from_the_start(make_clip: Make, tmp_path: Path, place: dict):
    path = make_clip(tmp_path / "clip.mp4", seconds=12.0, **place)
    whole, part = read(path), read(path, start=5, count=5)
    assert torch.equal(part.frames, whole.frames[5:10]) and torch.equal(part.seen, whole.seen[5:10])
    assert torch.allclose(part.heard, whole.heard[5:10], atol=1e-3)
    assert torch.allclose(part.samples, whole.samples[5:10], atol=1e-3)


def test_threads_change_nothing(make_clip: Make, tmp_path: Path):
    path = make_clip(tmp_path / "clip.mp4", seconds=3.0)
    one, many = read(path), read(path, threads=3)
    assert torch.equal(one.frames, many.frames) and torch.equal(one.samples, many.samples)


# --- Long, broken and foreign files ----------------------------------------------------------------


PEAK = """
import resource, sys
from pathlib import Path
from avsgn_pyg.features.media import read_seconds
for path in sys.argv[1:]:
    print(sum(1 for _ in read_seconds(Path(path))), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_length(make_clip: Make, tmp_path: Path):
    paths = [
        make_clip(tmp_path / f"{seconds}.mov", seconds=seconds, frame_rate=1, size=(160, 96), rate=8_000,
                  layout="mono", codecs=("mpeg4", "pcm_s16le"))
        for seconds in (60, 3600)
    ]  # fmt: skip
    run = subprocess.run([sys.executable, "-c", PEAK, *paths], capture_output=True, text=True, check=True, timeout=300)
    (minute, before), (hour, after) = (map(int, line.split()) for line in run.stdout.splitlines())
    assert (minute, hour) == (60, 3600)
    # Kept whole, the samples alone would be 660 MB, the frames 160 MB.
    assert after - before < 30_000


@pytest.mark.parametrize(("name", "options"), [("clip.mp4", {"movflags": "faststart"}), ("clip.webm", {})])
def test_a_file_that_breaks_off_gives_what_is_there(make_clip: Make, truth, tmp_path: Path, name: str, options: dict):
    path = make_clip(tmp_path / name, seconds=8.0, options=options)
    assert not probe(path).breaks_off
    cut = corrupt(path, tmp_path / f"cut{path.suffix}", 0.5)
    info, clip = probe(cut), read(cut)
    assert info.breaks_off and info.stated == pytest.approx(8, abs=0.1) and 2 < info.duration < 6
    assert len(clip.seen) == info.seconds < 8
    assert shown(clip, truth) == [[second] for second in range(info.seconds)]
    assert clip.seen[:-1].all() and clip.heard[:-1].min() > 0.97
    padded = read(cut, count=8)
    assert not padded.seen[info.seconds :].any() and not padded.heard[info.seconds :].any()


@pytest.mark.parametrize(("name", "codecs"), [("clip.avi", None), ("clip.ts", TS)])
def test_a_broken_file_without_a_stated_end_is_as_long_as_it_is(make_clip: Make, truth, tmp_path: Path, name, codecs):
    path = make_clip(tmp_path / name, seconds=8.0, codecs=codecs)
    cut = corrupt(path, tmp_path / f"cut{path.suffix}", 0.5)
    info, clip = probe(cut), read(cut)
    assert 2 < info.duration < 6 and len(clip.seen) == info.seconds
    assert clip.seen[:-1].all() and clip.heard[:-1].min() > 0.97


def test_damage_in_the_middle_costs_no_second(make_clip: Make, tmp_path: Path):
    path = make_clip(tmp_path / "clip.mp4", seconds=6.0, options={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    path.write_bytes(data)
    clip = read(path)
    assert len(clip.seen) == 6 and clip.seen.float().mean() > 0.6


FOREIGN = {
    "an mp4 without its index": ("clip.mp4", lambda good: good[: len(good) // 2], "cut short before its index"),
    "a text": ("notes.txt", lambda _: b"this is no film\n" * 100, "text, not a media file"),
    "a text called mp4": ("clip.mp4", lambda _: b"this is no film\n" * 100, "not a media file"),
    "noise": ("clip.mkv", lambda _: np.random.default_rng(0).bytes(50_000), "not a media file"),
    "an empty file": ("clip.mp4", lambda _: b"", "the file is empty"),
}


@pytest.mark.parametrize("case", FOREIGN)
@pytest.mark.parametrize("call", [probe, read_seconds])
def test_what_is_no_media_file_is_named_with_the_reason(make_clip: Make, tmp_path: Path, case: str, call: Callable):
    name, spoil, reason = FOREIGN[case]
    good = make_clip(tmp_path / "good.mp4", seconds=1.0).read_bytes()
    path = tmp_path / name
    path.write_bytes(spoil(good))
    with pytest.raises(MediaError, match=reason) as caught:
        call(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_folder_and_a_missing_file_are_named(tmp_path: Path):
    with pytest.raises(MediaError, match="a folder"):
        probe(tmp_path)
    with pytest.raises(MediaError, match="no such file"):
        read_seconds(tmp_path / "gone.mp4")


def test_a_file_that_may_not_be_read_is_named(make_clip: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = make_clip(tmp_path / "clip.mp4", seconds=1.0)
    if os.geteuid():
        path.chmod(0)
    else:
        # Root may read everything.
        denied = PermissionError(errno.EACCES, "Permission denied", str(path))
        monkeypatch.setattr(av, "open", lambda *_, **__: (_ for _ in ()).throw(denied))
    with pytest.raises(MediaError, match="no permission to read it"):
        probe(path)


def test_streams_that_cannot_be_decoded_are_named(make_clip: Make, tmp_path: Path):
    path = make_clip(tmp_path / "clip.mp4", seconds=1.0)
    data = bytearray(path.read_bytes())
    start, index = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[start:index] = b"\xff" * (index - start)
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"nothing in it can be decoded .*video h264, audio aac"):
        probe(path)


def test_a_colon_in_a_name_is_no_protocol(make_clip: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "plain.mp4", seconds=1.0).rename("-a: b%d.mp4")
    assert probe("-a: b%d.mp4").seconds == 1


@pytest.mark.parametrize(
    "options", [{"frames_per_segment": 0}, {"start": -1}, {"count": -1}, {"size": (0, 5)}, {"threads": -1}]
)
def test_numbers_that_make_no_sense_are_refused_at_the_call(make_clip: Make, tmp_path: Path, options: dict):
    path = make_clip(tmp_path / "clip.mp4", seconds=1.0)
    with pytest.raises(ValueError, match=next(iter(options))):
        read_seconds(path, **options)


def test_nothing_to_stack_is_refused():
    with pytest.raises(ValueError, match="no seconds"):
        stack([])


def test_ffmpeg_says_nothing_of_its_own(make_clip: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    path = make_clip(tmp_path / "clip.ts", codecs=TS)
    read(corrupt(path, tmp_path / "cut.ts", 0.5))
    assert capfd.readouterr() == ("", "")


# --- A real clip -----------------------------------------------------------------------------------


def test_a_real_clip_is_read_as_by_plain_decoding(real_clip: Path):
    info, clip = probe(real_clip), read(real_clip)
    assert info == MediaInfo(
        path=real_clip, duration=info.duration, seconds=10, width=320, height=240, frame_rate=info.frame_rate,
        has_video=True, has_audio=True, stated=info.stated,
    )  # fmt: skip
    with av.open(str(real_clip)) as file:
        frames = [(frame.time, frame) for frame in file.decode(video=0)]
    plain = [max(number for number, (time, _) in enumerate(frames) if time <= second + 0.5) for second in range(10)]
    wanted = np.stack([frames[number][1].to_ndarray(format="rgb24") for number in plain])
    assert torch.equal(clip.frames[:, 0], torch.from_numpy(wanted))
    with av.open(str(real_clip)) as file:
        sound = np.concatenate([frame.to_ndarray() for frame in file.decode(audio=0)], axis=1).mean(0)
    share = np.array([np.square(sound[second * 44_100 : (second + 1) * 44_100]).mean() for second in range(10)])
    assert clip.samples.square().mean(1).numpy() == pytest.approx(share, rel=0.02)
    assert clip.seen.all() and clip.heard.min() > 0.99
