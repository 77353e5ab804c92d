"""Extraction on one machine: reading processes, and the encoders in this one.

Letters: V videos, T segments, k frames a segment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple, Protocol, runtime_checkable

import torch

from avsgn_pyg.features.encoder import AudioEncoder, FrameEncoder
from avsgn_pyg.features.extraction.decode import Decoded, Reader, Result
from avsgn_pyg.features.extraction.jobs import Failed, Video
from avsgn_pyg.features.extraction.parts import Encoded
from avsgn_pyg.features.extraction.workers import Workers, default_workers
from avsgn_pyg.features.segments import encode_seconds, finite


class Outcome(NamedTuple):
    """What became of some videos, by id."""

    finished: dict[str, Encoded]
    failed: list[Failed]


@runtime_checkable
class Engine(Protocol):
    """Encodes videos, as many at a time as it likes, in any order, each once."""

    def run(self, videos: Sequence[Video]) -> Iterator[Outcome]:
        """Outcomes as they get ready; what one holds can be put away before the next is asked for."""


class LocalEngine:
    """Reading processes feed the encoders here with batches across videos.

    Args:
        segments: T.
        frames_per_segment: k.
        workers: reading processes; ``None`` takes a sensible number, 0 reads in this process.
        own_length: shorter videos are not padded to T.
    """

    def __init__(
        self, frame_encoder: FrameEncoder, audio_encoder: AudioEncoder, *, segments: int, frames_per_segment: int,
        workers: int | None = None, own_length: bool = False,
    ) -> None:
        self.frame_encoder, self.audio_encoder = frame_encoder, audio_encoder
        self.group = group_size(frame_encoder.batch_size, segments * frames_per_segment)
        reader = Reader(segments, frames_per_segment, frame_encoder.preparation, own_length)
        count = default_workers() if workers is None else workers
        # One group being encoded, one gathering.
        self.workers = Workers(reader, count, ahead=self.group + count + 1)

    def run(self, videos: Sequence[Video]) -> Iterator[Outcome]:
        """Outcomes of a group of videos each, and of what failed meanwhile."""
        with self.workers as workers, closing(workers.read(videos)) as results:
            for group, failed in gathered(results, self.group):
                yield encode_group(self.frame_encoder, self.audio_encoder, group, failed)


def group_size(batch_size: int, frames: int) -> int:
    """Videos of `frames` pictures that fill an encoder's batch without starting another."""
    return max(1, batch_size // frames)


def gathered(results: Iterable[Result], size: int) -> Iterator[tuple[list[Decoded], list[Failed]]]:
    """Groups of `size` decoded videos with what failed meanwhile; the last may be smaller."""
    group: list[Decoded] = []
    failed: list[Failed] = []
    for result in results:
        (failed if isinstance(result, Failed) else group).append(result)
        if len(group) == size:
            yield group, failed
            group, failed = [], []
    if group or failed:
        yield group, failed


def encode_group(
    frame_encoder: FrameEncoder, audio_encoder: AudioEncoder, group: Sequence[Decoded], failed: Sequence[Failed] = ()
) -> Outcome:
    """Encode decoded videos together, one length at a time; one whose features are not finite joins `failed`."""
    outcome = Outcome({}, list(failed))
    for seconds in sorted({len(decoded.samples) for decoded in group}):
        _encode_into(outcome, frame_encoder, audio_encoder, [each for each in group if len(each.samples) == seconds])
    return outcome


def _encode_into(
    outcome: Outcome, frame_encoder: FrameEncoder, audio_encoder: AudioEncoder, group: Sequence[Decoded]
) -> None:
    frames = torch.cat([decoded.frames for decoded in group])
    samples = torch.stack([decoded.samples for decoded in group])
    features = encode_seconds(frame_encoder, audio_encoder, frames, samples)
    for decoded, audio, visual in zip(group, *features, strict=True):
        problem, video = finite(audio, visual), decoded.video
        if problem is None:
            outcome.finished[video.id] = Encoded(audio, visual, decoded.marks, video.size)
        else:
            outcome.failed.append(Failed(video.id, video.rows, problem))
