"""Mix and resample decoded audio frames to mono at 48 kHz, and place the samples on the presentation's clock."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import torch
from av import AudioFrame, AudioResampler
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.features.media.container import Source

RATE = 48_000
# Where timestamps and the count of samples differ by less than this (s), it is rounding, and the count is right.
_SLACK = 0.03
# Sound from this long (s) before the first second on is resampled; earlier sound only lets the decoder settle.
_SETTLING = 0.5
# The coarsest unit of time (s) in which a container counts.
_ROUNDING = 0.001


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
        self.resampler: AudioResampler | None = None

    def feed(self, frame: AudioFrame) -> None:
        """Add the next frame; if it does not directly follow the last one, a new run begins at its time."""
        begin, rate = None if frame.pts is None else self._position(frame), frame.sample_rate
        if self.resampler is not None and not self._continues(frame, begin):
            self.flush()
        if self.resampler is None:
            if begin is not None and begin < (self.next - _SETTLING) * rate:
                return
            self._start_run(frame, round(self.reached * rate) if begin is None else self._unrounded(frame, begin))
        self.end += frame.samples
        frame.pts = None
        self._write(self.resampler.resample(frame))

    def flush(self) -> None:
        """Write the samples that are still in the resampler."""
        if self.resampler is not None:
            self._write(self.resampler.resample(None))
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
        # Without the limit FFmpeg mixes float stereo to mono at 0.71 + 0.71, and integer stereo at 0.5 + 0.5.
        self.resampler = AudioResampler(format="fltp", layout="mono", rate=RATE, options={"rematrix_maxval": "1.0"})
        self.form, self.begin, self.end = (frame.format.name, frame.layout.name, frame.sample_rate), begin, begin
        silence = begin % (frame.sample_rate // math.gcd(frame.sample_rate, RATE))
        self.output = (begin - silence) * RATE // frame.sample_rate
        if silence:
            self._write(self.resampler.resample(_silence(frame, silence)))

    def _write(self, frames: list[AudioFrame]) -> None:
        """Write resampled frames to the buffers, except what lies outside the run or in seconds already taken."""
        samples = np.concatenate([frame.to_ndarray()[0] for frame in frames] or [np.zeros(0, np.float32)])
        rate, place, self.output = self.form[2], self.output, self.output + len(samples)
        last = min(self.output, self.end * RATE // rate)
        self.reached = max(self.reached, last / RATE)
        start = max(place, -(-self.begin * RATE // rate), self.next * RATE)
        while start < last:
            second, inside = divmod(start, RATE)
            stop = min(last, (second + 1) * RATE)
            self.buffers[second][inside : inside + stop - start] = samples[start - place : stop - place]
            start = stop


def _silence(like: AudioFrame, samples: int) -> AudioFrame:
    silent = AudioFrame(format=like.format.name, layout=like.layout, samples=samples)
    silent.sample_rate, silent.time_base = like.sample_rate, like.time_base
    for plane in silent.planes:
        # Unsigned 8-bit sound is silent in the middle of its range.
        plane.update((b"\x80" if like.format.name.startswith("u8") else b"\x00") * plane.buffer_size)
    return silent
