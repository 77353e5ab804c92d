"""A clip's windows hold what extraction would have made of the same seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.features.encode import WindowEncoder
from avsgn_pyg.features.encoder import EncoderChoice, make_audio_encoder, make_frame_encoder
from avsgn_pyg.features.extraction.read import Reader
from avsgn_pyg.features.extraction.videos import Video
from avsgn_pyg.features.signal import SignalAudio
from avsgn_pyg.predictor import encoding
from avsgn_pyg.predictor.encoding import EncodedClip, encode_clip
from avsgn_pyg.predictor.windows import window_starts

SIGNAL = EncoderChoice("signal", {"width": 16})


@pytest.fixture(scope="module")
def encode() -> Callable[..., EncodedClip]:
    visual, audio = make_frame_encoder(SIGNAL, device="cpu"), make_audio_encoder(SIGNAL, device="cpu")

    def run(path: Path, segments: int = 10, audio: object = audio) -> EncodedClip:
        return encode_clip(path, visual, audio, segments=segments, frames_per_segment=2)

    return run


@pytest.mark.parametrize("seconds", [3, 10, 13])
def test_a_window_is_what_extraction_makes_of_its_seconds(encode, clip, seconds: int) -> None:
    path, starts = clip(seconds), window_starts(seconds, 10)
    found = encode(path)
    visual, audio = make_frame_encoder(SIGNAL, device="cpu"), make_audio_encoder(SIGNAL, device="cpu")
    decoded = Reader(starts[-1] + 10, 2, visual.preparation)(Video("clip", path)).window()
    wanted = WindowEncoder(visual, audio)([decoded[start : start + 10] for start in starts])
    assert found.audio.shape == found.visual.shape == (len(starts), 10, 16)
    assert found.seconds == len(found.seen) == len(found.heard) == seconds
    for place, (heard, seen) in enumerate(wanted):
        torch.testing.assert_close(found.audio[place], heard, atol=1e-5, rtol=0)
        torch.testing.assert_close(found.visual[place], seen, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("seconds", "segments"), [(13, 4), (10, 3)])
def test_batches_change_nothing(encode, clip, monkeypatch, seconds: int, segments: int) -> None:
    at_once = encode(clip(seconds), segments)
    monkeypatch.setattr(encoding, "BATCH_SECONDS", 3)
    in_parts = encode(clip(seconds), segments)
    assert len(at_once.audio) == len(window_starts(seconds, segments))
    torch.testing.assert_close(in_parts.audio, at_once.audio)
    torch.testing.assert_close(in_parts.visual, at_once.visual)


def test_missing_tracks_are_reported(encode, clip) -> None:
    silent, dark = encode(clip(3, sound=False)), encode(clip(3, picture=False))
    assert silent.heard.tolist() == [0, 0, 0] and silent.seen.tolist() == [1, 1, 1]
    assert dark.seen.tolist() == [0, 0, 0] and min(dark.heard) > 0.9
    assert "no sound in this file" in silent.notes[0]
    assert "no picture in this file" in dark.notes[0]
    assert encode(clip(3)).notes == ()


def test_features_that_are_not_finite_are_refused(encode, clip) -> None:
    class Broken(SignalAudio):
        def encode_audio(self, samples: Tensor) -> Tensor:
            return torch.full((*samples.shape[:2], 1), torch.nan)

    with pytest.raises(DataError, match=r"clip3\.mp4: the audio encoder"):
        encode(clip(3), audio=Broken())
