"""Open a media file: its streams, the start and end of its time, its packets and frames, and errors that name it.

Times are seconds since the start of the presentation, as exact fractions: pts * time base - start.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from time import monotonic

import av
from av import AudioFrame, FFmpegError, Packet, VideoFrame
from av.container import InputContainer
from av.stream import Disposition, Stream

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.features.limits import Limits

# Containers whose header states the duration; elsewhere FFmpeg measures or guesses it.
_STATED = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv", "asf", "wav"}
# FFmpeg renders text files as video.
_TEXT_ART = {"tty", "bin", "xbin", "adf", "idf"}
_COVERS = Disposition.attached_pic | Disposition.timed_thumbnails
# Seconds before the wanted time to seek to: enough for an audio decoder to settle, then for rarer keyframes.
_MARGINS = (1, 8, 64)
# From this second on, seeking costs less than decoding up to it.
_WORTH_SEEKING = 3


class MediaError(DataError):
    """A media file that cannot be read; the message begins with its path."""


class Meter:
    """The time that the reader has taken for one file, from now on and except while it is paused.

    Raises:
        MediaError: by :meth:`check`, after the deadline.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path, self.limits, self.begun = path, limits, monotonic()

    def check(self) -> None:
        if monotonic() - self.begun > self.limits.deadline:
            raise MediaError(f"{self.path}: reading it takes longer than the deadline of {self.limits.deadline:g} s")

    @contextmanager
    def paused(self) -> Iterator[None]:
        stopped = monotonic()
        yield
        self.begun += monotonic() - stopped


@dataclass(frozen=True)
class Source:
    """The decodable streams of a file, and its clock.

    Attributes:
        streams: their indices, video first.
        picture, sound: the first frame of video and of audio; ``None`` if none can be decoded.
        start: the presentation's start on the file's own clock.
        stated, video_end: the ends of file and video that the header states, or ``None``.
        frame_rate: mean frames per second; 0 without video.
        pixel_aspect: width of a pixel over its height.
        meter: of the time that this file may take.
    """

    path: Path
    streams: Sequence[int]
    picture: VideoFrame | None
    sound: AudioFrame | None
    start: Fraction
    stated: Fraction | None
    video_end: Fraction | None
    frame_rate: float
    pixel_aspect: Fraction
    meter: Meter


@contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """Open a media file for reading; errors of the system and of FFmpeg become a MediaError."""
    try:
        if path.exists() and not path.is_file():
            raise MediaError(f"{path}: a folder or device, not a media file")
        if path.is_file() and not path.stat().st_size:
            raise MediaError(f"{path}: the file is empty")
        # "file:" keeps a colon in the name from being read as a protocol.
        container = av.open(f"file:{path}", metadata_errors="replace")
    except (OSError, FFmpegError) as error:
        denied = "no permission to read it"
        known = {errno.ENOENT: "no such file", errno.EACCES: denied, errno.EPERM: denied}
        damaged = f"not a media file, or damaged or cut short before its index ({error.strerror or error})"
        raise MediaError(f"{path}: {known.get(error.errno, damaged)}") from error
    with container:
        if container.format.name in _TEXT_ART:
            raise MediaError(f"{path}: text, not a media file")
        yield container


def inspect(path: Path, limits: Limits) -> Source:
    """Open a file and decode the first frame of its video and of its audio.

    Raises:
        MediaError: not a media file, no stream of it can be decoded, or it exceeds a limit.
    """
    meter = Meter(path, limits)
    with open_media(path) as container:
        streams = _best_streams(container)
        for stream in streams:
            if stream.type == "video":
                check_pixels(path, stream.codec_context.width, stream.codec_context.height, limits)
        first: dict[str, VideoFrame | AudioFrame] = {}
        for packet in packets(container, [stream.index for stream in streams], meter) if streams else ():
            kind = packet.stream.type
            if kind not in first and (decoded := decode(packet)):
                first[kind] = decoded[0]
            if len(first) == len(streams):
                break
        if not first:
            named = ", ".join(f"{stream.type} {stream.codec_context.name}" for stream in streams)
            raise MediaError(f"{path}: nothing in it can be decoded ({named or 'no picture and no sound'})")
        streams = [stream for stream in streams if stream.type in first]
        video = next((stream for stream in streams if stream.type == "video"), None)
        start = Fraction(container.start_time or 0, av.time_base)
        stated = container.duration if container.format.name in _STATED else None
        return Source(
            path=path, streams=[stream.index for stream in streams],
            picture=first.get("video"), sound=first.get("audio"), start=start,
            stated=_stated_end(streams, start) or (stated and Fraction(stated, av.time_base)),
            video_end=video and _stated_end([video], start),
            frame_rate=float(video.average_rate or video.guessed_rate or 0) if video else 0.0,
            pixel_aspect=(video and video.sample_aspect_ratio) or Fraction(1), meter=meter,
        )


def _best_streams(container: InputContainer) -> list[Stream]:
    """Return the best video stream that is no cover picture, and the best audio stream."""
    usable = [stream for stream in container.streams
              if stream.codec_context is not None and not stream.disposition & _COVERS]
    best = {kind: container.streams.best(kind) for kind in ("video", "audio")}
    first = {stream.type: stream for stream in reversed(usable)}
    return [stream if stream in usable else first[kind] for kind, stream in best.items() if kind in first]


def _stated_end(streams: Sequence[Stream], start: Fraction) -> Fraction | None:
    """Return the latest end of the streams by the header, or ``None`` if it does not state all of them."""
    if any(stream.duration is None or stream.start_time is None or stream.container.format.name not in _STATED
           for stream in streams):
        return None
    return max((stream.start_time + stream.duration) * stream.time_base for stream in streams) - start


def frames(source: Source, start: int, threads: int) -> Iterator[VideoFrame | AudioFrame]:
    """Decode all frames in file order, from a keyframe before the second `start` where one is found."""
    offset = _seek_offset(source, start)
    with open_media(source.path) as container:
        if offset is not None:
            container.seek(offset)
        for packet in packets(container, source.streams, source.meter, threads):
            yield from decode(packet)


def _seek_offset(source: Source, time: int) -> int | None:
    """Return where to seek so that everything from `time` on is decoded as if decoding had begun at the start."""
    for margin in _MARGINS if time >= _WORTH_SEEKING else ():
        offset = round((time - margin + source.start) * av.time_base)
        with open_media(source.path) as container, suppress(FFmpegError):
            container.seek(offset)
            found = packets(container, source.streams[:1], source.meter)
            keys = (packet.pts * packet.time_base - source.start for packet in found
                    if packet.is_keyframe and packet.pts is not None)
            if next(keys, time) <= time - 1:
                return offset
    return None


def decode(packet: Packet) -> list[VideoFrame | AudioFrame]:
    """Decode a packet; return no frames if it is damaged."""
    try:
        return packet.decode()
    except FFmpegError:
        return []


def check_pixels(path: Path, width: int, height: int, limits: Limits) -> None:
    """Raise MediaError for a picture of more pixels than the limit."""
    if width * height > limits.pixels:
        raise MediaError(f"{path}: pictures of {width} x {height} pixels; the limit is {limits.pixels} pixels")


def packets(container: InputContainer, indices: Sequence[int], meter: Meter, threads: int = 1) -> Iterator[Packet]:
    """Read the packets of the streams in file order, then an empty one for each stream, even if the file is cut.

    Args:
        threads: decoding threads per stream; 0 leaves the number to FFmpeg.
    """
    streams = [container.streams[index] for index in indices]
    for stream in streams:
        stream.codec_context.thread_count = threads
        stream.codec_context.thread_type = "NONE" if threads == 1 else "AUTO"
    try:
        for packet in container.demux(streams):
            meter.check()
            yield packet
    except FFmpegError:
        for stream in streams:
            last = Packet()
            last.stream = stream
            yield last


def end(source: Source) -> Fraction:
    """Return where the last packet ends: the stated end if there are packets near it, else that of all packets."""
    if source.stated is not None:
        with open_media(source.path) as container, suppress(FFmpegError):
            container.seek(round((source.stated + source.start) * av.time_base))
            if abs(_last_end(container, source) - source.stated) < Fraction(1, 2):
                return source.stated
    with open_media(source.path) as container:
        return _last_end(container, source)


def _last_end(container: InputContainer, source: Source) -> Fraction:
    ends = [Fraction(0)]
    for packet in packets(container, source.streams, source.meter):
        time = packet.dts if packet.pts is None else packet.pts
        if time is not None and packet.size:
            ends.append((time + (packet.duration or 0)) * packet.time_base - source.start)
    return max(ends)
