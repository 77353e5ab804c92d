"""Find the streams of a media file that can be decoded, its duration, and its frames from any second on.

Times are seconds since the start of the presentation: pts * time base - start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
from av import AudioFrame, FFmpegError, Packet, VideoFrame
from av.container import InputContainer
from av.stream import Disposition, Stream

from avsgn_pyg.features.limits import Limits
from avsgn_pyg.features.media.clock import DECLARED_GAP, GAP, Clock
from avsgn_pyg.features.media.container import MediaError, Meter, check_pixels, decode, open_media, packets

# Containers whose header states the duration; elsewhere FFmpeg measures or guesses it.
_STATED = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv", "asf", "wav"}
_COVERS = Disposition.attached_pic | Disposition.timed_thumbnails
# Seconds before the wanted time to seek to: enough for an audio decoder to settle, then for rarer keyframes.
_MARGINS = (1, 8, 64)
# From this second on, seeking costs less than decoding up to it.
_WORTH_SEEKING = 3
# The header is trusted without reading all packets if the file has more bytes than this, in total and per second.
_LARGE, _DENSE = 1 << 25, 10_000
# If more than this share of a file, and more bytes than this, are unread at its end, a note says so.
_UNREAD, _UNREAD_BYTES = 0.3, 1 << 14
# Times beyond this (s, 300 years) cannot be told apart to a microsecond.
_FOREVER = 1e10


@dataclass(frozen=True)
class Source:
    """The decodable streams of a file, and its clock.

    Attributes:
        streams: their indices, video first.
        declared: the seconds that each of them lasts according to the header, or ``None``.
        picture, sound: the first frame of video and of audio; ``None`` if none can be decoded.
        start: the presentation's start on the file's own clock.
        stated: the end of the file that its header states, or ``None``.
        exact: whether the file states how long every picture is shown.
        frame_rate: mean frames per second; 0 without video.
        pixel_aspect: width of a pixel over its height.
        notes: sentences on what is unusual.
        meter: of the time that this file may take.
    """

    path: Path
    streams: Sequence[int]
    declared: Sequence[float | None]
    picture: VideoFrame | None
    sound: AudioFrame | None
    start: Fraction
    stated: Fraction | None
    video_end: Fraction | None
    exact: bool
    frame_rate: float
    pixel_aspect: Fraction
    notes: Sequence[str]
    meter: Meter

    def packets(self, container: InputContainer) -> tuple[Clock, Iterator[Packet]]:
        """Return the packets with their times corrected, and the clock that corrects them."""
        clock = Clock([container.streams[index] for index in self.streams], self.declared)
        return clock, clock.correct(packets(container, self.streams, self.meter))


class End(NamedTuple):
    """Where the last packet ends, sentences on jumps of the clock, and these and others on the packets."""

    time: Fraction
    jumps: list[str]
    notes: list[str]


def inspect(path: Path, limits: Limits) -> Source:
    """Open a file and decode the first frame of its video and of its audio.

    Raises:
        MediaError: not a media file, no stream of it can be decoded, or it exceeds a limit.
    """
    meter = Meter(path, limits)
    with open_media(path, limits) as container:
        streams = _best_streams(container)
        if not streams:
            raise MediaError(f"{path}: no picture and no sound in it")
        for stream in streams:
            if stream.type == "video":
                check_pixels(path, *_stated_size(stream, path, limits), limits)
        declared = [_declared(stream) for stream in streams]
        clock = Clock(streams, declared)
        first = _first_frames(clock, container, streams, meter)
        if not first:
            named = ", ".join(f"{stream.type} {stream.codec_context.name}" for stream in streams)
            small = f", or a picture exceeds the limit of {limits.pixels} pixels" if streams[0].type == "video" else ""
            raise MediaError(f"{path}: nothing in it can be decoded ({named}){small}")
        streams = [stream for stream in streams if stream.type in first]
        notes, start = [], Fraction(container.start_time or 0, av.time_base)
        begins = [clock.tracks[stream.index].first for stream in streams]
        ends = [clock.tracks[stream.index].reached for stream in streams]
        if len(streams) == 2 and max(begins) - min(ends) > GAP:
            notes.append(f"sound and picture are {max(begins) - min(ends):.0f} s apart: the sound is left out")
            del streams[1:], begins[1:], first["audio"]
        if abs(min(begins)) > _FOREVER:
            raise MediaError(f"{path}: damaged: its first timestamp is {min(begins):.0g} s")
        if abs(min(begins) - start) > GAP:
            start = Fraction(min(begins))
        video = next((stream for stream in streams if stream.type == "video"), None)
        stated, whole = None, container.duration
        if container.format.name in _STATED and not notes:
            stated = _stated_end(streams, start) or (whole and _since(Fraction(whole, av.time_base), start))
        if video and first["video"].interlaced_frame:
            notes.append("the video is interlaced: each picture is made from one of the two fields of its frame")
        return Source(
            path=path, streams=[stream.index for stream in streams], declared=[_declared(stream) for stream in streams],
            picture=first.get("video"), sound=first.get("audio"), start=start, stated=stated,
            video_end=video and _stated_end([video], start), exact=container.format.name.startswith("mov"),
            frame_rate=float(video.average_rate or video.guessed_rate or 0) if video else 0.0,
            pixel_aspect=(video and video.sample_aspect_ratio) or Fraction(1), notes=notes, meter=meter,
        )


def _best_streams(container: InputContainer) -> list[Stream]:
    """Return the best video stream that is no cover picture, and the best audio stream."""
    usable = [stream for stream in container.streams
              if stream.codec_context is not None and not stream.disposition & _COVERS]
    best = {kind: container.streams.best(kind) for kind in ("video", "audio")}
    first = {stream.type: stream for stream in reversed(usable)}
    return [stream if stream in usable else first[kind] for kind, stream in best.items() if kind in first]


def _stated_size(stream: Stream, path: Path, limits: Limits) -> tuple[int, int]:
    """Return width and height by the header; 0 if it does not state them."""
    if stream.codec_context.width:
        return stream.codec_context.width, stream.codec_context.height
    # A decoder that refuses a size does not keep it.
    with open_media(path, limits, decoders=False) as container:
        codec = container.streams[stream.index].codec_context
        return codec.width, codec.height


def _first_frames(
    clock: Clock, container: InputContainer, streams: Sequence[Stream], meter: Meter
) -> dict[str, VideoFrame | AudioFrame]:
    """Return the first frame of each kind of stream that can be decoded."""
    first: dict[str, VideoFrame | AudioFrame] = {}
    for packet in clock.correct(packets(container, [stream.index for stream in streams], meter)):
        kind = packet.stream.type
        if kind not in first and (decoded := decode(packet, meter)):
            first[kind] = decoded[0]
        if len(first) == len(streams):
            break
    return first


def _length(stream: Stream) -> Fraction | None:
    """Return the seconds that a stream lasts by the header, or ``None`` if the header does not state them."""
    container = stream.container
    if container.format.name not in _STATED | {"avi"}:
        return None
    if stream.duration is not None:
        return stream.duration * stream.time_base
    if container.duration is not None and len(container.streams) == 1:
        return Fraction(container.duration, av.time_base)
    hours, minutes, seconds = stream.metadata.get("DURATION", "::").split(":")  # Matroska's
    return Fraction(hours) * 3600 + Fraction(minutes) * 60 + Fraction(seconds.rstrip("\0")) if seconds else None


def _declared(stream: Stream) -> float | None:
    """Return the most seconds that a stream lasts by the header, or ``None``."""
    whole = stream.container.duration if stream.container.format.name in _STATED else None
    length = _length(stream) or (whole and Fraction(whole, av.time_base))
    return None if length is None else float(length)


def _stated_end(streams: Sequence[Stream], start: Fraction) -> Fraction | None:
    """Return the latest end of the streams that the header states, or ``None`` if it does not state all of them."""
    ends = []
    for stream in streams:
        length = _length(stream)
        if length is None:
            return None
        if stream.duration is not None and stream.start_time is not None:
            begin = stream.start_time * stream.time_base - start
            ends.append((begin if abs(begin) < DECLARED_GAP else 0) + length)
        else:
            ends.append(_since(length, start))
    return max(ends)


def _since(end: Fraction, start: Fraction) -> Fraction:
    """Return an end of the presentation; most headers count it from zero, some from the start."""
    return end - start if end > start > 0 else end


def frames(source: Source, start: int) -> Iterator[VideoFrame | AudioFrame]:
    """Decode all frames in file order, from a keyframe before the second `start` where one is found."""
    offset = _seek_offset(source, start)
    with open_media(source.path, source.meter.limits) as container:
        if offset is not None:
            container.seek(offset)
        for packet in source.packets(container)[1]:
            yield from decode(packet, source.meter)


def _seek_offset(source: Source, time: int) -> int | None:
    """Return where to seek so that everything from `time` on is decoded as if decoding had begun at the start."""
    if time < _WORTH_SEEKING or end_of(source).jumps:
        return None
    for margin in _MARGINS:
        offset = round((time - margin + source.start) * av.time_base)
        with open_media(source.path, source.meter.limits) as container, suppress(FFmpegError):
            container.seek(offset)
            found = packets(container, source.streams[:1], source.meter)
            keys = (packet.pts * packet.time_base - source.start for packet in found
                    if packet.is_keyframe and packet.pts is not None)
            if next(keys, time) <= time - 1:
                return offset
    return None


def end_of(source: Source) -> End:
    """Find the end of a file; in a large one, the stated end if packets are near it; the others are not read."""
    size, stated = source.path.stat().st_size, source.stated
    if stated is not None and stated > 0 and size > max(_LARGE, _DENSE * stated):
        with open_media(source.path, source.meter.limits) as container, suppress(FFmpegError):
            container.seek(round((stated + source.start) * av.time_base))
            if abs(_last_end(container, source).time - stated) < Fraction(1, 2):
                return End(stated, [], [])
    with open_media(source.path, source.meter.limits) as container:
        found = _last_end(container, source)
    agree = stated is not None and abs(found.time - stated) < Fraction(1, 2)
    return found._replace(time=stated) if agree else found


def _last_end(container: InputContainer, source: Source) -> End:
    read, (clock, found) = 0, source.packets(container)
    for packet in found:
        read = max(read, (packet.pos or 0) + packet.size)
    ends = [Fraction(track.reached) - source.start for track in clock.tracks.values() if track.first is not None]
    unread, notes = container.size - read, list(clock.notes)
    whole = read and len(source.streams) == len(container.streams)
    if whole and unread > max(_UNREAD_BYTES, _UNREAD * container.size):
        notes.append(f"the last {unread / container.size:.0%} of the file were not read: damaged, or another "
                     "file was appended")
    return End(max([*ends, Fraction(0)]), clock.notes, notes)
