"""Reading processes return what the caller's own would; a bad video fails alone."""

from __future__ import annotations

import errno
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from avsgn_pyg.common.errors import ExtractionError
from avsgn_pyg.common.pool import Pool, PoolError
from avsgn_pyg.features.extraction import read
from avsgn_pyg.features.extraction.contents import Encoded
from avsgn_pyg.features.extraction.engine import LocalEngine, Results, batch_decoded
from avsgn_pyg.features.extraction.read import Decoded, Reader
from avsgn_pyg.features.extraction.videos import Failure, Flags, Video
from avsgn_pyg.features.media import MediaError
from avsgn_pyg.features.signal import Shrink, SignalAudio, SignalFrames


def run(engine: LocalEngine, videos: Sequence[Video]) -> Results:
    return {key: result for results in engine.run(videos) for key, result in results.items()}


#: A module that other processes find too, along the search path that they inherit.
DEADLY = """
import os
from avsgn_pyg.features.signal import Shrink

class Deadly(Shrink):
    def __call__(self, frames):
        if frames.shape[2] == 80:
            os.kill(os.getpid(), 11)
        return super().__call__(frames).bfloat16()
"""


class Frames(SignalFrames):
    def encode_frames(self, prepared: Tensor) -> Tensor:
        assert prepared.dtype == torch.bfloat16
        return super().encode_frames(prepared.float())


@pytest.mark.slow
def test_processes_encode_as_the_caller_would_and_a_crash_costs_its_own_video(
    root: Path, make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    (root / "deadly_preparation.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(root)
    reader = Reader(2, 2, importlib.import_module("deadly_preparation").Deadly(64))
    encoders = Frames(width=16, batch_size=4), SignalAudio(width=16)
    videos = [Video.at(path.stem, path) for path in sorted((root / "videos").iterdir())]
    wanted = run(LocalEngine(*encoders, reader, workers=0), videos)
    make_clip(root / "videos" / "deadly.mp4", seconds=2.0, size=(80, 48))
    videos.insert(1, Video("deadly", root / "videos" / "deadly.mp4"))
    results = run(LocalEngine(*encoders, reader, workers=2), videos)
    deadly = results.pop("deadly")
    assert deadly.retryable and "process died" in deadly.reason
    assert results["bad"] == wanted["bad"] and not results["bad"].retryable
    assert results["short"].flags == Flags(unheard=1, unseen=1, padded=1)
    assert set(results) == set(wanted)
    for key in ("a", "b", "c", "short"):
        assert torch.equal(results[key].audio, wanted[key].audio)
        assert torch.equal(results[key].visual, wanted[key].visual)


def test_processes_that_cannot_start_are_an_error_with_a_way_out(root: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise PoolError("no process")

    monkeypatch.setattr(Pool, "run", refuse)
    with pytest.raises(ExtractionError, match=r"no process.*--workers 0"):
        run(LocalEngine(SignalFrames(width=16), SignalAudio(width=16), Reader(2, 2, Shrink(64)), workers=1), [])


@pytest.mark.parametrize(("error", "retryable"), [
    (OSError(errno.EIO, "Input/output error"), True), (MemoryError(), True), (ValueError("odd"), False),
    (PermissionError(errno.EACCES, "Permission denied"), False), (OSError(errno.ESTALE, "Stale"), True),
])
def test_a_failure_of_the_machine_differs_from_one_of_the_file(
    root: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, retryable: bool
):
    def read_seconds(path: Path, **_: object) -> None:
        try:
            raise error
        except Exception as cause:
            raise MediaError(f"{path}: cannot be read") from cause

    monkeypatch.setattr(read, "read_seconds", read_seconds)
    assert Reader(1, 1, Shrink(8))(Video("a", root / "videos" / "a.mp4")).retryable is retryable
    assert Reader(1, 1, Shrink(8))(Video("a", root / "videos" / "gone.mp4")).retryable is True


def test_features_that_are_not_finite_are_a_failure(root: Path):
    class Broken(SignalAudio):
        def encode_audio(self, samples: Tensor) -> Tensor:
            return super().encode_audio(samples).index_fill(1, torch.tensor([1]), np.nan)

    engine = LocalEngine(SignalFrames(width=16, batch_size=4), Broken(width=16), Reader(2, 1, Shrink(64)), workers=0)
    results = run(engine, [Video("a", root / "videos" / "a.mp4")])
    assert not isinstance(results["a"], Encoded) and "audio encoder" in results["a"].reason


def test_a_video_that_an_encoder_cannot_take_fails_alone(root: Path):
    class Choosy(SignalAudio):
        def encode_audio(self, samples: Tensor) -> Tensor:
            if samples[..., :14400].abs().amax(-1).eq(0).any():
                raise MemoryError
            return super().encode_audio(samples)

    engine = LocalEngine(SignalFrames(width=16), Choosy(width=16), Reader(2, 1, Shrink(64)), workers=0)
    videos = [Video(name, root / "videos" / f"{name}.mp4") for name in "abc"]  # c begins with 0.4 s of silence
    results = next(engine.run(videos))
    assert [isinstance(results[name], Encoded) for name in "abc"] == [True, True, False]
    assert results["c"].reason == "MemoryError" and results["c"].retryable


def test_failures_do_not_change_which_videos_are_encoded_together():
    videos = [Video(name, Path(name)) for name in "abcdef"]
    decoded = Decoded(np.zeros((1, 1, 1), np.uint8), torch.float32, np.zeros((1, 48_000), np.float32), Flags())
    results = [(video, Failure(video.id, (), "damaged") if video.id in "acd" else decoded) for video in videos]
    batches = [[video.id for video, result in batch if result is decoded] for batch in batch_decoded(results, 2)]
    assert [batch for batch in batches if batch] == [["b", "e"], ["f"]]
    assert sum(map(len, batch_decoded(results, 2))) == len(videos)
