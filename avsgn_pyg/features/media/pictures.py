"""The picture of a media file: frames come as they are decoded, those shown at the wanted times are kept."""

from __future__ import annotations

import math

import numpy as np
import torch
from av.video.frame import VideoFrame
from jaxtyping import Bool, UInt8
from torch import Tensor

from avsgn_pyg.features.media.container import Source

# Containers round times to a millisecond; a frame that begins this much late still counts as begun.
_ROUNDING = 0.001
# Height and width of the black picture of a file that has none.
BLACK = (32, 32)


class Screen:
    """Frame j of second s shows the time s + (j + 0.5) / k; times are asked for in order.

    Args:
        first: the first second that is wanted.
        size: height and width of what comes out; default: as displayed.
    """

    def __init__(self, source: Source, *, per_second: int, first: int, size: tuple[int, int] | None) -> None:
        self.per_second = per_second
        self.reached = float(first)
        self._zero = float(source.zero)
        self._source, self._next = source, first * per_second
        self._due = self._wanted()
        self._shape = size or displayed_size(source) or BLACK
        self._turn = orientation(source.picture)
        self._opening = None if source.picture is None else self._time(source.picture)
        self._current: VideoFrame | None = None
        self._begun = 0.0
        self._shown: tuple[VideoFrame, UInt8[Tensor, "H W 3"]] | None = None
        self._kept: list[tuple[UInt8[Tensor, "H W 3"], bool]] = []

    @property
    def done(self) -> int:
        """Every second before this one has its frames."""
        return self._next // self.per_second

    def feed(self, frame: VideoFrame) -> None:
        """Take the next frame in order of time; one that goes back in time is dropped."""
        time = self._time(frame)
        if self._current is not None and time <= self._begun:
            return
        while self._due + _ROUNDING < time:
            self._keep(self._current or frame, seen=self._current is not None)
        self._current, self._begun, self.reached = frame, time, time

    def pass_by(self, second: int) -> None:
        """Give a second its frames although no later frame has come: the newest stays, seen while it can last."""
        while self.done <= second:
            self._keep_held(known_end=self._source.video_end)

    def close(self, second: int) -> None:
        """No more frames: every second up to this one gets what the last frame shows, seen while it lasts."""
        while self.done <= second:
            self._keep_held(known_end=0.0)

    def take(self) -> tuple[UInt8[Tensor, "k H W 3"], Bool[Tensor, "k"]]:
        """The frames of the earliest second that was not taken yet."""
        kept, self._kept = self._kept[: self.per_second], self._kept[self.per_second :]
        return torch.stack([image for image, _ in kept]), torch.tensor([seen for _, seen in kept])

    def _wanted(self) -> float:
        return (self._next + 0.5) / self.per_second

    def _time(self, frame: VideoFrame) -> float:
        if frame.pts is None and frame.dts is None:
            return self.reached
        time = frame.time if frame.pts is not None else float(frame.dts * frame.time_base)
        return time - self._zero

    def _keep_held(self, known_end: float | None) -> None:
        frame = self._current or self._source.picture
        if self._current is None:
            self._keep(frame, seen=False)
            return
        # A picture that never changes is a still image: it stays for as long as the sound goes on.
        still = self._begun == self._opening
        lasts = None if known_end is None else max(known_end, self._begun + self._length(frame))
        self._keep(frame, seen=still or lasts is None or self._due < lasts)

    def _length(self, frame: VideoFrame) -> float:
        if frame.duration:
            return float(frame.duration * frame.time_base)
        return 1 / (self._source.frame_rate or 1)

    def _keep(self, frame: VideoFrame | None, *, seen: bool) -> None:
        if self._shown is None or self._shown[0] is not frame:
            self._shown = (frame, self._image(frame))
        self._kept.append((self._shown[1], seen))
        self._next += 1
        self._due = self._wanted()

    def _image(self, frame: VideoFrame | None) -> UInt8[Tensor, "H W 3"]:
        if frame is None:
            return torch.zeros(*self._shape, 3, dtype=torch.uint8)
        quarters, mirrored = self._turn
        height, width = self._shape if quarters % 2 == 0 else self._shape[::-1]
        same = (frame.height, frame.width) == (height, width)
        scaled = frame.reformat(
            width=width,
            height=height,
            format="rgb24",
            interpolation="BILINEAR" if same else "BICUBIC",
            threads=1,
        )
        image = scaled.to_ndarray()
        image = np.rot90(image[:, ::-1] if mirrored else image, quarters)
        return torch.from_numpy(np.ascontiguousarray(image))


def orientation(frame: VideoFrame | None) -> tuple[int, bool]:
    """Quarter turns counterclockwise, after left and right are swapped or not, that bring a frame upright."""
    matrix = None if frame is None else frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 0, False
    a, b, _, c, d = np.frombuffer(bytes(matrix), dtype=np.int32)[:5].astype(float).tolist()
    mirrored = a * d - b * c < 0
    sign = -1 if mirrored else 1
    return round(-math.degrees(math.atan2(sign * b, sign * a)) / 90) % 4, mirrored


def displayed_size(source: Source) -> tuple[int, int] | None:
    """Height and width as displayed: upright, with square pixels; ``None`` without a picture."""
    if source.picture is None:
        return None
    height, width = source.picture.height, max(1, round(source.picture.width * source.pixel_aspect))
    return (width, height) if orientation(source.picture)[0] % 2 else (height, width)
