"""A clip's windows hold what extraction would have made of the same seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.features.encoder import EncoderChoice, make_audio_encoder, make_frame_encoder
from avsgn_pyg.features.media import MediaError, read_seconds, stack
from avsgn_pyg.features.segments import encode_seconds
from avsgn_pyg.features.signal import SignalAudio
from avsgn_pyg.predictor import encoding
from avsgn_pyg.predictor.encoding import EncodedClip, encode_clip, pad
from avsgn_pyg.predictor.windows import window_starts

SIGNAL = EncoderChoice("signal", {"width": 16})


@pytest.fixture(scope="module")
def encode() -> Callable[..., EncodedClip]:
    visual, audio = make_frame_encoder(SIGNAL, device="cpu"), make_audio_encoder(SIGNAL, device="cpu")

    def run(path: Path, segments: int = 10, audio: object = audio) -> EncodedClip:
        return encode_clip(path, visual, audio, segments=segments, frames_per_segment=2)

    return run


def extracted(path: Path, start: int, segments: int = 10) -> tuple[Tensor, Tensor]:
    """Features of one window, as extraction makes those of a video."""
    visual, audio = make_frame_encoder(SIGNAL, device="cpu"), make_audio_encoder(SIGNAL, device="cpu")
    window = list(read_seconds(path, frames_per_segment=2, count=start + segments))[start:]
    clip = stack(window)
    heard, seen = encode_seconds(visual, audio, visual.prepare(clip.frames.flatten(0, 1)), clip.samples[None])
    return heard[0], seen[0]


@pytest.mark.parametrize("seconds", [3, 10, 13])
def test_a_window_is_what_extraction_makes_of_its_seconds(encode, clip, seconds: int) -> None:
    path = clip(seconds)
    found = encode(path)
    starts = window_starts(seconds, 10)
    assert found.audio.shape == found.visual.shape == (len(starts), 10, 16)
    assert found.seconds == len(found.seen) == len(found.heard) == seconds
    for place, start in enumerate(starts):
        audio, visual = extracted(path, start)
        torch.testing.assert_close(found.audio[place], audio, atol=1e-5, rtol=0)
        torch.testing.assert_close(found.visual[place], visual, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("seconds", "segments"), [(13, 4), (13, 1), (10, 3), (3, 2)])
def test_chunks_do_not_show(encode, clip, monkeypatch, seconds: int, segments: int) -> None:
    at_once = encode(clip(seconds), segments)
    monkeypatch.setattr(encoding, "PICTURES", 3)
    monkeypatch.setattr(encoding, "SOUNDS", 2)
    in_parts = encode(clip(seconds), segments)
    assert len(at_once.audio) == len(window_starts(seconds, segments))
    torch.testing.assert_close(in_parts.audio, at_once.audio)
    torch.testing.assert_close(in_parts.visual, at_once.visual)


def test_a_window_of_sound_is_heard_whole(encode, clip) -> None:
    """An encoder that hears a second in the light of its neighbours gets the neighbours of its window."""

    class Counting(SignalAudio):
        each_second_alone = False

        def encode_audio(self, samples: Tensor) -> Tensor:
            return samples.square().sum(-1).cumsum(1)[..., None]

    found = encode(clip(13), audio=Counting())
    for place, start in enumerate(window_starts(13, 10)):
        samples = stack(list(read_seconds(clip(13), count=13))[start : start + 10]).samples
        torch.testing.assert_close(found.audio[place, :, 0], samples.square().sum(-1).cumsum(0), rtol=1e-3, atol=1)


def test_an_encoder_that_hears_seconds_alone_hears_each_once(encode, clip, monkeypatch) -> None:
    heard = []

    class Alone(SignalAudio):
        def encode_audio(self, samples: Tensor) -> Tensor:
            heard.append(samples.shape[0] * samples.shape[1])
            return super().encode_audio(samples)

    class Together(SignalAudio):
        each_second_alone = False

    wanted = encode(clip(13), 4, audio=Together(width=16))
    monkeypatch.setattr(encoding, "SOUNDS", 2)
    found = encode(clip(13), 4, audio=Alone(width=16))
    assert sum(heard) == 13 and len(heard) == 2
    torch.testing.assert_close(found.audio, wanted.audio)


def test_missing_tracks_are_marked_and_told(encode, clip) -> None:
    silent, dark = encode(clip(3, sound=False)), encode(clip(3, picture=False))
    assert silent.heard.tolist() == [0, 0, 0] and silent.seen.tolist() == [1, 1, 1]
    assert dark.seen.tolist() == [0, 0, 0] and min(dark.heard) > 0.9
    assert "no sound in this file" in silent.notes[0]
    assert "no picture in this file" in dark.notes[0]
    assert encode(clip(3)).notes == ()


def test_a_file_that_is_no_clip_is_named(encode, tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    with pytest.raises(MediaError, match=r"text\.mp4"):
        encode(path)


def test_an_answer_that_is_no_number_is_refused(encode, clip) -> None:
    class Broken(SignalAudio):
        def encode_audio(self, samples: Tensor) -> Tensor:
            return torch.full((*samples.shape[:2], 1), torch.nan)

    with pytest.raises(DataError, match=r"clip3\.mp4: the audio encoder answered with NaN"):
        encode(clip(3), audio=Broken())


def test_features_are_padded_with_their_last_second() -> None:
    rows = torch.rand(3, 4)
    assert torch.equal(pad(rows, 5), torch.cat((rows, rows[2:], rows[2:])))
    assert pad(rows, 3) is rows
