"""Sources of features: a feature store, or the two h5 files of the AVE release.

Shapes: N annotated videos, M videos of the files, T segments, da / dv feature widths.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Int
from torch import Tensor

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.files import sha256
from avsgn_pyg.data.ave import Annotations
from avsgn_pyg.data.feature_store import Features, LabelText
from avsgn_pyg.data.legacy import legacy_shape, read_legacy_features

#: Index of a row without features.
ABSENT: Final = -1
#: ``made by`` in the provenance of a store that :mod:`avsgn_pyg.features` extracted, and of a converted one.
EXTRACTION: Final = "avsgn_pyg.features"
CONVERSION: Final = "avsgn_pyg.data.convert"
#: Files up to this size are hashed completely; of larger ones, evenly spread samples of this total size.
DIGEST_BYTES = 64 * 2**20
SAMPLES: Final = 64


@dataclass(frozen=True)
class Source:
    """Features of M videos, and their properties, which are known before the features are read.

    Attributes:
        files: the h5 files.
        videos, segments, widths: M, T and (da, dv).
        read: function that returns all features, [M, T, da] and [M, T, dv] float32.
        video_ids: one per video, in a store; checked against the annotations.
        rows: [M] annotated row of each video; ``None`` if video k is row k.
        lengths: [M] seconds of each video if they are mixed.
        seconds: [M] seconds of each clip without padding; ``None`` if they are not recorded.
        categories: class names in index order, if the files have them.
        label_text: the source's own label text, if it has one.
        provenance: JSON-ready.
        failed: row -> reason for which extraction or conversion failed.
    """

    files: tuple[Path, ...]
    videos: int
    segments: int
    widths: tuple[int, int]
    read: Callable[[], tuple[Tensor, Tensor]]
    video_ids: tuple[str, ...] | None = None
    rows: Int[Tensor, "M"] | None = None
    lengths: Int[Tensor, "M"] | None = None
    seconds: Int[Tensor, "M"] | None = None
    categories: tuple[str, ...] | None = None
    label_text: LabelText | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)

    def places(self, annotations: Annotations, *, by_id: bool = False) -> Int[Tensor, "N"]:
        """Return the index of every annotated row's features, ABSENT for rows without any.

        Args:
            by_id: find the videos of a store without `rows` by their ids, which must be unique in the annotations.

        Raises:
            DataError: without `rows`, another number of videos than rows; a row beyond the annotations; or a video
                whose id is not that of its row. By id: an id that the store has twice, or none of the annotations.
        """
        name, count = " and ".join(map(str, self.files)), len(annotations)
        if by_id and self.rows is None and self.video_ids is not None:
            place = {video_id: number for number, video_id in enumerate(self.video_ids)}
            found = torch.tensor([place.get(video_id, ABSENT) for video_id in annotations.video_ids])
            if len(place) < self.videos or bool((found == ABSENT).all()):
                raise DataError(f"{name}: ids must be different and those of {annotations.path}; "
                                f"{self.videos - len(place)} occur twice, {int((found != ABSENT).sum())} are annotated")
            return found
        if self.rows is None and self.videos != count:
            hint = "row k must be video k" if self.video_ids is None else "a store of some rows needs a list 'rows'"
            raise DataError(f"{name}: {self.videos} videos, but {annotations.path} has {count} rows; {hint}")
        rows = torch.arange(self.videos) if self.rows is None else self.rows
        if int(rows.max()) >= count:
            raise DataError(f"{name}: row {int(rows.max())}, but {annotations.path} has {count} rows")
        for place, (video_id, row) in enumerate(zip(self.video_ids or (), rows.tolist(), strict=False)):
            if video_id != annotations.video_ids[row]:
                raise DataError(f"{name}, entry {place}: row {row} is video {video_id!r} here and "
                                f"{annotations.video_ids[row]!r} in {annotations.path}")
        places = torch.full((count,), ABSENT)
        places[rows] = torch.arange(self.videos)
        return places


def store_source(path: Path, features: Features) -> Source:
    """Return the content of the feature store at `path` as a source; DataError if its segments are not seconds."""
    if features.rate != 1:
        raise DataError(f"{path}: {features.rate} features a second; annotations of whole seconds need one: extract "
                        "without --rate, or train on events with float times (data.kind=dense)")
    audio, visual = features.audio, features.visual
    # Only extraction uses the sizes of the video files; they would be copied into every checkpoint.
    provenance = {key: value for key, value in features.provenance.items() if key != "sizes"}
    failed = provenance.get("failed", ()) if provenance.get("made by") in (EXTRACTION, CONVERSION) else ()
    return Source(
        files=(path,), videos=len(audio), segments=audio.shape[1], widths=(audio.shape[2], visual.shape[2]),
        read=lambda: (audio, visual), video_ids=features.video_ids, rows=features.rows, lengths=features.lengths,
        categories=features.categories, label_text=features.label_text, provenance=provenance,
        failed={row: each["reason"] for each in failed for row in each["rows"]}, seconds=_own_seconds(features),
    )


def _own_seconds(features: Features) -> Int[Tensor, "M"] | None:
    """Return the seconds of each clip before padding; ``None`` if the store does not record them for all."""
    if features.lengths is not None:
        return features.lengths
    if features.provenance.get("made by") != EXTRACTION:
        return None
    # Earlier versions recorded no padding; a clip with sound, or with pictures, in every second has none.
    padded = {each["id"]: each.get("padded", -min(each["unheard"], each["unseen"]))
              for each in features.provenance.get("incomplete", ())}
    if min(padded.values(), default=0) < 0:
        return None
    return torch.tensor([features.audio.shape[1] - padded.get(key, 0) for key in features.video_ids])


def legacy_source(audio: Path, visual: Path) -> Source:
    """Return the two h5 files of the AVE release as a source, of which only the shapes are read yet."""
    videos, segments, audio_width = legacy_shape(audio, regions=False)
    others, seconds, visual_width = legacy_shape(visual)
    if (videos, segments) != (others, seconds):
        raise DataError(f"{audio} has {videos} videos of {segments} segments, {visual} {others} of {seconds}; they "
                        "must be the same videos")
    return Source(
        files=(audio, visual), videos=videos, segments=segments, widths=(audio_width, visual_width),
        read=lambda: (read_legacy_features(audio), read_legacy_features(visual)),
        provenance={"audio": audio.name, "visual": visual.name},
    )


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
