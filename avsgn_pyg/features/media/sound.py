"""The sound of a media file: frames come as they are decoded, and land as mono samples on the presentation's clock."""

from __future__ import annotations

import math

import numpy as np
import torch
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.features.media.container import Source

RATE = 48_000
# Timestamps may stray this far (s) from the count of samples before they are believed: rounding, not a gap.
_SLACK = 0.03
# Sound from this long (s) before the first second on is resampled; what comes earlier lets the decoder settle.
_SETTLING = 0.5
# The coarsest time (s) that a container with frames of uneven times counts in.
_ROUNDING = 0.001


class Track:
    """Mono sound at :data:`RATE` by whole seconds; sample n of a second sounds n / RATE after its start.

    Args:
        first: the first second that is wanted.
    """

    def __init__(self, source: Source, *, first: int) -> None:
        self._first_frame, self._zero, self._next = source.sound, float(source.zero), first
        self._run: _Run | None = None
        self._buffers: dict[int, np.ndarray] = {}
        self._counts: dict[int, int] = {}
        self.reached = float(first)

    @property
    def done(self) -> int:
        """Every second before this one has its samples."""
        return math.floor(self.reached)

    def feed(self, frame: AudioFrame) -> None:
        """Take the next frame; where its time does not follow on the last, the samples jump with it."""
        begins = None if frame.pts is None else self._place(frame)
        if self._run is None and begins is not None and begins < (self._next - _SETTLING) * frame.sample_rate:
            return
        if self._run is not None and not self._run.continues(frame, begins):
            self.close()
        if self._run is None:
            here = round(self.reached * frame.sample_rate)
            self._run = _Run(frame, here if begins is None else begins + self._off_beat(frame, begins))
        self._write(*self._run.feed(frame))

    def close(self) -> None:
        """No more frames, or none that follow on the last: what the resampler still holds comes out."""
        if self._run is not None:
            self._write(*self._run.finish())
            self._run = None

    def take(self) -> tuple[Float[Tensor, "48000"], float]:
        """Samples of the earliest second that was not taken yet, and the share of it that the track covers."""
        samples = self._buffers.pop(self._next, None)
        heard = min(1.0, self._counts.pop(self._next, 0) / RATE)
        self._next += 1
        samples = np.zeros(RATE, dtype=np.float32) if samples is None else samples
        return torch.from_numpy(samples).clamp_(-1, 1), heard

    def _place(self, frame: AudioFrame) -> int:
        """The frame's first sample, counted at its own rate from the presentation's start."""
        return round((frame.time - self._zero) * frame.sample_rate)

    def _off_beat(self, frame: AudioFrame, begins: int) -> int:
        """Samples from here to where the frame stood before the container rounded its time.

        Frames of one length follow on the first; without this, reading from the middle could differ by a rounding.
        """
        first = self._first_frame
        if first is None or first.pts is None or not frame.samples or first.sample_rate != frame.sample_rate:
            return 0
        off = (self._place(first) + first.samples - begins) % frame.samples
        off -= frame.samples if off > frame.samples // 2 else 0
        rounding = min(float(frame.time_base), _ROUNDING) * frame.sample_rate
        return off if abs(off) <= math.ceil(rounding) else 0

    def _write(self, at: int, samples: np.ndarray) -> None:
        self.reached = max(self.reached, (at + len(samples)) / RATE)
        behind = max(0, self._next * RATE - at)
        at, samples = at + behind, samples[behind:]
        while len(samples):
            second, place = divmod(at, RATE)
            part = samples[: RATE - place]
            if second not in self._buffers:
                self._buffers[second] = np.zeros(RATE, dtype=np.float32)
            self._buffers[second][place : place + len(part)] = part
            self._counts[second] = self._counts.get(second, 0) + len(part)
            at, samples = at + len(part), samples[len(part) :]


class _Run:
    """Frames that follow on each other, through one resampler.

    Input and output samples share an instant every `_period` input samples. A run is filled up with silence back to
    such an instant, so that samples come out the same wherever reading began.
    """

    def __init__(self, frame: AudioFrame, begins: int) -> None:
        self._form = (frame.format.name, frame.layout.name, frame.sample_rate)
        # Without the limit FFmpeg mixes float stereo to mono at 0.71 + 0.71, and integer stereo at 0.5 + 0.5.
        self._resampler = AudioResampler(format="fltp", layout="mono", rate=RATE, options={"rematrix_maxval": "1.0"})
        self._rate, self._begins, self._ends = frame.sample_rate, begins, begins
        silence = begins % (self._rate // math.gcd(self._rate, RATE))
        self._out = (begins - silence) * RATE // self._rate
        self._lead = _silence(frame, silence) if silence else None

    def continues(self, frame: AudioFrame, begins: int | None) -> bool:
        same = (frame.format.name, frame.layout.name, frame.sample_rate) == self._form
        return same and (begins is None or abs(begins - self._ends) <= _SLACK * self._rate)

    def feed(self, frame: AudioFrame) -> tuple[int, np.ndarray]:
        """Where, in output samples, the samples go that are ready now, and those samples."""
        frames = [frame] if self._lead is None else [self._lead, frame]
        self._lead = None
        self._ends += frame.samples
        parts = []
        for part in frames:
            part.pts = None
            parts += self._resampler.resample(part)
        return self._placed(parts)

    def finish(self) -> tuple[int, np.ndarray]:
        return self._placed(self._resampler.resample(None))

    def _placed(self, frames: list[AudioFrame]) -> tuple[int, np.ndarray]:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in frames] or [np.zeros(0, np.float32)])
        at, self._out = self._out, self._out + len(samples)
        first = max(at, -(-self._begins * RATE // self._rate))
        last = min(self._out, self._ends * RATE // self._rate)
        return first, samples[first - at : max(first, last) - at]


def _silence(like: AudioFrame, samples: int) -> AudioFrame:
    """A silent frame of another frame's form."""
    silent = AudioFrame(format=like.format.name, layout=like.layout, samples=samples)
    silent.sample_rate, silent.time_base = like.sample_rate, like.time_base
    for plane in silent.planes:
        # Unsigned 8-bit sound is silent in the middle of its range.
        plane.update((b"\x80" if like.format.name.startswith("u8") else b"\x00") * plane.buffer_size)
    return silent
