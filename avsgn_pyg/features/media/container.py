"""Open a media file, read its packets and decode them, within limits; every failure becomes an error with its path."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

import av
from av import AudioFrame, FFmpegError, Packet, VideoFrame
from av.container import InputContainer

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.features.files import as_text
from avsgn_pyg.features.limits import Limits

# Formats that open other files or hosts, and text that FFmpeg renders as video.
_REFUSED = {"hls", "concat", "dash", "webm_dash_manifest", "sdp", "rtsp", "rtp", "sap", "vobsub", "lavfi", "tty",
            "bin", "xbin", "adf", "idf"}  # fmt: skip
_FORMATS = ",".join(sorted(av.formats_available - _REFUSED))
# Samples per second, and channels, that a resampler takes.
_RATES, _CHANNELS = range(1_000, 1_000_001), range(1, 65)
# Seconds that opening a file may take: FFmpeg never finishes reading some damaged indices.
_OPENING = 30.0
# Bytes at the start of a file that distinguish text from media.
_HEAD = 4096


class MediaError(DataError):
    """A media file that cannot be read; the message begins with its path, bytes that are no UTF-8 as ``\\xff``."""

    def __init__(self, message: str) -> None:
        super().__init__(as_text(message))


@contextmanager
def boundary(path: Path, place: str = "") -> Iterator[None]:
    """Turn any error of PyAV, FFmpeg or the system into a MediaError with the path, the place and the reason."""
    try:
        yield
    except MediaError:
        raise
    except av.error.ExitError as error:
        reason = f"takes longer to read than the deadline, or longer than {_OPENING:g} s to open"
        raise MediaError(f"{path}: {place}{reason}") from error
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or "no reason given"
        name = type(error).__name__
        raise MediaError(f"{path}: {place}cannot be read, it may be damaged ({name}: {reason})") from error


class Meter:
    """The time that the reader has taken for one file, from now on and except while it is paused."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path, self.limits, self.begun = path, limits, monotonic()

    def check(self) -> None:
        """Raise MediaError after the deadline."""
        if monotonic() - self.begun > self.limits.deadline:
            raise MediaError(f"{self.path}: takes longer to read than the deadline of {self.limits.deadline:g} s")

    @contextmanager
    def paused(self) -> Iterator[None]:
        stopped = monotonic()
        yield
        self.begun += monotonic() - stopped


@contextmanager
def open_media(path: Path, limits: Limits, *, decoders: bool = True) -> Iterator[InputContainer]:
    """Open a media file for reading; it opens no other file.

    Args:
        decoders: whether FFmpeg may decode to find properties of a stream that its header does not state.

    Raises:
        MediaError: it cannot be opened.
    """
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file", "pattern_type": "none"}
    options |= _decoding(limits) if decoders else {"codec_whitelist": "none"}
    with boundary(path):
        if path.exists() and not path.is_file():
            raise MediaError(f"{path}: a folder or device, not a media file")
        if path.is_file() and not path.stat().st_size:
            raise MediaError(f"{path}: the file is empty")
        try:
            # "file:" keeps a colon in the name from being read as a protocol.
            container = av.open(f"file:{path}", metadata_errors="replace", options=options,
                                timeout=(min(_OPENING, limits.deadline), limits.deadline))
        except av.error.ExitError:
            raise
        except (OSError, FFmpegError) as error:
            raise MediaError(f"{path}: {_reason(path, error)}") from error
    with container:
        yield container


def _reason(path: Path, error: OSError | FFmpegError) -> str:
    denied = "no permission to read it"
    known = {errno.ENOENT: "no such file", errno.EACCES: denied, errno.EPERM: denied}
    if error.errno in known:
        return known[error.errno]
    if _is_text(path):
        return "not a media file, but text such as a playlist or subtitles: no picture and no sound in it"
    return f"not a media file, or damaged, or cut short before its index ({error.strerror or error})"


def _is_text(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    # UTF-16 has zeros, but begins with a mark.
    return head[:2] in (b"\xff\xfe", b"\xfe\xff") or not any(byte < 9 or 13 < byte < 27 for byte in head)


def _decoding(limits: Limits) -> dict[str, str]:
    """Options of decoders, which round the size of a picture up; what a file states is checked exactly."""
    return {"max_pixels": str(limits.pixels * 11 // 10 + 4096)}


def check_pixels(path: Path, width: int, height: int, limits: Limits) -> None:
    """Raise MediaError for a picture of more pixels than the limit."""
    if width * height > limits.pixels:
        raise MediaError(f"{path}: pictures of {width} x {height} pixels; the limit is {limits.pixels} pixels")


def packets(container: InputContainer, indices: Sequence[int], meter: Meter) -> Iterator[Packet]:
    """Read the packets of the streams in file order, then an empty one for each stream, even if the file is truncated.

    Each stream is decoded by one thread.
    """
    streams = [container.streams[index] for index in indices]
    for stream in streams:
        stream.codec_context.thread_count, stream.codec_context.thread_type = 1, "NONE"
        stream.codec_context.options = _decoding(meter.limits)
    try:
        for packet in container.demux(streams):
            meter.check()
            yield packet
    except av.error.ExitError:
        raise
    except FFmpegError:
        for stream in streams:
            last = Packet()
            last.stream, last.time_base = stream, stream.time_base
            yield last


def decode(packet: Packet, meter: Meter) -> list[VideoFrame | AudioFrame]:
    """Decode a packet; return no frames if it is damaged.

    Raises:
        MediaError: a picture exceeds the limit of pixels.
    """
    if packet.stream.type == "audio":
        with suppress(FFmpegError):
            return [frame for frame in packet.decode() if _is_sound(frame)]
        return []
    codec = packet.stream.codec_context
    width = codec.width
    try:
        found = packet.decode()
    except FFmpegError as error:
        # A decoder keeps the size that it refuses, forgets it, or reports it.
        check_pixels(meter.path, codec.width, codec.height, meter.limits)
        if (width and not codec.width) or error.errno == errno.ERANGE:
            limit = f"the limit is {meter.limits.pixels} pixels"
            raise MediaError(f"{meter.path}: its pictures grow to a size that is refused; {limit}") from None
        return []
    for frame in found:
        check_pixels(meter.path, frame.width, frame.height, meter.limits)
    return found


def _is_sound(frame: AudioFrame) -> bool:
    return frame.sample_rate in _RATES and frame.layout.nb_channels in _CHANNELS
