"""Decode one video into arrays for the encoders; runs in the reading processes.

Shapes: T segments, k frames per segment.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from avsgn_pyg.features.encode import Segment
from avsgn_pyg.features.extraction.videos import Failure, Flags, Video
from avsgn_pyg.features.limits import Limits
from avsgn_pyg.features.media import TOLERANCE, MediaError, probe, read_seconds, subdivide

#: Errors of a disk, a mount, a network, or a machine without resources.
RETRYABLE = frozenset(
    getattr(errno, name) for name in ("EIO", "ESTALE", "ENODEV", "ENXIO", "ENOTCONN", "ETIMEDOUT", "EHOSTDOWN",
                                      "ENOMEM", "ENFILE", "EMFILE", "EAGAIN", "EINTR") if hasattr(errno, name)
)


class Decoded(NamedTuple):
    """A decoded video as numpy arrays: torch would send tensors through shared memory, which containers lack.

    Attributes:
        frames: [T, k, ...] prepared frames, their numbers as bytes.
        dtype: of the frames; numpy has no bfloat16.
        samples: mono sound.
        flags: what was padded.
    """

    frames: UInt8[np.ndarray, "T k *rest"]
    dtype: torch.dtype
    samples: Float[np.ndarray, "T 48000"]
    flags: Flags

    def window(self) -> list[Segment]:
        """Return the segments, as one window for the encoders."""
        frames = torch.from_numpy(self.frames).view(self.dtype)
        return [Segment(*each) for each in zip(frames, torch.from_numpy(self.samples), strict=True)]


@dataclass(frozen=True)
class Reader:
    """Reads videos; goes to other processes, so `preparation` must pickle.

    Attributes:
        segments: seconds; longer videos are cut, shorter ones padded and flagged.
        frames_per_segment: k.
        rate: segments a second.
        preparation: the frame encoder's.
        own_length: shorter videos are not padded.
        limits: on reading one file.
    """

    segments: int
    frames_per_segment: int
    preparation: Callable[[UInt8[Tensor, "F H W 3"]], Tensor]
    own_length: bool = False
    limits: Limits = field(default_factory=Limits)
    rate: int = 1

    def __call__(self, video: Video) -> Decoded | Failure:
        """Return the decoded video, or a failure with its reason."""
        try:
            return self.read(video.path, video.start)
        except Exception as error:
            return video.failure(error, is_retryable(error) or not video.path.exists())

    def read(self, path: Path, start: int = 0) -> Decoded:
        """Decode a file from the second `start` on; MediaError if it cannot be read.

        Frames are prepared as they are read, to save memory.
        """
        frames, samples, heard, seen, count, longer = [], [], [], [], self.segments, False
        rate = self.rate
        if self.own_length:
            count = max(1, min(count, probe(path, limits=self.limits).seconds - start))
        # One second more is read than encoded, to detect a longer file.
        limits = replace(self.limits, seconds=self.limits.seconds + 1)
        seconds = read_seconds(path, frames_per_segment=rate * self.frames_per_segment, start=start, count=count + 1,
                               limits=limits)
        for second in subdivide(seconds, rate):
            if len(frames) == count * rate:
                longer = not start and (second.heard > TOLERANCE or bool(second.seen.any()))
                break
            frames.append(self.preparation(second.frames))
            samples.append(second.samples)
            heard.append(second.heard)
            seen.append(bool(second.seen.any()))
        heard, seen = heard[::rate], [any(seen[at : at + rate]) for at in range(0, len(seen), rate)]
        lasts = max((place for place in range(count) if seen[place] or heard[place] > TOLERANCE), default=-1) + 1
        if start and not lasts:
            raise MediaError(f"{path}: ends before second {start}, the start of its clip; if the file contains only "
                             "this clip, name it by the whole id")
        unheard, unseen = sum(share < 0.5 for share in heard), count - sum(seen)
        info = probe(path, limits=self.limits) if unheard or unseen or longer else None
        about = (False, ()) if info is None else (info.breaks_off, info.notes)
        flags = Flags(unheard, unseen, about[0], count - lasts, longer, start, about[1])
        pictures = torch.stack(frames)
        return Decoded(pictures.view(torch.uint8).numpy(), pictures.dtype, torch.stack(samples).numpy(), flags)


def is_retryable(error: BaseException | None) -> bool:
    """Return whether an error, or one that caused it, is caused by the state of the machine and not by the file."""
    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) in RETRYABLE:
            return True
        error = error.__cause__ or error.__context__
    return False
