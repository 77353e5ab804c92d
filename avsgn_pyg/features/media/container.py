"""Opening a media file: which streams are read, where its time starts and ends, and in plain words what is wrong.

Times are seconds since the start of the presentation, exact fractions of pts x time base.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame

from avsgn_pyg.data.h5 import DataError

# Containers whose header states the duration; elsewhere FFmpeg measures or guesses it.
_STATED = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv", "asf", "wav"}
# FFmpeg paints text on a screen and calls it a film.
_TEXT_ART = {"tty", "bin", "xbin", "adf", "idf"}
_COVERS = Disposition.attached_pic | Disposition.timed_thumbnails
# How far before a second reading starts, in turn: far enough for a sound decoder to settle, then for rarer keyframes.
_MARGINS = (1, 8, 64)


class MediaError(DataError):
    """A media file that cannot be read; the message begins with its path."""


@dataclass(frozen=True)
class Source:
    """What a first look into a file found; streams are ``None`` where nothing of them can be decoded.

    Attributes:
        video, audio: stream numbers.
        picture: the first frame, for its time, its shape and its orientation.
        sound: the first piece of sound, for the rhythm of those that follow.
        zero: the presentation's start on the file's own clock.
        stated: the end that the header states, or ``None``.
        video_end: where the header says that the picture ends, or ``None``.
        frame_rate: mean frames a second; 0 without video.
        pixel_aspect: width of a pixel over its height.
    """

    path: Path
    video: int | None
    audio: int | None
    picture: VideoFrame | None
    sound: AudioFrame | None
    zero: Fraction
    stated: Fraction | None
    video_end: float | None
    frame_rate: float
    pixel_aspect: Fraction

    @property
    def streams(self) -> list[int]:
        return [number for number in (self.video, self.audio) if number is not None]


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """A media file for reading; what the system and FFmpeg say of a file that is none becomes a MediaError."""
    try:
        if path.exists() and not path.is_file():
            raise MediaError(f"{path}: a folder or device, not a media file")
        if path.is_file() and not path.stat().st_size:
            raise MediaError(f"{path}: the file is empty")
        # "file:" keeps a colon in the name from being read as a protocol.
        container = av.open(f"file:{path}", metadata_errors="replace")
    except (OSError, FFmpegError) as error:
        raise MediaError(f"{path}: {_reason(error)}") from error
    with container:
        if container.format.name in _TEXT_ART:
            raise MediaError(f"{path}: text, not a media file")
        yield container


def _reason(error: OSError | FFmpegError) -> str:
    denied = "no permission to read it"
    known = {errno.ENOENT: "no such file", errno.EACCES: denied, errno.EPERM: denied}
    damaged = f"not a media file, or damaged or cut short before its index ({error.strerror or error})"
    return known.get(error.errno, damaged)


def look(path: Path) -> Source:
    """Open a file and decode the first frame of its picture and of its sound.

    Raises:
        MediaError: no media file, or nothing in it can be decoded.
    """
    with opened(path) as container:
        streams = _chosen(container)
        first: dict[int, VideoFrame | AudioFrame] = {}
        for number, frame in frames(container, [stream.index for stream in streams], until=first):
            first.setdefault(number, frame)
        if not first:
            named = ", ".join(f"{stream.type} {stream.codec_context.name}" for stream in streams)
            raise MediaError(f"{path}: nothing in it can be decoded ({named or 'no picture and no sound'})")
        found = {stream.type: stream for stream in streams if stream.index in first}
        video, audio = found.get("video"), found.get("audio")
        zero = Fraction(container.start_time or 0, av.time_base)
        stated = container.duration if container.format.name in _STATED else None
        picture_end = None if video is None else _stated_end([video], zero)
        return Source(
            path=path,
            video=None if video is None else video.index,
            audio=None if audio is None else audio.index,
            picture=None if video is None else first[video.index],
            sound=None if audio is None else first[audio.index],
            zero=zero,
            stated=_stated_end(list(found.values()), zero) or (stated and Fraction(stated, av.time_base)),
            video_end=None if picture_end is None else float(picture_end),
            frame_rate=0.0 if video is None else float(video.average_rate or video.guessed_rate or 0),
            pixel_aspect=Fraction(1) if video is None else video.sample_aspect_ratio or Fraction(1),
        )


def _chosen(container: InputContainer) -> list[Stream]:
    """The best video stream that is no cover picture, and the best audio stream."""
    chosen = []
    for kind in ("video", "audio"):
        able = [
            stream
            for stream in container.streams
            if stream.type == kind and stream.codec_context is not None and not stream.disposition & _COVERS
        ]
        best = container.streams.best(kind)
        chosen += [best] if best in able else able[:1]
    return chosen


def _stated_end(streams: Sequence[Stream], zero: Fraction) -> Fraction | None:
    """Where the last of the streams ends by the header, or ``None`` where it does not say."""
    if not streams or any(stream.duration is None or stream.start_time is None for stream in streams):
        return None
    if streams[0].container.format.name not in _STATED:
        return None
    return max((stream.start_time + stream.duration) * stream.time_base for stream in streams) - zero


def frames(
    container: InputContainer, numbers: Sequence[int], *, threads: int = 1, until: dict | None = None
) -> Iterator[tuple[int, VideoFrame | AudioFrame]]:
    """Every frame of the streams in file order, with its stream's number; what cannot be decoded is passed over.

    Args:
        threads: decoding threads a stream; 0 leaves it to FFmpeg.
        until: a stream whose number is in here is decoded no further; reading ends when all are.
    """
    done = {} if until is None else until
    for number in numbers:
        context = container.streams[number].codec_context
        context.thread_count = threads
        context.thread_type = "NONE" if threads == 1 else "AUTO"
    for packet in packets(container, numbers):
        # Not packet.stream_index: the empty packets at the end say 0 there.
        number = packet.stream.index
        if number not in done:
            try:
                yield from ((number, frame) for frame in packet.decode())
            except FFmpegError:
                continue
        elif len(done) == len(numbers):
            return


def packets(container: InputContainer, numbers: Sequence[int]) -> Iterator[Packet]:
    """The streams' packets in file order, and an empty one a stream at the end, also where the file breaks off."""
    streams = [container.streams[number] for number in numbers]
    try:
        yield from container.demux(streams)
    except FFmpegError:
        for stream in streams:
            last = Packet()
            last.stream = stream
            yield last


def seek(container: InputContainer, source: Source, time: int) -> bool:
    """Go to where decoding must start for everything from `time` on to come as if decoded from the beginning.

    Returns False where the file has no such place that can be found; the container must then be opened anew.
    """
    guide = source.streams[0]
    for margin in _MARGINS:
        offset = round((time - margin + source.zero) * av.time_base)
        try:
            container.seek(offset)
            landed = _first_key(container, source, guide)
            container.seek(offset)
        except FFmpegError:
            return False
        if landed is not None and landed <= time - 1:
            return True
        if margin >= time:
            return False
    return False


def _first_key(container: InputContainer, source: Source, guide: int) -> Fraction | None:
    """The time of the first keyframe from here on."""
    for packet in packets(container, [guide]):
        if packet.is_keyframe and packet.pts is not None:
            return packet.pts * packet.time_base - source.zero
    return None


def end(source: Source) -> Fraction:
    """Where the file's last packet ends, without decoding; near the stated end first, else by reading all of it."""
    if source.stated is not None:
        with opened(source.path) as container:
            try:
                container.seek(round((source.stated + source.zero) * av.time_base))
                last = _last(container, source)
            except FFmpegError:
                last = Fraction(0)
        if abs(last - source.stated) < Fraction(1, 2):
            return source.stated
    with opened(source.path) as container:
        return _last(container, source)


def _last(container: InputContainer, source: Source) -> Fraction:
    ends = [Fraction(0)]
    for packet in packets(container, source.streams):
        at = packet.dts if packet.pts is None else packet.pts
        if at is not None and packet.size:
            ends.append((at + (packet.duration or 0)) * packet.time_base - source.zero)
    return max(ends)
