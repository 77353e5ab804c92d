"""Select the video frames that are shown at given times, upright and scaled, from frames in decoding order."""

from __future__ import annotations

import math

import numpy as np
import torch
from av import VideoFrame
from av.filter import Graph
from jaxtyping import Bool, UInt8
from torch import Tensor

from avsgn_pyg.features.media.clock import DECLARED_GAP
from avsgn_pyg.features.media.source import Source

# Containers round times to a millisecond; a frame that begins at most this much too late is still used.
_ROUNDING = 0.001
# Height and width of the black picture of a file without video.
BLACK = (32, 32)
# Seconds for which a picture is still seen after its end, if the next one is late.
_HOLD = 3.0
# Pictures that are further apart (s) on average are slides.
_SLIDE = 1.0


class Pictures:
    """k frames per second: frame j of second s is the one shown at the time s + (j + 0.5) / k.

    Args:
        first: the first second to read.
        size: height and width of the result; default: as displayed.

    Attributes:
        reached: the time at which the newest frame begins.
        ended: whether no frame follows.
    """

    def __init__(self, source: Source, *, per_second: int, first: int, size: tuple[int, int] | None) -> None:
        self.source, self.per_second, self.reached = source, per_second, float(first)
        self.size = size or displayed_size(source) or BLACK
        self.stated = None if source.video_end is None else float(source.video_end)
        self.newest: VideoFrame | None = None
        self.opening = source.picture and self._time(source.picture)
        self.longest, self.count, self.ended = 0.0, 0, False
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
            self._select(self.newest or frame)
        if self.newest is None:
            self.begun = time
        else:
            self.longest = max(self.longest, time - self.reached)
        self.newest, self.reached, self.count = frame, time, self.count + 1

    def repeat(self, second: int) -> None:
        """Complete all seconds up to `second` with the newest frame."""
        if self.newest is None and self.source.picture and self.opening <= self.wanted and not self.ended:
            self.feed(self.source.picture)  # it is late in the file
        while self.done <= second:
            self._select(self.newest or self.source.picture)

    @property
    def _visible(self) -> float:
        """The time until which the newest frame is seen, if no other one follows by then.

        It is seen until it ends, and for a while longer, which grows with the mean time between frames; where a header
        states the end of the video but not of each frame, until that end. The last slide is seen for the mean time
        between slides, and a still image, the only frame so far, at all times.
        """
        if self.newest is None or self.reached == self.opening:
            return -math.inf if self.newest is None else math.inf
        length, stated = self._length(self.newest), self.stated
        interval = (self.reached - self.begun) / (self.count - 1)
        # Few containers state how long the last slide lasts.
        end = self.reached + (max(length, interval) if interval > _SLIDE else length)
        if self.ended:
            return max(end, min(stated or 0.0, self.reached + self.longest))
        hold = self.reached + length + _HOLD + interval
        if stated is None:
            return hold
        return max(end, min(stated, hold) if self.source.exact else stated)

    def take(self) -> tuple[UInt8[Tensor, "k H W 3"], Bool[Tensor, "k"]]:
        """Return the frames of the earliest second that was not taken yet, and whether each was seen."""
        images, seen = zip(*self.waiting[: self.per_second], strict=True)
        del self.waiting[: self.per_second]
        return torch.stack(images), torch.tensor(seen)

    def _time(self, frame: VideoFrame) -> float:
        if frame.pts is None and frame.dts is None:  # a stream without times
            return self.reached if self.newest is None else self.reached + self._length(frame)
        return (frame.time if frame.pts is not None else float(frame.dts * frame.time_base)) - float(self.source.start)

    def _length(self, frame: VideoFrame) -> float:
        nominal = 1 / (self.source.frame_rate or 1)
        length = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else nominal
        return length if length <= DECLARED_GAP else nominal

    def _select(self, frame: VideoFrame | None) -> None:
        seen = self.wanted < self._visible
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
        frame = deinterlaced(frame) if frame.interlaced_frame else frame
        image = frame.reformat(width, height, "rgb24", interpolation=filtering, threads=1).to_ndarray()
        return torch.from_numpy(np.rot90(image[:, ::-1] if mirrored else image, quarters).copy())


def deinterlaced(frame: VideoFrame) -> VideoFrame:
    """Return a frame whose second field is interpolated from its first one, so that nothing is shown twice."""
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    graph.link_nodes(source, graph.add("estdif", "mode=frame:deint=all"), graph.add("buffersink")).configure()
    graph.vpush(frame)
    graph.vpush(None)
    return graph.vpull()


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
