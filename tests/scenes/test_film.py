"""Files that any player opens, written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from avsgn_pyg.scenes.film import write_film

RATE = 48_000


def frames(count: int) -> Iterator[np.ndarray]:
    """One grey a frame, brighter from frame to frame."""
    for number in range(count):
        yield np.full((48, 64, 3), 20 + 8 * number, dtype=np.uint8)


def tone(seconds: int) -> np.ndarray:
    """Silence with a tone in the second second."""
    time = np.arange(seconds * RATE) / RATE
    return np.tile(0.4 * np.sin(2 * np.pi * 880 * time) * ((time >= 1) & (time < 2)), (2, 1)).astype(np.float32)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "a.mp4"
    write_film(path, frames(24), tone(2), frame_rate=12, sample_rate=RATE)
    return path


def test_the_file_is_h264_and_aac_of_the_length_rate_and_size_asked_for(film: Path):
    with av.open(str(film)) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        assert (picture.codec_context.name, picture.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (picture.width, picture.height, picture.average_rate) == (64, 48, 12)
        assert (sound.codec_context.name, sound.rate, sound.layout.name) == ("aac", RATE, "stereo")
        assert float(picture.duration * picture.time_base) == pytest.approx(2.0, abs=0.01)
        assert float(sound.duration * sound.time_base) == pytest.approx(2.0, abs=0.05)


def test_frames_come_back_in_order_and_in_time(film: Path):
    with av.open(str(film)) as container:
        shown = [(frame.time, frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)]
    assert [time for time, _ in shown] == pytest.approx([number / 12 for number in range(24)], abs=1e-3)
    brightness = np.array([grey for _, grey in shown])
    assert np.allclose(np.diff(brightness), np.diff(brightness).mean(), atol=2)
    assert brightness[-1] - brightness[0] > 120


def test_sound_comes_back_in_time(film: Path):
    loud = np.zeros(3 * RATE)
    with av.open(str(film)) as container:
        for frame in container.decode(audio=0):
            begin = round(frame.time * RATE)
            values = frame.to_ndarray()[0]
            part = np.abs(values[max(0, -begin) : len(loud) - begin])
            loud[max(begin, 0) : max(begin, 0) + len(part)] = part
    assert loud[: RATE - 2048].max() < 0.02
    assert loud[RATE + 1024 :][: 170 * 256].reshape(-1, 256).max(-1).min() > 0.3


def test_the_same_frames_and_samples_give_the_same_file(film: Path, tmp_path: Path):
    write_film(tmp_path / "b.mp4", frames(24), tone(2), frame_rate=12, sample_rate=RATE)
    assert (tmp_path / "b.mp4").read_bytes() == film.read_bytes()


def test_an_error_on_the_way_leaves_what_was_there(film: Path):
    before = film.read_bytes()

    def broken() -> Iterator[np.ndarray]:
        yield from frames(3)
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        write_film(film, broken(), tone(2), frame_rate=12, sample_rate=RATE)
    assert film.read_bytes() == before
    assert list(film.parent.iterdir()) == [film]
