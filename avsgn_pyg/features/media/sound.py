"""Mix and resample decoded audio frames to mono at 48 kHz, and place the samples on the presentation's clock."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from av import AudioFrame, AudioLayout
from av.audio.plane import AudioPlane
from av.filter import Graph
from jaxtyping import Float, Float32, Shaped
from torch import Tensor

from avsgn_pyg.features.media.source import Source

RATE = 48_000
# Where timestamps and the count of samples differ by less than this (s), it is rounding, and the count is right.
_SLACK = 0.03
# Sound from this long (s) before the first second on is resampled; earlier sound only lets the decoder settle.
_SETTLING = 0.5
# The coarsest unit of time (s) in which a container counts.
_ROUNDING = 0.001
# Channels are compared in blocks of this length (s), of at most this many frames, at every n-th frame.
_BLOCK, _FRAMES, _EVERY = 0.25, 500, 4
# Channels cancel out if their mix has less than this share of the energy that it has if they are independent.
_CANCELLED = 0.03
_TYPES = {"u8": np.uint8, "s16": np.int16, "s32": np.int32, "s64": np.int64, "flt": np.float32, "dbl": np.float64}


class Sound:
    """Mono sound by whole seconds; sample n of a second is n / RATE after its start.

    Frames that follow on each other form a run, which one resampler converts. Input and output samples coincide in
    time every rate / gcd(rate, RATE) input samples. Silence extends a run back to such a time, so that its samples
    are the same wherever reading began.

    Args:
        first: the first second that is wanted.

    Attributes:
        reached: the time up to which there are samples.
    """

    def __init__(self, source: Source, *, first: int) -> None:
        self.first_frame, self.start, self.next, self.reached = source.sound, float(source.start), first, float(first)
        # NaN marks samples that the sound track does not cover.
        self.buffers: dict[int, np.ndarray] = defaultdict(lambda: np.full(RATE, np.nan, dtype=np.float32))
        self.resampler: Graph | None = None
        self.block: list[AudioFrame] = []
        self.number = 0

    def feed(self, frame: AudioFrame) -> None:
        """Add the next frame.

        Where the channels of a block cancel out, as if one of them were inverted, the loudest one is taken alone.
        """
        if frame.layout.nb_channels == 1:
            self._add(frame)
            return
        number = self.number if frame.pts is None else int((frame.time - self.start) // _BLOCK)
        if number != self.number or len(self.block) >= _FRAMES:
            self._add_block()
        self.number = number
        self.block.append(frame)

    def flush(self) -> None:
        """Write the samples that wait for others."""
        self._add_block()
        self._end_run()

    def _add_block(self) -> None:
        block, self.block = self.block, []
        loudest = _cancelled(block) if block else None
        for frame in block:
            self._add(frame if loudest is None else _alone(frame, loudest))

    def _add(self, frame: AudioFrame) -> None:
        """Convert a frame; if it does not directly follow the last one, a new run begins at its time."""
        begin, rate = None if frame.pts is None else self._position(frame), frame.sample_rate
        if self.resampler is not None and not self._continues(frame, begin):
            self._end_run()
        if self.resampler is None:
            if begin is not None and begin < (self.next - _SETTLING) * rate:
                return
            self._start_run(frame, round(self.reached * rate) if begin is None else self._unrounded(frame, begin))
        self.end += frame.samples
        frame.pts = None
        self._write(_resample(self.resampler, frame))

    def _end_run(self) -> None:
        """Write the samples that are still in the resampler."""
        if self.resampler is not None:
            self._write(_resample(self.resampler, None))
            self.resampler = None

    def take(self) -> tuple[Float[Tensor, "48000"], float]:
        """Return the samples of the earliest second that was not taken yet, and the share that the track covers."""
        samples, self.next = self.buffers[self.next], self.next + 1
        del self.buffers[self.next - 1]
        return torch.from_numpy(np.nan_to_num(samples)).clamp_(-1, 1), 1 - float(np.isnan(samples).mean())

    def _position(self, frame: AudioFrame) -> int:
        """Return the index of the frame's first sample at its own rate, counted from the presentation's start."""
        return round((frame.time - self.start) * frame.sample_rate)

    def _unrounded(self, frame: AudioFrame, begin: int) -> int:
        """Return `begin` as it was before the container rounded it, where all frames are as long as the first."""
        first, length = self.first_frame, frame.samples
        if first is None or first.pts is None or not length or first.sample_rate != frame.sample_rate:
            return begin
        off = (self._position(first) + first.samples - begin + length // 2) % length - length // 2
        rounding = min(float(frame.time_base), _ROUNDING) * frame.sample_rate
        return begin + off if abs(off) <= math.ceil(rounding) else begin

    def _continues(self, frame: AudioFrame, begin: int | None) -> bool:
        on_time = begin is None or abs(begin - self.end) <= _SLACK * frame.sample_rate
        return on_time and self.form == (frame.format.name, frame.layout.name, frame.sample_rate)

    def _start_run(self, frame: AudioFrame, begin: int) -> None:
        self.resampler = _resampler(frame)
        self.form, self.begin, self.end = (frame.format.name, frame.layout.name, frame.sample_rate), begin, begin
        silence = begin % (frame.sample_rate // math.gcd(frame.sample_rate, RATE))
        self.output = (begin - silence) * RATE // frame.sample_rate
        if silence:
            self._write(_resample(self.resampler, _silence(frame, silence)))

    def _write(self, frames: list[AudioFrame]) -> None:
        """Write resampled frames to the buffers, except what lies outside the run or in seconds already taken."""
        parts = [np.frombuffer(frame.planes[0], np.float32, frame.samples) for frame in frames]
        samples = parts[0] if len(parts) == 1 else np.concatenate([*parts, np.zeros(0, np.float32)])
        rate, place, self.output = self.form[2], self.output, self.output + len(samples)
        last = min(self.output, self.end * RATE // rate)
        self.reached = max(self.reached, last / RATE)
        start = max(place, -(-self.begin * RATE // rate), self.next * RATE)
        while start < last:
            second, inside = divmod(start, RATE)
            stop = min(last, (second + 1) * RATE)
            self.buffers[second][inside : inside + stop - start] = samples[start - place : stop - place]
            start = stop


def _resample(graph: Graph, frame: AudioFrame | None) -> list[AudioFrame]:
    """Add a frame, or ``None`` after the last, and return what is converted."""
    graph.push(frame)
    found = []
    with suppress(EOFError, BlockingIOError):  # until it needs another frame
        while True:
            found.append(graph.pull())
    return found


def _resampler(frame: AudioFrame) -> Graph:
    """Return a converter of frames like this one to float mono at RATE; PyAV 17's AudioResampler takes no options."""
    graph, base = Graph(), {} if frame.time_base is None else {"time_base": str(frame.time_base)}
    chain = (
        graph.add("abuffer", sample_rate=str(frame.sample_rate), sample_fmt=frame.format.name,
                  channel_layout=frame.layout.name, **base),
        # Without the limit FFmpeg mixes float stereo to mono at 0.71 + 0.71, and integer stereo at 0.5 + 0.5.
        graph.add("aresample", rematrix_maxval="1.0"),
        graph.add("aformat", sample_rates=str(RATE), sample_fmts="fltp", channel_layouts="mono"),
        graph.add("abuffersink"))
    for one, following in pairwise(chain):
        one.link_to(following)
    graph.configure()
    return graph


def _cancelled(frames: list[AudioFrame]) -> int | None:
    """Return the loudest channel of frames whose channels cancel out when they are mixed, else ``None``."""
    layout, products = frames[0].layout, 0.0
    for frame in frames[::-_EVERY]:  # with the last one: sound may begin in it
        if frame.layout == layout:
            channels = _channels(frame).astype(np.float32, copy=False)
            if frame.format.name.startswith("u8"):
                channels = channels - 128
            products = products + channels @ channels.T
    weights, energies = _weights(layout.name), np.diag(products)
    if weights @ products @ weights >= _CANCELLED * (weights**2 @ energies):
        return None
    return int(np.argmax(energies))


@lru_cache
def _weights(layout: str) -> Float32[np.ndarray, "channels"]:
    """Return each channel's share in the mix of a layout."""
    count = AudioLayout(layout).nb_channels
    alone = AudioFrame.from_ndarray(np.eye(count, dtype=np.float32).reshape(1, -1), format="flt", layout=layout)
    alone.sample_rate = RATE
    return _resample(_resampler(alone), alone)[0].to_ndarray()[0]


def _alone(frame: AudioFrame, channel: int) -> AudioFrame:
    """Return a frame that has one of its channels in place of all."""
    alone = _like(frame, frame.samples)
    alone.pts = frame.pts
    copies = 1 if frame.format.is_planar else frame.layout.nb_channels
    samples = np.repeat(_channels(frame)[channel], copies).tobytes()
    for plane in _planes(alone):
        plane.update(samples.ljust(plane.buffer_size, b"\0"))
    return alone


def _silence(like: AudioFrame, samples: int) -> AudioFrame:
    silent = _like(like, samples)
    for plane in _planes(silent):
        # Unsigned 8-bit sound is silent in the middle of its range.
        plane.update((b"\x80" if like.format.name.startswith("u8") else b"\x00") * plane.buffer_size)
    return silent


def _like(frame: AudioFrame, samples: int) -> AudioFrame:
    made = AudioFrame(format=frame.format.name, layout=frame.layout, samples=samples)
    made.sample_rate, made.time_base = frame.sample_rate, frame.time_base
    return made


def _planes(frame: AudioFrame) -> Sequence[AudioPlane]:
    # From 8 channels on, PyAV returns more planes than there are, at addresses of other data.
    return frame.planes[: frame.layout.nb_channels if frame.format.is_planar else 1]


def _channels(frame: AudioFrame) -> Shaped[np.ndarray, "channels samples"]:
    """Return the samples as they are stored."""
    count = frame.layout.nb_channels
    form = _TYPES[frame.format.name.removesuffix("p")]
    if frame.format.is_planar:
        return np.stack([np.frombuffer(plane, form, frame.samples) for plane in _planes(frame)])
    return np.frombuffer(frame.planes[0], form, frame.samples * count).reshape(-1, count).T
