"""Select the video frames that are shown at given times, upright and scaled, from frames in decoding order."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from av import VideoFrame
from jaxtyping import Bool, UInt8
from torch import Tensor

from avsgn_pyg.features.media.container import Source

# Containers round times to a millisecond; a frame that begins at most this much too late is still used.
_ROUNDING = 0.001
# Height and width of the black picture of a file without video.
BLACK = (32, 32)


class Pictures:
    """k frames per second: frame j of second s is the one shown at the time s + (j + 0.5) / k.

    Args:
        first: the first second to read.
        size: height and width of the result; default: as displayed.

    Attributes:
        reached: the time at which the newest frame begins.
    """

    def __init__(self, source: Source, *, per_second: int, first: int, size: tuple[int, int] | None) -> None:
        self.source, self.per_second, self.reached = source, per_second, float(first)
        self.size = size or displayed_size(source) or BLACK
        self.opening = source.picture and self._time(source.picture)
        self.newest: VideoFrame | None = None
        self.selected = first * per_second  # the number of frames from second 0 on
        self.waiting: list[tuple[UInt8[Tensor, "H W 3"], bool]] = []
        self.converted: tuple[VideoFrame | None, UInt8[Tensor, "H W 3"]] | None = None

    @property
    def done(self) -> int:
        """The first second whose frames are not complete yet."""
        return self.selected // self.per_second

    @property
    def wanted(self) -> float:
        """The time of the next frame to select."""
        return (self.selected + 0.5) / self.per_second

    def feed(self, frame: VideoFrame) -> None:
        """Add the next frame; a frame whose time is not later than that of the previous one is dropped."""
        time = self._time(frame)
        if self.newest is not None and time <= self.reached:
            return
        while self.wanted + _ROUNDING < time:
            self._select(self.newest or frame, seen=self.newest is not None)
        self.newest, self.reached = frame, time

    def repeat(self, second: int, end: Fraction | float | None) -> None:
        """Complete all seconds up to `second` with the newest frame, which counts as seen until it and the stream end.

        A still image, the only frame so far, counts as seen as long as the sound lasts; so does any frame if `end`,
        the end of the stream in seconds, is ``None``.
        """
        while self.done <= second:
            frame, seen = self.newest, self.newest is not None
            if frame is not None and end is not None and self.reached != self.opening:
                length = frame.duration * frame.time_base if frame.duration else 1 / (self.source.frame_rate or 1)
                seen = self.wanted < max(end, self.reached + float(length))
            self._select(frame or self.source.picture, seen)

    def take(self) -> tuple[UInt8[Tensor, "k H W 3"], Bool[Tensor, "k"]]:
        """Return the frames of the earliest second that was not taken yet, and whether each was seen."""
        images, seen = zip(*self.waiting[: self.per_second], strict=True)
        del self.waiting[: self.per_second]
        return torch.stack(images), torch.tensor(seen)

    def _time(self, frame: VideoFrame) -> float:
        if frame.pts is None and frame.dts is None:
            return self.reached
        return (frame.time if frame.pts is not None else float(frame.dts * frame.time_base)) - float(self.source.start)

    def _select(self, frame: VideoFrame | None, seen: bool) -> None:
        if self.converted is None or self.converted[0] is not frame:
            self.converted = (frame, self._convert(frame))
        self.waiting.append((self.converted[1], seen))
        self.selected += 1

    def _convert(self, frame: VideoFrame | None) -> UInt8[Tensor, "H W 3"]:
        if frame is None:
            return torch.zeros(*self.size, 3, dtype=torch.uint8)
        quarters, mirrored = orientation(self.source.picture)
        height, width = self.size[::-1] if quarters % 2 else self.size
        filtering = "BILINEAR" if (frame.height, frame.width) == (height, width) else "BICUBIC"
        image = frame.reformat(width, height, "rgb24", interpolation=filtering, threads=1).to_ndarray()
        return torch.from_numpy(np.rot90(image[:, ::-1] if mirrored else image, quarters).copy())


def orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Return counterclockwise quarter turns that turn a frame upright, and whether to swap left and right first."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 0, False
    a, b, _, c, d = np.frombuffer(bytes(matrix), dtype=np.int32)[:5].tolist()
    mirrored = a * d < b * c
    return (round(frame.rotation / 90) + 2 * mirrored) % 4, mirrored


def displayed_size(source: Source) -> tuple[int, int] | None:
    """Return height and width as displayed, upright and with square pixels; ``None`` without video."""
    if source.picture is None:
        return None
    height, width = source.picture.height, max(1, round(source.picture.width * source.pixel_aspect))
    return (width, height) if orientation(source.picture)[0] % 2 else (height, width)
