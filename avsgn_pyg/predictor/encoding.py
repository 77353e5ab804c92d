"""Encode a clip of any length as the features of its windows, in one pass over the file and in bounded memory.

Shapes: S seconds of the clip, W windows of T seconds with R features a second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.features.encode import Segment, WindowEncoder, find_not_finite
from avsgn_pyg.features.encoder import AudioEncoder, FrameEncoder
from avsgn_pyg.features.media import Limits, MediaInfo, Second, probe, read_seconds, subdivide
from avsgn_pyg.predictor.windows import hop, window_starts

#: Seconds that are encoded together.
BATCH_SECONDS = 64

Watch = Callable[[Second, int], None]


@dataclass(frozen=True, eq=False)
class EncodedClip:
    """A clip, ready for the model.

    Attributes:
        audio, visual: features of every window.
        seconds: S; less than T if the clip is shorter than a window.
        duration: in seconds, not rounded.
        seen: share of the second's pictures that the video really has.
        heard: share of the second that the sound track covers.
        notes: sentences about the file for the user.
    """

    audio: Float[Tensor, "W TR da"]
    visual: Float[Tensor, "W TR dv"]
    seconds: int
    duration: float
    seen: Float[Tensor, "S"]
    heard: Float[Tensor, "S"]
    notes: tuple[str, ...] = ()


def encode_clip(
    path: Path, frame_encoder: FrameEncoder, audio_encoder: AudioEncoder, *, segments: int, frames_per_segment: int,
    rate: int = 1, padded: bool = True, limits: Limits = Limits(),  # noqa: B008
    watch: Watch | None = None,
) -> EncodedClip:
    """Read a clip and encode its windows in batches of :data:`BATCH_SECONDS`.

    Args:
        segments: T, seconds of a window.
        frames_per_segment: pictures of each feature.
        rate: R.
        padded: whether a clip shorter than a window is padded, as in extraction, or has one shorter window.
        limits: on reading the file.
        watch: is called with every second that was read, and the number of seconds to read.

    Raises:
        MediaError: the file cannot be read, or exceeds a limit.
        DataError: an encoder returned NaN or infinity.
    """
    info = probe(path, limits=limits)
    segments = segments if padded else min(segments, info.seconds)
    length = max(info.seconds, segments)
    starts = window_starts(length, segments)
    more = int(rate > 1)  # the sound of the last parts reaches into the next second
    seconds = read_seconds(path, frames_per_segment=frames_per_segment * rate, count=length + more,
                           limits=replace(limits, seconds=limits.seconds + more))
    seconds = seconds if watch is None else _watched(seconds, info.seconds, watch)
    encode, size = WindowEncoder(frame_encoder, audio_encoder, rate), max(1, BATCH_SECONDS // hop(segments))
    seen, heard, windows, features = [], [], [], []
    ends, recent = {start + segments for start in starts}, deque(maxlen=segments * rate)
    for count, part in enumerate(islice(subdivide(seconds, rate), length * rate), start=1):
        seen.append(part.seen.float().mean())
        heard.append(float(part.heard))
        # Prepared at once: few full-size pictures are held.
        recent.append(Segment(frame_encoder.preparation(part.frames), part.samples))
        if count % rate == 0 and count // rate in ends:
            windows.append(list(recent))
            if len(windows) == size or len(features) + len(windows) == len(starts):
                features += encode(windows)
                windows.clear()
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
        seen=torch.stack(seen).view(-1, rate).mean(1)[: info.seconds],
        heard=torch.tensor(heard)[::rate][: info.seconds],
        notes=tuple(_notes(info)),
    )


def _watched(seconds: Iterable[Second], count: int, watch: Watch) -> Iterator[Second]:
    """Show the first `count` seconds, which are not padding, to `watch`."""
    for second in seconds:
        if second.index < count:
            watch(second, count)
        yield second


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
