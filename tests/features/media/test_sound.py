"""Channels that cancel out are not silence, and others are mixed as ever."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avsgn_pyg.features.media import RATE, read_seconds, stack


def write(path: Path, codec: str, layout: str, samples: np.ndarray, rate: int = RATE) -> Path:
    """Write float samples [channels, samples]."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=rate, layout=layout)
        packed = np.ascontiguousarray(samples.T.astype(np.float32)).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        file.mux([*stream.encode(frame), *stream.encode()])
    return path


def chords(*gains: Sequence[float], seconds: float = 3.0, rate: int = RATE) -> np.ndarray:
    """Channels that are sums of two chords with gains."""
    time = np.arange(int(seconds * rate)) / rate
    pitches = 2 * np.pi * np.random.default_rng(0).uniform(200, 2_000, (2, 12, 1))
    return np.array(gains) @ (0.02 * np.sin(pitches * time).sum(1))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "codec", "layout", "second"), [
    ("clip.wav", "pcm_s16le", "stereo", -1), ("clip.wav", "pcm_u8", "stereo", -1), ("c.flac", "flac", "stereo", -0.9),
    ("clip.mka", "aac", "stereo", -1), ("clip.mp3", "libmp3lame", "stereo", -1), ("clip.wav", "pcm_f32le", "5.1", -1),
])
def test_a_channel_that_is_inverted_does_not_cancel_the_other(
    tmp_path: Path, name: str, codec: str, layout: str, second: float
):
    rest = [(0, 0)] * (4 if layout == "5.1" else 0)
    clip = stack(read_seconds(write(tmp_path / name, codec, layout, chords((1, 0), (second, 0), *rest))))
    left = stack(read_seconds(write(tmp_path / f"left{name}", codec, "mono", chords((1, 0)))))
    middle = slice(RATE, 2 * RATE)
    assert np.corrcoef(clip.samples.flatten()[middle], left.samples.flatten()[middle])[0, 1] > 0.97
    assert clip.samples[1].std() == pytest.approx(float(left.samples[1].std()), rel=0.05)


def test_silence_before_an_inverted_channel_changes_nothing(tmp_path: Path):
    samples = chords((1, 0), (-1, 0), seconds=4)
    samples[:, : 2 * RATE] = 0
    clip = stack(read_seconds(write(tmp_path / "clip.wav", "pcm_s16le", "stereo", samples)))
    assert not clip.samples[:2].any() and np.allclose(clip.samples[2:].flatten(), samples[0, 2 * RATE :], atol=1e-4)


@pytest.mark.parametrize("gains", [[(1, 0), (1, 0)], [(1, 0), (0, 1)], [(1, 0), (0, 0)], [(1, 0.5), (-1, 0.5)]])
def test_other_stereo_is_the_mean_of_its_channels_to_the_bit(tmp_path: Path, gains: list):
    samples = np.round(chords(*gains) * 32_768) / 32_768
    clip = stack(read_seconds(write(tmp_path / "clip.wav", "pcm_f32le", "stereo", samples)))
    mean = (samples.astype(np.float32) * np.float32(0.5)).sum(0, dtype=np.float32)
    assert np.array_equal(clip.samples.flatten().numpy(), mean)


def test_eight_channels_are_read(tmp_path: Path):
    samples = chords((1, 0), *[(0, 0)] * 7, rate=44_100)
    clip = stack(read_seconds(write(tmp_path / "clip.mka", "aac", "7.1", samples, rate=44_100)))
    assert clip.heard.min() > 0.95 and clip.samples.std() > 0.005
