"""A clip and a picture of every event of a prediction."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from avsgn_pyg.common.video_writer import write_video
from avsgn_pyg.features.limits import Limits
from avsgn_pyg.features.media import RATE, MediaError, MediaInfo, probe, read_seconds
from avsgn_pyg.features.media.cut import copy_part, copy_suffix
from avsgn_pyg.predictor.prediction import FoundEvent, Prediction
from avsgn_pyg.predictor.record import CUT

Place = Callable[[str], AbstractContextManager[Path]]
#: Maximum frames per second of a clip that is encoded again.
_FRAMES = 30


def write_cuts(prediction: Prediction, place: Place, stem: str, limits: Limits) -> list[str]:
    """Write ``<stem>.event-<n><suffix>`` and, if there is a picture, ``<stem>.event-<n>.jpg``; return their names.

    A clip is copied without loss if the file has a keyframe at its start; otherwise it is encoded again (H.264 and mono
    AAC, upright, at most 30 frames per second).

    Args:
        place: yields the path to write a file of this name to.

    Raises:
        MediaError: the file cannot be read again.
        OSError: a file cannot be written.
    """
    info, names = probe(prediction.path, limits=limits), []
    for number, event in enumerate(prediction.events, 1):
        name = f"{stem}{CUT}{number}"
        names.append(_write_clip(info, event, name, place, limits))
        middle = int((event.start + event.end) / 2)
        second = next(iter(read_seconds(prediction.path, start=middle, count=1, limits=limits)))
        if bool(second.seen[0]):
            names.append(f"{name}.jpg")
            with place(names[-1]) as partial:
                Image.fromarray(second.frames[0].numpy()).save(partial, "JPEG", quality=90)
    return names


def _write_clip(info: MediaInfo, event: FoundEvent, name: str, place: Place, limits: Limits) -> str:
    path = info.path
    with suppress(MediaError):  # then it is encoded
        # A file with notes, such as clock jumps, has timestamps that cannot be copied.
        suffix = None if info.notes else copy_suffix(path, event.start, limits)
        if suffix is not None:
            with place(name + suffix) as partial:
                copy_part(path, partial, event.start, event.end, limits)
                if abs(probe(partial, limits=limits).duration - (event.end - event.start)) > 1:
                    raise MediaError(f"{partial}: incomplete")
            return name + suffix
    with place(f"{name}.mp4") as partial:
        _encode(info, partial, event, limits)
    return f"{name}.mp4"


def _encode(info: MediaInfo, out: Path, event: FoundEvent, limits: Limits) -> None:
    path, length = info.path, event.end - event.start
    rate = min(max(1, round(info.frame_rate)), _FRAMES)
    size = (max(2, info.height // 2 * 2), max(2, info.width // 2 * 2)) if info.has_video else None
    first = int(event.start)
    before = event.start - first  # seconds that are read before the event
    span = {"start": first, "count": math.ceil(event.end) - first, "limits": limits}
    sound = None
    if info.has_audio:
        mono = np.concatenate([second.samples.numpy() for second in read_seconds(path, size=(2, 2), **span)])
        sound = np.stack((mono, mono))[:, round(before * RATE) : round((before + length) * RATE)]
    # Frames are made as they are written: a minute of them does not fit into memory.
    frames = (frame for second in read_seconds(path, frames_per_segment=rate, size=size, **span)
              for frame in second.frames.numpy())
    skipped = round(before * rate)
    frames = islice(frames, skipped, skipped + max(1, round(length * rate)))
    write_video(out, frames, sound, frame_rate=rate, sample_rate=RATE)
