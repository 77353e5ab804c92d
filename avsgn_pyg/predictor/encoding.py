"""Encode a clip of any length as the features of its windows, in one pass over the file and in bounded memory.

Shapes: S seconds of the clip, W windows of T seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.features.encode import Segment, WindowEncoder, batched, find_not_finite
from avsgn_pyg.features.encoder import AudioEncoder, FrameEncoder
from avsgn_pyg.features.media import Limits, MediaInfo, probe, read_seconds
from avsgn_pyg.predictor.windows import hop, window_starts

#: Seconds that are encoded together.
BATCH_SECONDS = 64


@dataclass(frozen=True, eq=False)
class EncodedClip:
    """A clip, ready for the model.

    Attributes:
        audio, visual: features of every window.
        seconds: S; less than T if the clip was padded.
        duration: in seconds, not rounded.
        seen: share of the second's pictures that the video really has.
        heard: share of the second that the sound track covers.
        notes: sentences about the file for the user.
    """

    audio: Float[Tensor, "W T da"]
    visual: Float[Tensor, "W T dv"]
    seconds: int
    duration: float
    seen: Float[Tensor, "S"]
    heard: Float[Tensor, "S"]
    notes: tuple[str, ...] = ()


def encode_clip(
    path: Path, frame_encoder: FrameEncoder, audio_encoder: AudioEncoder, *, segments: int, frames_per_segment: int,
    limits: Limits = Limits(),  # noqa: B008
) -> EncodedClip:
    """Read a clip and encode its windows of `segments` seconds; one shorter than a window is padded as in extraction.

    Raises:
        MediaError: the file cannot be read, or exceeds a limit.
        DataError: an encoder returned NaN or infinity.
    """
    info = probe(path, limits=limits)
    length = max(info.seconds, segments)
    starts, seen, heard = window_starts(length, segments), [], []

    def read() -> Iterator[Segment]:
        for second in read_seconds(path, frames_per_segment=frames_per_segment, count=length, limits=limits):
            seen.append(second.seen.float().mean())
            heard.append(float(second.heard))
            # Prepared at once: few full-size pictures are held.
            yield Segment(frame_encoder.prepare(second.frames), second.samples)

    encode, features = WindowEncoder(frame_encoder, audio_encoder), []
    for windows in batched(_windows(read(), starts, segments), max(1, BATCH_SECONDS // hop(segments))):
        features += encode(windows)
    for start, (audio, visual) in zip(starts, features, strict=True):
        problem = find_not_finite(audio, visual)
        if problem is not None:
            raise DataError(f"{path}: {problem} of the window from second {start}")
    audio, visual = map(torch.stack, zip(*features, strict=True))
    return EncodedClip(
        audio=audio,
        visual=visual,
        seconds=info.seconds,
        duration=float(info.duration),
        seen=torch.stack(seen)[: info.seconds],
        heard=torch.tensor(heard)[: info.seconds],
        notes=tuple(_notes(info)),
    )


def _windows(seconds: Iterable[Segment], starts: list[int], segments: int) -> Iterator[list[Segment]]:
    ends, recent = {start + segments for start in starts}, deque(maxlen=segments)
    for count, second in enumerate(seconds, start=1):
        recent.append(second)
        if count in ends:
            yield list(recent)


def _notes(info: MediaInfo) -> Iterator[str]:
    yield from info.notes
    if info.breaks_off:
        yield f"the file ends early: its header states {info.stated:.2f} s, there are {info.duration:.2f}"
    for present, what in ((info.has_video, "picture"), (info.has_audio, "sound")):
        if not present:
            yield f"no {what} in this file: an event, which is heard and seen, can only be guessed"


def pad(rows: Float[Tensor, "S d"], segments: int) -> Float[Tensor, "S2 d"]:
    """Return at least `segments` rows, by repeating the last one."""
    return rows if len(rows) >= segments else torch.cat((rows, rows[-1:].expand(segments - len(rows), -1)))
