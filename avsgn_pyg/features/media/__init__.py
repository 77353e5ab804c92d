"""A media file as one-second segments: k pictures and 48 kHz mono sound each, in one pass, in bounded memory.

Letters: S seconds, k frames a second, H and W the picture's height and width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from avsgn_pyg.features.media.container import MediaError, Source, end, frames, look, opened, seek
from avsgn_pyg.features.media.pictures import Screen, displayed_size
from avsgn_pyg.features.media.sound import RATE, Track

__all__ = ["RATE", "TOLERANCE", "Clip", "MediaError", "MediaInfo", "Second", "probe", "read_seconds", "stack"]

# A last piece shorter than this (s) is no segment: encoders fill up their last block, and 10.02 s are ten seconds.
TOLERANCE = 0.1
# A header that states this much (s) more than there is speaks of a file that breaks off.
_MISSING = 0.5
# The seconds that picture or sound may lag behind the other in the file before it is taken for silent: bounds memory.
_LAG = 10
# From this second on, seeking costs less than decoding up to it.
_WORTH_SEEKING = 3


@dataclass(frozen=True)
class MediaInfo:
    """What a media file holds, as it is displayed.

    Attributes:
        duration: seconds from the presentation's start to where picture and sound have ended.
        seconds: one-second segments; a last piece of up to :data:`TOLERANCE` is not counted, one segment always is.
        width, height: pixels as displayed: upright, with square pixels; 0 without video.
        frame_rate: mean frames a second; 0 without video.
        has_video, has_audio: there is a picture (no cover) or sound that can be decoded.
        stated: the duration that the header states; the same as `duration` where it does not.
    """

    path: Path
    duration: float
    seconds: int
    width: int
    height: int
    frame_rate: float
    has_video: bool
    has_audio: bool
    stated: float

    @property
    def breaks_off(self) -> bool:
        """The file ends before its header says: a download or a recording that was cut."""
        return self.stated > self.duration + _MISSING


@dataclass(frozen=True)
class Second:
    """One segment [index, index + 1) of the presentation, in seconds.

    Attributes:
        frames: [k, H, W, 3] RGB, upright; frame j shows the time index + (j + 0.5) / k, so k = 1 is the middle frame.
        seen: [k] ``False`` where there is no picture at that time: before it starts, after it ends, without a video
            track. The nearest frame stands there, or black if there is none at all.
        samples: [48000] mono in [-1, 1]; 0 where there is no sound.
        heard: share of the second that the sound track covers, silent or not.
    """

    index: int
    frames: UInt8[Tensor, "k H W 3"]
    seen: Bool[Tensor, "k"]
    samples: Float[Tensor, "48000"]
    heard: float


@dataclass(frozen=True)
class Clip:
    """Seconds side by side; see :class:`Second`.

    Attributes:
        frames: [S, k, H, W, 3].
        seen: [S, k].
        samples: [S, 48000].
        heard: [S].
    """

    frames: UInt8[Tensor, "S k H W 3"]
    seen: Bool[Tensor, "S k"]
    samples: Float[Tensor, "S 48000"]
    heard: Float[Tensor, "S"]


def probe(path: Path | str) -> MediaInfo:
    """What a media file holds; reads its header, its first frames and its last packets.

    Raises:
        MediaError: no such file, no media file, or nothing in it can be decoded.
    """
    return _info(look(Path(path)))


def _info(source: Source) -> MediaInfo:
    height, width = displayed_size(source) or (0, 0)
    duration = float(end(source))
    return MediaInfo(
        path=source.path,
        duration=duration,
        seconds=max(1, math.ceil(duration - TOLERANCE)),
        width=width,
        height=height,
        frame_rate=source.frame_rate,
        has_video=source.video is not None,
        has_audio=source.audio is not None,
        stated=duration if source.stated is None else float(source.stated),
    )


def read_seconds(
    path: Path | str,
    *,
    frames_per_segment: int = 1,
    start: int = 0,
    count: int | None = None,
    size: tuple[int, int] | None = None,
    threads: int = 1,
) -> Iterator[Second]:
    """The seconds of a media file one by one; memory does not grow with its length.

    Picture and sound come from one pass over the file, which starts at the keyframe before `start`.

    Args:
        frames_per_segment: k, frames a second.
        start: the first second.
        count: how many seconds; those past the file's end come marked as not seen and not heard. ``None``: all that
            :attr:`MediaInfo.seconds` counts.
        size: height and width to scale every frame to; default: as displayed.
        threads: decoding threads a stream; 0 leaves it to FFmpeg.

    Raises:
        MediaError: at the call, as :func:`probe`. A file that breaks off later raises nothing: see
            :attr:`MediaInfo.breaks_off`.
        ValueError: a number below what makes sense.
    """
    least = {"frames_per_segment": (frames_per_segment, 1), "start": (start, 0), "count": (count or 0, 0)}
    least |= {"threads": (threads, 0), "size": (min(size or (1,)), 1)}
    for name, (value, smallest) in least.items():
        if value < smallest:
            raise ValueError(f"{name}={value}; it must be {smallest} or more")
    source = look(Path(path))
    stop = _info(source).seconds if count is None else start + count
    screen = Screen(source, per_second=frames_per_segment, first=start, size=size)
    return _seconds(source, screen, range(start, stop), threads)


def _seconds(source: Source, screen: Screen, wanted: range, threads: int) -> Iterator[Second]:
    track = Track(source, first=wanted.start)
    index = wanted.start
    for frame in _decoded(source, wanted, threads):
        (screen if isinstance(frame, VideoFrame) else track).feed(frame)
        while index < wanted.stop and _ready(source, screen, track, index):
            screen.pass_by(index)
            yield _second(index, screen, track)
            index += 1
        if index == wanted.stop:
            return
    track.close()
    for last in range(index, wanted.stop):
        screen.close(last)
        yield _second(last, screen, track)


def _second(index: int, screen: Screen, track: Track) -> Second:
    images, seen = screen.take()
    samples, heard = track.take()
    return Second(index=index, frames=images, seen=seen, samples=samples, heard=heard)


def _ready(source: Source, screen: Screen, track: Track, index: int) -> bool:
    """Whether nothing more is to come for a second, or one of the two has run too far ahead to wait for the other."""
    seen = source.video is None or screen.done > index
    heard = source.audio is None or track.done > index
    return (seen and heard) or max(screen.reached, track.reached) > index + 1 + _LAG


def _decoded(source: Source, wanted: range, threads: int) -> Iterator[VideoFrame | AudioFrame]:
    """Frames from a keyframe before the first second that is wanted, where the file has one, to the end."""
    if not wanted:
        return
    if wanted.start >= _WORTH_SEEKING:
        with opened(source.path) as container:
            if seek(container, source, wanted.start):
                yield from (frame for _, frame in frames(container, source.streams, threads=threads))
                return
    with opened(source.path) as container:
        yield from (frame for _, frame in frames(container, source.streams, threads=threads))


def stack(seconds: Iterable[Second]) -> Clip:
    """Seconds of one file, side by side.

    Raises:
        ValueError: no second.
    """
    found = list(seconds)
    if not found:
        raise ValueError("no seconds to stack; a clip has one or more")
    return Clip(
        frames=torch.stack([second.frames for second in found]),
        seen=torch.stack([second.seen for second in found]),
        samples=torch.stack([second.samples for second in found]),
        heard=torch.tensor([second.heard for second in found], dtype=torch.float32),
    )
