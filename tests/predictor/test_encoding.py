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
from avsgn_pyg.predictor.encoding import EncodedClip, encode_clip, encode_clips
from avsgn_pyg.predictor.windows import window_starts

SIGNAL = EncoderChoice("signal", {"width": 16})


@pytest.fixture(scope="module")
def encode() -> Callable[..., EncodedClip]:
    visual, audio = make_frame_encoder(SIGNAL, device="cpu"), make_audio_encoder(SIGNAL, device="cpu")

    def run(path: Path, segments: int = 10, audio: object = audio, **reading: object) -> EncodedClip:
        return encode_clip(path, visual, audio, segments=segments, frames_per_segment=2, **reading)

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


def test_a_watcher_gets_every_second_of_the_clip_and_none_of_its_padding(encode, clip) -> None:
    told = []
    encode(clip(3), watch=lambda second, length: told.append((second.index, length)))
    assert told == [(0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize("seconds", [3, 13])
def test_a_window_of_two_features_a_second_is_that_of_extraction_without_padding(clip, seconds: int) -> None:
    path, length = clip(seconds), min(seconds, 10)
    visual, audio = make_frame_encoder(SIGNAL, device="cpu"), make_audio_encoder(SIGNAL, device="cpu")
    found = encode_clip(path, visual, audio, segments=10, frames_per_segment=1, rate=2, padded=False)
    decoded = Reader(seconds, 1, visual.preparation, rate=2)(Video("clip", path)).window()
    starts = window_starts(seconds, length)
    wanted = WindowEncoder(visual, audio, 2)([decoded[2 * start : 2 * (start + length)] for start in starts])
    assert found.seconds == len(found.seen) == len(found.heard) == seconds
    assert found.audio.shape == found.visual.shape == (len(starts), 2 * length, 16)
    for place, (heard, seen) in enumerate(wanted):
        torch.testing.assert_close(found.audio[place], heard, atol=1e-5, rtol=0)
        torch.testing.assert_close(found.visual[place], seen, atol=1e-5, rtol=0)


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


# --- Several clips -------------------------------------------------------------------------------


class Counting(SignalAudio):
    """Counts the windows of every batch, and fails for batches of more than `limit`."""

    def __init__(self, limit: int = 99) -> None:
        super().__init__(width=16)
        self.limit, self.batches = limit, []

    def encode_audio(self, samples: Tensor) -> Tensor:
        self.batches.append(samples.shape[1])
        if samples.shape[1] > self.limit:
            raise RuntimeError("out of memory")
        return super().encode_audio(samples)


def encode_several(paths: list[Path], audio: Counting, **options):
    return list(encode_clips(paths, make_frame_encoder(SIGNAL, device="cpu"), audio, segments=10, frames_per_segment=2,
                             **options))


def same(one: EncodedClip, other: EncodedClip) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("audio", "visual", "seen", "heard"))


@pytest.mark.slow
@pytest.mark.parametrize("limit", [99, 20])
def test_several_clips_in_one_batch_are_encoded_as_each_alone(encode, clip, limit: int) -> None:
    """Also if the batch of several is too large, and each is encoded alone."""
    paths = [clip(3), clip(10), clip(4), clip(13), clip(5), clip(12), clip(6)]
    audio = Counting(limit)
    found = encode_several(paths, audio, together=True)
    assert [path for path, _ in found] == paths
    assert all(same(encoded, encode(path)) for path, encoded in found)
    assert max(audio.batches) > 20


def test_without_together_no_batch_has_two_clips(clip) -> None:
    audio = Counting()
    encode_several([clip(3), clip(13)], audio)
    assert audio.batches == [10, 13]


def test_a_damaged_clip_and_one_left_out_do_not_stop_the_others(encode, clip, tmp_path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    paths = [clip(3), bad, clip(4), clip(5)]
    found = encode_several(paths, Counting(), together=True, skip=lambda path: path == clip(4))
    assert [path for path, _ in found] == paths
    (_, first), (_, second), (_, third), (_, fourth) = found
    assert same(first, encode(clip(3))) and "bad.mp4" in str(second) and third is None and same(fourth, encode(clip(5)))


def test_an_error_of_one_clip_in_a_batch_is_its_own(encode, clip, monkeypatch) -> None:
    original = encoding.read_seconds

    def breaks_off(path: Path, **options):
        for number, second in enumerate(original(path, **options)):
            if path == clip(13) and number == 11:
                raise ValueError("a defect")
            yield second

    monkeypatch.setattr(encoding, "read_seconds", breaks_off)
    (_, first), (_, second), (_, third) = encode_several([clip(3), clip(13), clip(4)], Counting(), together=True)
    assert isinstance(second, ValueError) and isinstance(first, EncodedClip) and isinstance(third, EncodedClip)


@pytest.mark.slow
def test_a_clip_that_cannot_be_encoded_is_read_no_further(clip, monkeypatch) -> None:
    original, read = encoding.read_seconds, []

    def counted(path: Path, **options):
        for second in original(path, **options):
            read.append(second)
            yield second

    monkeypatch.setattr(encoding, "read_seconds", counted)
    monkeypatch.setattr(encoding, "BATCH_SECONDS", 1)
    [(_, error)] = encode_several([clip(20)], Counting(limit=5))
    assert "out of memory" in str(error) and len(read) == 10
