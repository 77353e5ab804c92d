"""One video, from its file to what the encoders take: the work of a reading process.

Letters: T segments of one second, k frames a segment, F = T k frames.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from avsgn_pyg.features.extraction.jobs import Failed, Marks, Video
from avsgn_pyg.features.media import MediaError, probe, read_seconds

#: Of a disk, a mount, a network or a machine in trouble.
PASSING = frozenset(
    getattr(errno, name) for name in ("EIO", "ESTALE", "ENODEV", "ENXIO", "ENOTCONN", "ETIMEDOUT", "EHOSTDOWN",
                                      "ENOMEM", "ENFILE", "EMFILE", "EAGAIN", "EINTR") if hasattr(errno, name)
)
Preparation = Callable[[UInt8[Tensor, "F H W 3"]], Tensor]


@dataclass(frozen=True)
class Decoded:
    """A video, ready for the encoders.

    Attributes:
        video: whose it is.
        frames: [F ...] as the frame encoder's preparation leaves them, second by second.
        samples: [T, 48000] mono sound.
        marks: what was padded.
    """

    video: Video
    frames: Tensor
    samples: Float[Tensor, "T 48000"]
    marks: Marks


Result = Decoded | Failed


@dataclass(frozen=True)
class Reader:
    """How videos are read; goes to other processes, so `preparation` must pickle.

    Attributes:
        segments: T; longer videos are cut, shorter ones padded and marked.
        frames_per_segment: k.
        preparation: the frame encoder's, run here because many can run at once.
        own_length: a shorter video ends where it ends, and nothing is padded for it.
    """

    segments: int
    frames_per_segment: int
    preparation: Preparation
    own_length: bool = False

    def __call__(self, video: Video) -> Result:
        """The decoded video, or why there is none; a bad file never raises."""
        try:
            return self.read(video)
        except (MediaError, OSError, ValueError, ArithmeticError, LookupError, RuntimeError, MemoryError) as error:
            said = without_path(str(error), video.path)
            reason = said if isinstance(error, MediaError) else f"{type(error).__name__}: {said}"
            return Failed(video.id, video.rows, reason, passes(error) or not video.path.exists())

    def read(self, video: Video) -> Decoded:
        """The decoded video. Pictures are prepared second by second: the full-size ones never pile up.

        Raises:
            MediaError: the file cannot be read.
        """
        frames, samples, unheard, unseen = [], [], 0, 0
        count = min(self.segments, probe(video.path).seconds) if self.own_length else self.segments
        for second in read_seconds(video.path, frames_per_segment=self.frames_per_segment, count=count):
            frames.append(self.preparation(second.frames))
            samples.append(second.samples)
            unheard += second.heard < 0.5
            unseen += not bool(second.seen.any())
        breaks_off = bool(unheard or unseen) and probe(video.path).breaks_off
        return Decoded(video, torch.cat(frames), torch.stack(samples), Marks(unheard, unseen, breaks_off))


def passes(error: BaseException | None) -> bool:
    """Whether an error, or one that led to it, is of the machine at that moment and not of the file."""
    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) in PASSING:
            return True
        error = error.__cause__ or error.__context__
    return False


def without_path(said: str, path: Path) -> str:
    """An error without the path it opens with: a store tells nobody where its maker keeps files."""
    return said.replace(f"{path}: ", "", 1).replace(str(path), path.name)
