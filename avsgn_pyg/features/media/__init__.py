"""Read a media file as one-second segments of k pictures and 48 kHz mono sound, in one pass and in bounded memory.

Shapes: S seconds, k frames per second, H and W height and width of the picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path

import torch
from av import VideoFrame
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from avsgn_pyg.features.limits import Limits
from avsgn_pyg.features.media.container import MediaError, boundary, check_pixels
from avsgn_pyg.features.media.pictures import BLACK, Pictures, displayed_size
from avsgn_pyg.features.media.sound import RATE, Sound
from avsgn_pyg.features.media.source import Source, end_of, frames, inspect

__all__ = ["RATE", "TOLERANCE", "Clip", "Limits", "MediaError", "MediaInfo", "Second", "probe", "read_seconds", "stack",
           "subdivide"]

# A remainder shorter than this (s) is not a segment: codecs pad their last block, so 10.02 s means ten seconds.
TOLERANCE = 0.1
# A file that is this much (s) shorter than its header states is truncated.
_MISSING = 0.5
# Seconds by which pictures may lag behind sound in the file, or sound behind pictures; later data count as missing.
# This bounds memory.
_LAG = 10


@dataclass(frozen=True)
class MediaInfo:
    """Properties of a media file as a player shows it.

    Attributes:
        duration: seconds from the presentation's start to the end of pictures and sound.
        seconds: number of one-second segments, at least 1; a remainder of up to :data:`TOLERANCE` is not counted.
        width, height: pixels as displayed: upright, with square pixels; 0 without video.
        frame_rate: mean frames per second; 0 without video.
        has_video, has_audio: whether pictures (other than cover art) or sound can be decoded.
        stated: the duration in the header, or `duration` if the header has none.
        notes: sentences on what is unusual about the file.
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
    notes: tuple[str, ...] = ()

    @property
    def breaks_off(self) -> bool:
        """Whether the file ends earlier than its header states, as after an interrupted download or recording."""
        return self.stated > self.duration + _MISSING


@dataclass(frozen=True)
class Second:
    """One segment [index, index + 1) of the presentation, in seconds.

    Attributes:
        frames: [k, H, W, 3] RGB, upright; frame j shows the time index + (j + 0.5) / k, so k = 1 is the middle frame.
        seen: [k] ``False`` if there is no picture at that time: before the video starts, after it ends, or without
            video. The nearest frame is then repeated, or black is used if the file has no frame.
        samples: [48000] mono in [-1, 1]; 0 without sound.
        heard: fraction of the second that the audio track covers, silent or not.
    """

    index: int
    frames: UInt8[Tensor, "k H W 3"]
    seen: Bool[Tensor, "k"]
    samples: Float[Tensor, "48000"]
    heard: float


@dataclass(frozen=True)
class Clip:
    """The seconds of a file, stacked; see :class:`Second`."""

    frames: UInt8[Tensor, "S k H W 3"]
    seen: Bool[Tensor, "S k"]
    samples: Float[Tensor, "S 48000"]
    heard: Float[Tensor, "S"]


def probe(path: Path | str, *, limits: Limits = Limits()) -> MediaInfo:  # noqa: B008
    """Describe a media file from its header, its first frames and its last packets.

    Raises:
        MediaError: no such file, not a media file, nothing in it can be decoded, or it exceeds the limit of pixels or
            the deadline.
    """
    return _info(_inspect(Path(path), limits))


def _inspect(path: Path, limits: Limits) -> Source:
    with boundary(path):
        source = inspect(path, limits)
        check_pixels(path, *reversed(displayed_size(source) or BLACK), limits)
        return source


def _info(source: Source) -> MediaInfo:
    height, width = displayed_size(source) or (0, 0)
    with boundary(source.path):
        end = end_of(source)
    duration = float(end.time)
    stated = duration if source.stated is None or end.jumps else float(source.stated)
    return MediaInfo(
        path=source.path, duration=duration, seconds=max(1, math.ceil(duration - TOLERANCE)), width=width,
        height=height, frame_rate=source.frame_rate, has_video=source.picture is not None,
        has_audio=source.sound is not None, stated=stated,
        notes=(*source.notes, *end.notes),
    )


def read_seconds(
    path: Path | str, *, frames_per_segment: int = 1, start: int = 0, count: int | None = None,
    size: tuple[int, int] | None = None, limits: Limits = Limits(),  # noqa: B008
) -> Iterator[Second]:
    """Read the seconds of a media file one by one; memory does not grow with its length.

    Pictures and sound are read in one pass over the file, which begins at the keyframe before `start`.

    Args:
        frames_per_segment: k, frames per second.
        start: the first second.
        count: number of seconds; those after the end of the file are padded and marked as not seen and not heard.
            Default: all of :attr:`MediaInfo.seconds`.
        size: height and width to scale every frame to; default: as displayed.
        limits: on pixels, seconds to read, and running time without the time that the caller spends between seconds.

    Raises:
        MediaError: when called, as for :func:`probe`, or for more seconds than the limit; later, if the deadline
            passes or the rest of the file cannot be read. A truncated file raises no error later: see
            :attr:`MediaInfo.breaks_off`.
        ValueError: a number is too small.
    """
    for name, value, smallest in (("frames_per_segment", frames_per_segment, 1), ("start", start, 0),
                                  ("count", count or 0, 0), ("size", min(size or (1,)), 1)):
        if value < smallest:
            raise ValueError(f"{name} must be {smallest} or more, got {value}")
    source = _inspect(Path(path), limits)
    stop = _info(source).seconds if count is None else start + count
    if stop - start > limits.seconds:
        raise MediaError(f"{path}: {stop - start} s to read; the limit is {limits.seconds} s")
    pictures = Pictures(source, per_second=frames_per_segment, first=start, size=size)
    return _seconds(source, pictures, Sound(source, first=start), range(start, stop))


def _seconds(source: Source, pictures: Pictures, sound: Sound, wanted: range) -> Iterator[Second]:
    decoded = frames(source, wanted.start)
    for index in wanted:
        with boundary(source.path, f"second {index} "):
            while not _complete(source, pictures, sound, index):
                frame = next(decoded, None)
                if frame is None:
                    sound.flush()
                    pictures.ended = True
                    break
                (pictures if isinstance(frame, VideoFrame) else sound).feed(frame)
            pictures.repeat(index)
            (images, seen), (samples, heard) = pictures.take(), sound.take()
        with source.meter.paused():
            yield Second(index=index, frames=images, seen=seen, samples=samples, heard=heard)


def _complete(source: Source, pictures: Pictures, sound: Sound, index: int) -> bool:
    """Whether a second is complete, or one stream is too far ahead to wait for the other."""
    seen = source.picture is None or pictures.done > index
    heard = source.sound is None or sound.reached >= index + 1
    return (seen and heard) or max(pictures.reached, sound.reached) > index + 1 + _LAG


def subdivide(seconds: Iterable[Second], rate: int) -> Iterator[Second]:
    """Divide each second into `rate` equal parts; with a rate of 1, return the seconds as they are.

    A part has the frames of its time, and the second of sound around its middle: encoders take whole seconds. Before
    the first and after the last of `seconds` there is silence. `index` and `heard` are those of the whole second.

    Args:
        seconds: consecutive ones, with k times `rate` frames each.
    """
    if rate == 1:
        yield from seconds
        return
    before = torch.zeros(RATE)
    for second, following in pairwise(chain(seconds, (None,))):
        after = torch.zeros(RATE) if following is None else following.samples
        sound = torch.cat((before, second.samples, after))
        for part, (images, seen) in enumerate(zip(second.frames.chunk(rate), second.seen.chunk(rate), strict=True)):
            start = RATE // 2 + round((part + 0.5) / rate * RATE)
            yield replace(second, frames=images, seen=seen, samples=sound[start : start + RATE])
        before = second.samples


def stack(seconds: Iterable[Second]) -> Clip:
    """Stack the seconds of one file; ValueError if there are none."""
    found = list(seconds)
    if not found:
        raise ValueError("no seconds to stack; a clip needs one or more")
    return Clip(
        frames=torch.stack([second.frames for second in found]),
        seen=torch.stack([second.seen for second in found]),
        samples=torch.stack([second.samples for second in found]),
        heard=torch.tensor([second.heard for second in found], dtype=torch.float32),
    )
