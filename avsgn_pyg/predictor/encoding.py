"""A clip as the features of its windows, in one pass over the file and in memory that does not grow with its length.

Letters: S seconds of the clip, T segments of a window, W windows, k frames a second.

Pictures are encoded once a second. Sound is encoded once a window, as it was when the features of training were
made: an encoder may hear a second in the light of its neighbours. One that says it does not (``each_second_alone``)
hears every second once, which is half the work.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.features.encoder import AudioEncoder, FrameEncoder
from avsgn_pyg.features.media import MediaInfo, Second, probe, read_seconds
from avsgn_pyg.features.segments import average, finite
from avsgn_pyg.predictor.windows import cut, hop, window_starts

#: Seconds whose prepared pictures, and windows whose sound, are kept before they are encoded together.
PICTURES, SOUNDS = 64, 8


@dataclass(frozen=True, eq=False)
class EncodedClip:
    """A clip, ready for the model.

    Attributes:
        audio: [W, T, da] features of every window.
        visual: [W, T, dv] likewise.
        seconds: S, which is less than T where the clip was padded.
        duration: in seconds, not rounded.
        seen: [S] share of the second's pictures that the video really has.
        heard: [S] share of the second that the sound track covers.
        notes: sentences on the file that a reader should see.
    """

    audio: Float[Tensor, "W T da"]
    visual: Float[Tensor, "W T dv"]
    seconds: int
    duration: float
    seen: Float[Tensor, "S"]
    heard: Float[Tensor, "S"]
    notes: tuple[str, ...] = ()


def encode_clip(
    path: Path, frame_encoder: FrameEncoder, audio_encoder: AudioEncoder, *, segments: int, frames_per_segment: int
) -> EncodedClip:
    """Read and encode a clip; one shorter than a window is padded as extraction pads it.

    Args:
        segments: T.
        frames_per_segment: k.

    Raises:
        MediaError: the file cannot be read.
        DataError: an encoder answered with NaN or infinity.
    """
    info = probe(path)
    length = max(info.seconds, segments)
    alone = getattr(audio_encoder, "each_second_alone", False)
    pictures, sounds = _Pictures(frame_encoder), (_Seconds if alone else _Windows)(audio_encoder, segments)
    seen, heard = [], []
    for second in read_seconds(path, frames_per_segment=frames_per_segment, count=length):
        pictures.add(second)
        sounds.add(second)
        seen.append(second.seen.float().mean())
        heard.append(float(second.heard))
    audio, visual = sounds.finish(), cut(pictures.finish(), segments)
    for start, *window in zip(window_starts(length, segments), audio, visual, strict=True):
        problem = finite(*window)
        if problem is not None:
            raise DataError(f"{path}: {problem} of the window from second {start}")
    return EncodedClip(
        audio=audio,
        visual=visual,
        seconds=info.seconds,
        duration=float(info.duration),
        seen=torch.stack(seen)[: info.seconds],
        heard=torch.tensor(heard)[: info.seconds],
        notes=tuple(_notes(info)),
    )


def _notes(info: MediaInfo) -> Iterator[str]:
    if info.breaks_off:
        yield f"the file breaks off: its header states {info.stated:.2f} s, there are {info.duration:.2f}"
    for there, what in ((info.has_video, "picture"), (info.has_audio, "sound")):
        if not there:
            yield f"no {what} in this file: an event, which is heard and seen, can only be guessed"


class _Pictures:
    """Takes seconds one by one and encodes their pictures, some seconds at once."""

    def __init__(self, encoder: FrameEncoder) -> None:
        self.encoder = encoder
        self.waiting: list[Tensor] = []
        self.done: list[Tensor] = []

    def add(self, second: Second) -> None:
        # Prepared at once: the full-size pictures never pile up.
        self.waiting.append(self.encoder.prepare(second.frames))
        if len(self.waiting) == PICTURES:
            self._encode()

    def finish(self) -> Float[Tensor, "S dv"]:
        self._encode()
        return torch.cat(self.done)

    def _encode(self) -> None:
        if self.waiting:
            each = self.encoder.encode_frames(torch.cat(self.waiting))
            self.done.append(average(each.view(1, len(self.waiting), -1, each.shape[-1]))[0])
            self.waiting.clear()


class _Seconds:
    """Takes seconds one by one and encodes the sound of each by itself, some at once."""

    def __init__(self, encoder: AudioEncoder, segments: int) -> None:
        self.encoder = encoder
        self.segments = segments
        self.waiting: list[Tensor] = []
        self.done: list[Tensor] = []

    def add(self, second: Second) -> None:
        self.waiting.append(second.samples)
        if len(self.waiting) == SOUNDS * self.segments:
            self._encode()

    def finish(self) -> Float[Tensor, "W T da"]:
        self._encode()
        return cut(torch.cat(self.done), self.segments)

    def _encode(self) -> None:
        if self.waiting:
            self.done.append(self.encoder.encode_audio(torch.stack(self.waiting)[None])[0])
            self.waiting.clear()


class _Windows:
    """Takes seconds one by one and encodes the sound of every window as it fills, some windows at once."""

    def __init__(self, encoder: AudioEncoder, segments: int) -> None:
        self.encoder = encoder
        self.segments = segments
        self.recent: deque[Tensor] = deque(maxlen=segments)
        self.count = 0
        self.waiting: list[Tensor] = []
        self.done: list[Tensor] = []

    def add(self, second: Second) -> None:
        self.recent.append(second.samples)
        self.count += 1
        if self.count >= self.segments and self._since_a_start() == 0:
            self._take()

    def finish(self) -> Float[Tensor, "W T da"]:
        if self._since_a_start():
            self._take()
        self._encode()
        return torch.cat(self.done)

    def _since_a_start(self) -> int:
        """Seconds that the newest window of full length begins after the last regular start."""
        return (self.count - self.segments) % hop(self.segments)

    def _take(self) -> None:
        self.waiting.append(torch.stack(tuple(self.recent)))
        if len(self.waiting) == SOUNDS:
            self._encode()

    def _encode(self) -> None:
        if self.waiting:
            self.done.append(self.encoder.encode_audio(torch.stack(self.waiting)))
            self.waiting.clear()


def pad(rows: Float[Tensor, "S d"], segments: int) -> Float[Tensor, "S2 d"]:
    """At least `segments` rows: the last one is repeated where features alone are known."""
    return rows if len(rows) >= segments else torch.cat((rows, rows[-1:].expand(segments - len(rows), -1)))
