"""A second's feature is the mean of its frames' at unit length, and each video keeps its own seconds."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from avsgn_pyg.features.segments import average, encode_seconds, finite
from avsgn_pyg.features.signal import SignalAudio, SignalFrames


def test_one_frame_is_the_feature_to_the_last_bit():
    frames = torch.randn(2, 3, 1, 4)
    assert torch.equal(average(frames), frames[:, :, 0])


def test_several_frames_are_averaged_and_brought_back_to_unit_length():
    frames = F.normalize(torch.randn(2, 3, 5, 4), dim=-1)
    mean = frames.mean(2)
    torch.testing.assert_close(average(frames), mean / mean.norm(dim=-1, keepdim=True))


def test_videos_together_are_encoded_as_each_alone():
    visual, audio = SignalFrames(width=8, batch_size=4), SignalAudio(width=8, batch_size=4)
    pictures, sound = torch.rand(3, 2, 2, 3, 64, 64), torch.rand(3, 2, 48_000) - 0.5
    heard, seen = encode_seconds(visual, audio, pictures.flatten(0, 2), sound)
    assert heard.shape == seen.shape == (3, 2, 8)
    for video in range(3):
        alone = encode_seconds(visual, audio, pictures[video].flatten(0, 1), sound[video : video + 1])
        torch.testing.assert_close(heard[video], alone[0][0], rtol=0, atol=1e-6)
        torch.testing.assert_close(seen[video], alone[1][0], rtol=0, atol=1e-6)
    assert not torch.allclose(seen[0, 0], seen[1, 0], atol=1e-3)


def test_features_that_are_not_finite_name_the_encoder_and_the_second():
    good, bad = torch.ones(3, 4), torch.ones(3, 4)
    bad[2, 1] = torch.nan
    assert finite(good, good) is None
    assert finite(good, bad) == "the visual encoder answered with NaN or infinity in second 2"
    assert finite(bad, good) == "the audio encoder answered with NaN or infinity in second 2"
