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

    def run(path: Path, segments: int = 10, audio: object = audio, **reading: object) -> EncodedClip:
        return encode_clip(path, visual, audio, segments=segments, frames_per_segment=2, **reading)

    return run


@pytest.mark.parametrize(("seconds", "rate", "padded"), [(3, 1, True), (10, 1, True), (13, 1, True), (3, 2, False),
                                                         (13, 2, False)])
def test_a_window_is_what_extraction_makes_of_its_seconds(encode, clip, seconds: int, rate: int, padded: bool) -> None:
    path, length = clip(seconds), 10 if padded else min(seconds, 10)
    starts = window_starts(seconds, length)
    found = encode(path, rate=rate, padded=padded)
    visual, audio = make_frame_encoder(SIGNAL, device="cpu"), make_audio_encoder(SIGNAL, device="cpu")
    decoded = Reader(starts[-1] + length, 2, visual.preparation, rate=rate)(Video("clip", path)).window()
    wanted = WindowEncoder(visual, audio, rate)([decoded[rate * start : rate * (start + length)] for start in starts])
    assert found.seconds == len(found.seen) == len(found.heard) == seconds
    for part, rows in ((found.audio, [heard for heard, _ in wanted]), (found.visual, [seen for _, seen in wanted])):
        torch.testing.assert_close(part, torch.stack(rows), atol=1e-5, rtol=0)


def test_a_watcher_gets_every_second_of_the_clip_and_none_of_its_padding(encode, clip) -> None:
    told = []
    encode(clip(3), watch=lambda second, length: told.append((second.index, length)))
    assert told == [(0, 3), (1, 3), (2, 3)]


@pytest.mark.slow
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


def test_a_clip_that_cannot_be_encoded_is_read_no_further(encode, clip, monkeypatch) -> None:
    class Small(SignalAudio):
        def encode_audio(self, samples: Tensor) -> Tensor:
            raise RuntimeError("out of memory")

    original, read = encoding.read_seconds, []
    monkeypatch.setattr(encoding, "read_seconds", lambda path, **options: (
        read.append(second) or second for second in original(path, **options)))
    monkeypatch.setattr(encoding, "BATCH_SECONDS", 1)
    with pytest.raises(RuntimeError, match="out of memory"):
        encode(clip(20), audio=Small())
    assert len(read) == 10
