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


def tone() -> np.ndarray:
    """Two seconds, a tone in the second one."""
    time = np.arange(2 * RATE) / RATE
    return np.tile(0.4 * np.sin(2 * np.pi * 880 * time) * (time >= 1), (2, 1)).astype(np.float32)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "a.mp4"
    write_film(path, frames(24), tone(), frame_rate=12, sample_rate=RATE)
    return path


def test_the_file_is_h264_and_aac_of_the_given_length_rate_and_size(film: Path):
    with av.open(str(film)) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        assert (picture.codec_context.name, picture.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (picture.width, picture.height, picture.average_rate) == (64, 48, 12)
        assert (sound.codec_context.name, sound.rate, sound.layout.name) == ("aac", RATE, "stereo")
        assert float(picture.duration * picture.time_base) == pytest.approx(2.0, abs=0.01)
        assert float(sound.duration * sound.time_base) == pytest.approx(2.0, abs=0.05)


def test_frames_and_sound_come_back_in_time(film: Path):
    with av.open(str(film)) as container:
        shown = [(frame.time, frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)]
    assert [time for time, _ in shown] == pytest.approx([number / 12 for number in range(24)], abs=1e-3)
    steps = np.diff([grey for _, grey in shown])
    assert np.allclose(steps, steps.mean(), atol=2) and steps.sum() > 120
    with av.open(str(film)) as container:
        heard = [(round(frame.time * RATE), np.abs(frame.to_ndarray()[0])) for frame in container.decode(audio=0)]
    assert max(block.max() for begin, block in heard if begin + len(block) < RATE - 1024) < 0.02
    assert min(block.max() for begin, block in heard if RATE + 1024 < begin < 1.9 * RATE) > 0.3


def test_the_same_frames_and_samples_give_the_same_file(film: Path):
    write_film(film.with_name("b.mp4"), frames(24), tone(), frame_rate=12, sample_rate=RATE)
    assert film.with_name("b.mp4").read_bytes() == film.read_bytes()


def test_an_error_on_the_way_leaves_the_old_file(film: Path):
    def broken() -> Iterator[np.ndarray]:
        yield from frames(3)
        raise OSError("no more")

    before = film.read_bytes()
    with pytest.raises(OSError, match="no more"):
        write_film(film, broken(), tone(), frame_rate=12, sample_rate=RATE)
    assert film.read_bytes() == before and list(film.parent.iterdir()) == [film]
