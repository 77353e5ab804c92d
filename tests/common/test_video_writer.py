"""A video is read back with its frames and samples in time."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from avsgn_pyg.common.video_writer import write_video


def test_frames_and_sound_come_back_from_a_video_in_time(tmp_path: Path):
    """Each frame is brighter than the one before; the second of two seconds has a tone."""
    video, rate = tmp_path / "a.mp4", 48_000
    frames, time = (np.full((48, 64, 3), 20 + 8 * number, dtype=np.uint8) for number in range(24)), np.arange(2 * rate)
    tone = np.tile(0.4 * np.sin(2 * np.pi * 880 * time / rate) * (time >= rate), (2, 1)).astype(np.float32)
    write_video(video, frames, tone, frame_rate=12, sample_rate=rate)
    with av.open(str(video)) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        assert (picture.codec_context.name, picture.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (sound.codec_context.name, sound.rate, sound.layout.name) == ("aac", rate, "stereo")
        shown = [(frame.time, frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)]
    assert [time for time, _ in shown] == pytest.approx([number / 12 for number in range(24)], abs=1e-3)
    steps = np.diff([grey for _, grey in shown])
    assert np.allclose(steps, steps.mean(), atol=2) and steps.sum() > 120
    with av.open(str(video)) as container:
        heard = [(round(frame.time * rate), np.abs(frame.to_ndarray()[0])) for frame in container.decode(audio=0)]
    assert max(block.max() for begin, block in heard if begin + len(block) < rate - 1024) < 0.02
    assert min(block.max() for begin, block in heard if rate + 1024 < begin < 1.9 * rate) > 0.3
