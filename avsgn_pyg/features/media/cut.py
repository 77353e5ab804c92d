"""Copy a part of a media file without encoding it again, where it can be cut exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
from av import FFmpegError, Packet
from av.container import InputContainer

from avsgn_pyg.features.limits import Limits
from avsgn_pyg.features.media.container import MediaError, boundary, open_media, packets
from avsgn_pyg.features.media.source import Source, inspect

#: Format of a file -> format and suffix of its parts.
_FORMATS: Final = {"mov,mp4,m4a,3gp,3g2,mj2": ("mp4", ".mp4"), "matroska,webm": ("matroska", ".mkv"),
                   "mpegts": ("mpegts", ".ts"), "wav": ("wav", ".wav"), "mp3": ("mp3", ".mp3"),
                   "flac": ("flac", ".flac"), "ogg": ("ogg", ".ogg")}
#: Seconds before a part at which reading begins.
_BEFORE: Final = 2
#: Seconds by which a keyframe may be off the beginning.
_OFF: Final = Fraction(1, 25)


def copy_suffix(path: Path, start: float, limits: Limits) -> str | None:
    """Return the suffix of a part that can be copied from `start` on, or ``None`` if it must be encoded again.

    Copying needs a known format and, with video, a keyframe at `start`; the timestamps of a file with
    :attr:`.MediaInfo.notes` are not copied right. MediaError if the file cannot be read.
    """
    with boundary(path):
        source = inspect(path, limits)
        with open_media(path, limits) as container:
            known = _FORMATS.get(container.format.name)
            if known is None or _beginning(container, source, start) is None:
                return None
            return known[1]


def copy_part(path: Path, out: Path, start: float, end: float, limits: Limits) -> None:
    """Copy the packets of [start, end) seconds to `out`, where :func:`copy_suffix` says that this can be done.

    MediaError if FFmpeg cannot write these streams to that format.
    """
    source = inspect(path, limits)
    try:
        with (open_media(path, limits) as container,
              av.open(str(out), "w", format=_FORMATS[container.format.name][0]) as part):
            copies = {index: part.add_stream_from_template(container.streams[index]) for index in source.streams}
            begin = _beginning(container, source, start)
            for packet in _from(container, source, source.streams, start):
                # Packets that are decoded before the end may be shown after it, and others refer to them.
                if packet.pts is not None and packet.dts is not None and begin <= _time(source, packet) and (
                        packet.dts * packet.time_base - source.start < Fraction(end)):
                    offset = round((source.start + begin) / packet.time_base)
                    packet.pts, packet.dts = packet.pts - offset, packet.dts - offset
                    packet.stream = copies[packet.stream_index]
                    part.mux(packet)
    except (FFmpegError, ValueError, TypeError) as error:
        raise MediaError(f"{path}: cannot be copied to {out.name} ({error})") from error


def _beginning(container: InputContainer, source: Source, start: float) -> Fraction | None:
    """Return the time of the keyframe at `start`, ``None`` if there is none, and `start` itself without video."""
    if source.picture is None:
        return Fraction(start)
    for packet in _from(container, source, source.streams[:1], start):
        time = _time(source, packet)
        if packet.is_keyframe and abs(time - Fraction(start)) <= _OFF:
            return time
        if time > Fraction(start) + _OFF:
            break
    return None


def _from(container: InputContainer, source: Source, streams: Sequence[int], start: float) -> Iterator[Packet]:
    """Read packets from before `start`; formats without an index may go to after the time that is asked for."""
    container.seek(max(0, round((source.start + Fraction(start) - _BEFORE) * av.time_base)))
    return packets(container, streams, source.meter)


def _time(source: Source, packet: Packet) -> Fraction:
    return Fraction(-1) if packet.pts is None else packet.pts * packet.time_base - source.start
