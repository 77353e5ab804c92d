"""A second's feature is the mean of its frames' at unit length; windows together are encoded as each alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from avsgn_pyg.features.encode import Segment, WindowEncoder, average_frames, find_not_finite
from avsgn_pyg.features.signal import SignalAudio, SignalFrames


class Counting(SignalAudio):
    """Encodes sums of squares over a window so far, and counts seconds."""

    each_second_alone = False
    count = 0

    def encode_audio(self, samples: Tensor) -> Tensor:
        self.count += samples.shape[0] * samples.shape[1]
        return samples.square().mean(-1).cumsum(1)[..., None]


@pytest.fixture
def segments() -> list[Segment]:
    """Seven seconds of noise with two frames each."""
    return [Segment(torch.rand(2, 3, 64, 64), torch.rand(48_000) - 0.5) for _ in range(7)]


def test_frames_are_averaged_to_unit_length_and_one_frame_is_kept_bit_identical():
    frames = F.normalize(torch.randn(3, 5, 4), dim=-1)
    mean = frames.mean(1)
    torch.testing.assert_close(average_frames(frames), mean / mean.norm(dim=-1, keepdim=True))
    assert torch.equal(average_frames(frames[:, :1]), frames[:, 0])
    torch.testing.assert_close(average_frames(frames, unit_length=False), mean)


@pytest.mark.parametrize("audio", [SignalAudio(width=8, batch_size=4), Counting()])
def test_windows_together_are_encoded_as_each_alone(segments: list[Segment], audio: SignalAudio):
    visual = SignalFrames(width=8, batch_size=4)
    windows = [segments[:3], segments[3:4], segments[4:]]
    for (heard, seen), window in zip(WindowEncoder(visual, audio)(windows), windows, strict=True):
        ((alone_heard, alone_seen),) = WindowEncoder(visual, audio)([window])
        torch.testing.assert_close(heard, alone_heard, rtol=0, atol=1e-6)
        torch.testing.assert_close(seen, alone_seen, rtol=0, atol=1e-6)
        assert len(seen) == len(heard) == len(window)


def test_the_parts_of_a_second_are_encoded_without_gaps_between_their_seconds_of_sound(segments: list[Segment]):
    """An encoder of whole windows gets every other segment as one sound: sums so far never mix the two."""
    ((sums, _),) = WindowEncoder(SignalFrames(width=8), Counting(), rate=2)([segments[:6]])
    energy = torch.stack([segment.samples.square().mean() for segment in segments[:6]])
    wanted = torch.stack((energy[::2].cumsum(0), energy[1::2].cumsum(0)), dim=1).flatten()
    torch.testing.assert_close(sums[:, 0], wanted)


def test_shared_segments_are_encoded_once_except_the_sound_of_an_encoder_that_needs_the_window(segments: list[Segment]):
    class Alone(Counting):
        each_second_alone = True

    counts, windows = [], [segments[start : start + 4] for start in range(4)]
    for audio in (Alone(), Counting()):
        encode = WindowEncoder(SignalFrames(width=8), audio)
        encode(windows[:2]), encode(windows[2:])
        counts.append(audio.count)
    assert counts == [7, 16]


def test_features_that_are_not_finite_name_the_encoder_and_the_second():
    good, bad = torch.ones(3, 4), torch.ones(3, 4)
    bad[2, 1] = torch.nan
    assert find_not_finite(good, good) is None
    assert "visual encoder" in find_not_finite(good, bad) and "second 2" in find_not_finite(good, bad)
    assert "audio encoder" in find_not_finite(bad, good)
