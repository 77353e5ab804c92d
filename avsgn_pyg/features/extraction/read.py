"""Decode one video into arrays for the encoders; runs in the reading processes.

Shapes: T segments of one second, k frames per segment.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from avsgn_pyg.features.encode import Segment
from avsgn_pyg.features.extraction.videos import Failure, Flags, Video
from avsgn_pyg.features.media import MediaError, probe, read_seconds

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
        segments: T; longer videos are cut, shorter ones padded and flagged.
        frames_per_segment: k.
        preparation: the frame encoder's.
        own_length: shorter videos are not padded.
    """

    segments: int
    frames_per_segment: int
    preparation: Callable[[UInt8[Tensor, "F H W 3"]], Tensor]
    own_length: bool = False

    def __call__(self, video: Video) -> Decoded | Failure:
        """Return the decoded video, or a failure with its reason."""
        try:
            return self.read(video.path)
        except Exception as error:
            # A store must not name the folders of the machine that wrote it.
            message = str(error).replace(f"{video.path}: ", "", 1).replace(str(video.path), video.path.name)
            reason = message if isinstance(error, MediaError) else f"{type(error).__name__}: {message}"
            return Failure(video.id, video.rows, reason, is_retryable(error) or not video.path.exists())

    def read(self, path: Path) -> Decoded:
        """Decode a file; MediaError if it cannot be read. Frames are prepared as they are read, to save memory."""
        frames, samples, unheard, unseen = [], [], 0, 0
        count = min(self.segments, probe(path).seconds) if self.own_length else self.segments
        for second in read_seconds(path, frames_per_segment=self.frames_per_segment, count=count):
            frames.append(self.preparation(second.frames))
            samples.append(second.samples)
            unheard += second.heard < 0.5
            unseen += not bool(second.seen.any())
        breaks_off = bool(unheard or unseen) and probe(path).breaks_off
        pictures = torch.stack(frames)
        return Decoded(pictures.view(torch.uint8).numpy(), pictures.dtype, torch.stack(samples).numpy(),
                       Flags(unheard, unseen, breaks_off))


def is_retryable(error: BaseException | None) -> bool:
    """Return whether an error, or one that caused it, is caused by the state of the machine and not by the file."""
    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) in RETRYABLE:
            return True
        error = error.__cause__ or error.__context__
    return False
