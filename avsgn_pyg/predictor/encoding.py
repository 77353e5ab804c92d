"""Encode clips of any length as the features of their windows, in one pass over each file and in bounded memory.

Shapes: S seconds of the clip, W windows of T seconds with R features a second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.features.encode import Segment, WindowEncoder, find_not_finite
from avsgn_pyg.features.encoder import AudioEncoder, FrameEncoder
from avsgn_pyg.features.media import Limits, MediaInfo, Second, probe, read_seconds, subdivide
from avsgn_pyg.predictor.windows import hop, window_starts

#: Seconds that are encoded together.
BATCH_SECONDS = 64

Watch = Callable[[Second, int], None]


@dataclass(frozen=True, eq=False)
class EncodedClip:
    """A clip, ready for the model.

    Attributes:
        audio, visual: features of every window.
        seconds: S; less than T if the clip is shorter than a window.
        duration: in seconds, not rounded.
        seen: share of the second's pictures that the video really has.
        heard: share of the second that the sound track covers.
        notes: sentences about the file for the user.
    """

    audio: Float[Tensor, "W TR da"]
    visual: Float[Tensor, "W TR dv"]
    seconds: int
    duration: float
    seen: Float[Tensor, "S"]
    heard: Float[Tensor, "S"]
    notes: tuple[str, ...] = ()


def encode_clip(
    path: Path, frame_encoder: FrameEncoder, audio_encoder: AudioEncoder, **reading: Any,
) -> EncodedClip:
    """Read a clip and encode its windows; `reading` are `segments` to `limits`, and `watch`, of :func:`encode_clips`.

    Raises:
        MediaError: the file cannot be read, or exceeds a limit.
        DataError: an encoder returned NaN or infinity.
    """
    [(_, encoded)] = encode_clips([path], frame_encoder, audio_encoder, **reading)
    if isinstance(encoded, Exception):
        raise encoded
    return encoded


def encode_clips(
    paths: Iterable[Path], frame_encoder: FrameEncoder, audio_encoder: AudioEncoder, *, segments: int,
    frames_per_segment: int, rate: int = 1, padded: bool = True, limits: Limits = Limits(),  # noqa: B008
    together: bool = False, skip: Callable[[Path], bool] = lambda path: False, watch: Watch | None = None,
) -> Iterator[tuple[Path, EncodedClip | Exception | None]]:
    """Read clips one after the other and encode their windows in batches of :data:`BATCH_SECONDS`.

    Args:
        segments: T, seconds of a window.
        frames_per_segment: pictures of each feature.
        rate: R.
        padded: whether a clip shorter than a window is padded, as in extraction, or has one shorter window.
        limits: on reading one file.
        together: put windows of several clips into one batch; where that fails, each clip is encoded alone.
        skip: whether a clip is left out; called before it is read.
        watch: is called with every second that was read, and the number of seconds to read.

    Yields:
        Every path, in order, with its features, the error that it met, or ``None`` if it was left out.
    """
    encode, size = WindowEncoder(frame_encoder, audio_encoder, rate), max(1, BATCH_SECONDS // hop(segments))
    clips: deque[_Clip] = deque()
    waiting: list[tuple[_Clip, list[Segment]]] = []
    for path in paths:
        clips.append(clip := _Clip(path))
        try:
            if not skip(path):
                found = clip.windows(frame_encoder, segments, frames_per_segment, rate, padded, limits, watch)
                for window in found:
                    waiting.append((clip, window))
                    if len(waiting) == size:
                        _encode(waiting, encode)
                    if clip.error is not None:  # the rest of it would be read in vain
                        break
        except Exception as error:  # of one file: the others go on
            clip.error = error
        if not together:
            _encode(waiting, encode)
        while clips and not any(clips[0] is other for other, _ in waiting):
            yield clips[0].path, clips.popleft().result()
    _encode(waiting, encode)
    for clip in clips:
        yield clip.path, clip.result()


def _encode(waiting: list[tuple[_Clip, list[Segment]]], encode: WindowEncoder) -> None:
    """Encode the windows that wait and give each clip its features; of a clip that failed, they are dropped."""
    windows = [(clip, window) for clip, window in waiting if clip.error is None]
    waiting.clear()
    clips = list({id(clip): clip for clip, _ in windows}.values())
    try:
        found = encode([window for _, window in windows]) if windows else []
    except Exception as error:
        if len(clips) == 1:
            clips[0].error = error
            return
        for clip in clips:
            _encode([(other, window) for other, window in windows if other is clip], encode)
        return
    for (clip, _), features in zip(windows, found, strict=True):
        clip.features.append(features)


class _Clip:
    """A clip while it is read and encoded."""

    def __init__(self, path: Path) -> None:
        self.path, self.error, self.info, self.rate = path, None, None, 1
        self.starts, self.seen, self.heard = [], [], []
        self.features: list[tuple[Tensor, Tensor]] = []

    def windows(self, frame_encoder: FrameEncoder, segments: int, frames_per_segment: int, rate: int, padded: bool,
                limits: Limits, watch: Watch | None) -> Iterator[list[Segment]]:
        """Read the file, and yield its windows."""
        self.info, self.rate = probe(self.path, limits=limits), rate
        segments = segments if padded else min(segments, self.info.seconds)
        length = max(self.info.seconds, segments)
        self.starts = window_starts(length, segments)
        ends, recent = {start + segments for start in self.starts}, deque(maxlen=segments * rate)
        more = int(rate > 1)  # the sound of the last parts reaches into the next second
        limits = replace(limits, seconds=limits.seconds + more)
        seconds = read_seconds(self.path, frames_per_segment=frames_per_segment * rate, count=length + more,
                               limits=limits)
        seconds = seconds if watch is None else _watched(seconds, self.info.seconds, watch)
        for count, part in enumerate(islice(subdivide(seconds, rate), length * rate), start=1):
            self.seen.append(part.seen.float().mean())
            self.heard.append(float(part.heard))
            # Prepared at once: few full-size pictures are held.
            recent.append(Segment(frame_encoder.preparation(part.frames), part.samples))
            if count % rate == 0 and count // rate in ends:
                yield list(recent)

    def result(self) -> EncodedClip | Exception | None:
        """Return the features, the error, or ``None`` for a clip that was left out."""
        if self.error is not None or self.info is None:
            return self.error
        for start, (audio, visual) in zip(self.starts, self.features, strict=True):
            problem = find_not_finite(audio, visual)
            if problem is not None:
                return DataError(f"{self.path}: {problem} of the window from second {start}")
        audio, visual = map(torch.stack, zip(*self.features, strict=True))
        return EncodedClip(
            audio=audio,
            visual=visual,
            seconds=self.info.seconds,
            duration=float(self.info.duration),
            seen=torch.stack(self.seen).view(-1, self.rate).mean(1)[: self.info.seconds],
            heard=torch.tensor(self.heard)[:: self.rate][: self.info.seconds],
            notes=tuple(_notes(self.info)),
        )


def _watched(seconds: Iterable[Second], count: int, watch: Watch) -> Iterator[Second]:
    """Show the first `count` seconds, which are not padding, to `watch`."""
    for second in seconds:
        if second.index < count:
            watch(second, count)
        yield second


def _notes(info: MediaInfo) -> Iterator[str]:
    yield from info.notes
    if info.breaks_off:
        yield f"the file ends early: its header states {info.stated:.2f} s, there are {info.duration:.2f}"
    for present, what in ((info.has_video, "picture"), (info.has_audio, "sound")):
        if not present:
            yield f"no {what} in this file: an event, which is heard and seen, can only be guessed"


def pad(rows: Float[Tensor, "S d"], segments: int) -> Float[Tensor, "S2 d"]:
    """Return at least `segments` rows, by repeating the last one."""
    return rows if len(rows) >= segments else torch.cat((rows, rows[-1:].expand(segments - len(rows), -1)))
