"""Which features belong to which annotated video, which events end after their clip, and records of the files.

Shapes: N annotated videos, M videos of a store.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.files import sha256
from avsgn_pyg.common.settings import DataConfig
from avsgn_pyg.data.ave import Annotations
from avsgn_pyg.data.feature_store import Features
from avsgn_pyg.data.rows import format_some

#: Index of a video without features.
ABSENT: Final = -1
#: Largest relative and absolute difference between features of one clip that was encoded twice.
CLOSE: Final = 1e-3
UNKNOWN: Final = "clip lengths are not recorded, so events that end after their clip cannot be found"
DONE: Final = {"keep": "their padded seconds count as the event (data.padded_events=background or drop changes this)",
               "background": "their padded seconds count as background", "drop": "left out"}
#: Files up to this size are hashed completely; of larger ones, evenly spread samples of this total size.
DIGEST_BYTES = 64 * 2**20
SAMPLES: Final = 64


def find_by_row(features: Features, annotations: Annotations, name: str) -> Int[Tensor, "N"]:
    """Return the index of the features of every annotated row, ABSENT without any.

    Args:
        name: of the feature files, for errors.

    Raises:
        DataError: a store without `rows` has another number of videos than the annotations have rows; a row beyond the
            annotations; a video whose id is not that of its row.
    """
    videos, count = len(features.video_ids), len(annotations)
    if features.rows is None and videos != count:
        raise DataError(f"{name}: {videos} videos, but {annotations.path} has {count} rows; a store of some rows needs "
                        "a list 'rows'")
    rows = torch.arange(videos) if features.rows is None else features.rows
    if int(rows.max()) >= count:
        raise DataError(f"{name}: row {int(rows.max())}, but {annotations.path} has {count} rows")
    for place, (video_id, row) in enumerate(zip(features.video_ids, rows.tolist(), strict=True)):
        if video_id != annotations.video_ids[row]:
            raise DataError(f"{name}, entry {place}: row {row} is video {video_id!r} here and "
                            f"{annotations.video_ids[row]!r} in {annotations.path}")
    places = torch.full((count,), ABSENT)
    places[rows] = torch.arange(videos)
    return places


def places_by_id(features: Features) -> tuple[dict[str, int], list[str]]:
    """Return the index of the features of every id, and the ids that are repeated with other features.

    An id that is repeated with the same features, as in a store of AVE's rows, has the first index.
    """
    found: dict[str, int] = {}
    different: dict[str, None] = {}
    for place, video_id in enumerate(features.video_ids):
        first = found.setdefault(video_id, place)
        if first != place and not _are_close(features, first, place):
            different[video_id] = None
    return {video_id: place for video_id, place in found.items() if video_id not in different}, list(different)


def find_by_id(features: Features, annotations: Annotations, name: str) -> Int[Tensor, "N"]:
    """As :func:`find_by_row`, for annotations with unique ids, whatever the order of the store.

    Raises:
        DataError: the store has an id with several features, or none of the annotated ids.
    """
    place, ambiguous = places_by_id(features)
    places = torch.tensor([place.get(video_id, ABSENT) for video_id in annotations.video_ids])
    if ambiguous or bool((places == ABSENT).all()):
        raise DataError(f"{name}: ids must be unique and occur in {annotations.path}; {len(ambiguous)} occur with "
                        f"several features, {int((places != ABSENT).sum())} are annotated")
    return places


def _are_close(features: Features, one: int, other: int) -> bool:
    """Return whether two videos of a store have the same length, and the same features up to rounding."""
    end, length = features.seconds[[one, other]].tolist()
    return end == length and all(torch.allclose(part[one, :end], part[other, :end], CLOSE, CLOSE)
                                 for part in (features.audio, features.visual))


def find_padded(
    annotations: Annotations, features: Features, places: Int[Tensor, "N"]
) -> tuple[Bool[Tensor, "N"], list[str]]:
    """Return which events end after their clip, and a sentence if there are any; none if lengths are not recorded."""
    if features.clip_seconds is None:
        return torch.zeros(len(annotations), dtype=torch.bool), []
    seconds = _clip_seconds(annotations, features, places)
    padded = annotations.end > seconds
    rows = [f"row {row} ({annotations.video_ids[row]}) ends at {int(annotations.end[row])}, its clip has "
            f"{int(seconds[row])} s" for row in padded.nonzero().flatten().tolist()]
    return padded, [f"events that end after their clip: {len(rows)}: {format_some(rows, most=20)}"] if rows else []


def label_padded(
    config: DataConfig, annotations: Annotations, features: Features, places: Int[Tensor, "N"], name: str
) -> tuple[Annotations, Bool[Tensor, "N"], list[str]]:
    """Apply ``data.padded_events``: return the annotations to train on, the rows to leave out, and a warning.

    Raises:
        DataError: a setting other than ``keep`` without recorded lengths; or ``keep`` for a store of mixed lengths,
            which has no seconds for the end of such an event.
    """
    choice = config.padded_events
    padded, found = find_padded(annotations, features, places)
    if choice != "keep" and features.clip_seconds is None:
        raise DataError(f"{name}: {UNKNOWN}; for data.padded_events={choice}, extract the features again with "
                        "tools/extract_features.py; otherwise set data.padded_events=keep")
    if not found:
        return annotations, padded, []
    if choice == "keep" and features.lengths is not None:
        raise DataError(f"{name}: {found[0]}; correct the annotations, or set data.padded_events=background or drop")
    if choice == "background":
        end = annotations.end.minimum(_clip_seconds(annotations, features, places))
        some = annotations.start < end
        annotations = dataclasses.replace(annotations, start=annotations.start * some, end=end * some)
    return annotations, padded if choice == "drop" else torch.zeros_like(padded), [f"{found[0]}; {DONE[choice]}"]


def _clip_seconds(annotations: Annotations, features: Features, places: Int[Tensor, "N"]) -> Int[Tensor, "N"]:
    return torch.where(places == ABSENT, annotations.segments, features.clip_seconds[places])


def file_record(path: Path) -> dict[str, Any]:
    """Return what identifies a file: name, size, and a digest of its bytes; JSON-ready.

    ``hashed`` says what the digest covers. Files above 64 MiB are sampled, start and end included, so that an 8 GB file
    takes no minutes; a change that lies wholly between samples is not seen.
    """
    size, length = path.stat().st_size, DIGEST_BYTES // SAMPLES
    known = {"file": path.name, "bytes": size}
    if size <= DIGEST_BYTES:
        return {**known, "sha256": sha256(path), "hashed": "whole file"}
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for sample in range(SAMPLES):
            file.seek((size - length) * sample // (SAMPLES - 1))
            digest.update(file.read(length))
    return {**known, "sha256": digest.hexdigest(),
            "hashed": f"size and {SAMPLES} evenly spread samples of {length} bytes"}
