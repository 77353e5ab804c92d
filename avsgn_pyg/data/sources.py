"""The files of an AVE-shaped folder: where its features lie, whether all belong together, and which they were.

Features are a feature store, or the two h5 files of the AVE release. Both answer the same questions: how many
seconds and how wide, which classes, and at which place the features of an annotated row stand. The release's
files, which may hold 8 GB, answer without being read; a store is read at once.

Each file can be sound by itself and still be of another data set than its neighbour: the ``refuse_`` functions find
the mixtures that would otherwise train, on wrong labels. Letters: N annotated videos, T segments.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from avsgn_pyg.data.ave import SPLIT_FILES, Annotations, Splits, SplitSource, read_annotations
from avsgn_pyg.data.feature_store import LabelText, legacy_shape, read_legacy_features, read_order, read_store
from avsgn_pyg.data.files import check_feature_file
from avsgn_pyg.data.h5 import DataError

#: Place of a row whose features are not there.
ABSENT = -1
#: What stands under "made by" in the provenance of a store of :mod:`avsgn_pyg.features`.
EXTRACTION = "avsgn_pyg.features"
#: Files up to this size are hashed whole; of larger ones, as many evenly spread samples as fill it.
DIGEST_BYTES = 64 * 2**20
SAMPLES = 64
CHUNK_BYTES = 2**20

logger = logging.getLogger(__name__)


@runtime_checkable
class FeatureSource(Protocol):
    """What the loader asks of either kind.

    Attributes:
        files: the h5 files.
        segments: T.
        lengths: seconds of every place, where they are mixed.
        widths: (da, dv).
        categories: class names in index order, ``None`` where the source does not say.
        label_text: the source's own label bank, if it has one.
        provenance: JSON-ready.
        failed: why a row has no features, where extraction says so.
    """

    files: tuple[Path, ...]
    segments: int
    lengths: Int[Tensor, "M"] | None
    widths: tuple[int, int]
    categories: tuple[str, ...] | None
    label_text: LabelText | None
    provenance: dict[str, Any]
    failed: dict[int, str]

    def places(self, annotations: Annotations) -> Int[Tensor, "N"]:
        """Place of every annotated row's features, ABSENT where there are none."""

    def read(self) -> tuple[Float[Tensor, "M T da"], Float[Tensor, "M T dv"]]:
        """All features, float32."""


class StoreSource:
    """A feature store: every row, or those its ``rows`` names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = (path,)
        self.features = read_store(path)
        self.segments, self.lengths = self.features.audio.shape[1], self.features.lengths
        self.widths = (self.features.audio.shape[2], self.features.visual.shape[2])
        self.categories = self.features.categories
        self.label_text = self.features.label_text
        # The sizes of its files serve a later extraction alone, and would stand in every checkpoint.
        self.provenance = {key: said for key, said in self.features.provenance.items() if key != "sizes"}
        failed = self.provenance.get("failed", ()) if self.provenance.get("made by") == EXTRACTION else ()
        self.failed = {row: each["reason"] for each in failed for row in each["rows"]}

    def places(self, annotations: Annotations) -> Int[Tensor, "N"]:
        """Place of every annotated row, checked against the ids of both files.

        Raises:
            DataError: without ``rows``, another number of videos than rows; a row beyond the annotations; or
                a video that has another id than its row.
        """
        ids, rows = self.features.video_ids, self.features.rows
        if rows is None and len(ids) != len(annotations):
            raise DataError(
                f"{self.path} holds {len(ids)} videos, {annotations.path} has {len(annotations)} rows; "
                "a store of some rows must say which in its 'rows'"
            )
        rows = torch.arange(len(ids)) if rows is None else rows
        last = int(rows.max())
        if last >= len(annotations):
            raise DataError(f"{self.path}: row {last}, but {annotations.path} has {len(annotations)} rows")
        for place, row in enumerate(rows.tolist()):
            if ids[place] != annotations.video_ids[row]:
                raise DataError(
                    f"{self.path}, entry {place}: row {row} is video {ids[place]!r} here and "
                    f"{annotations.video_ids[row]!r} in {annotations.path}"
                )
        places = torch.full((len(annotations),), ABSENT)
        places[rows] = torch.arange(len(ids))
        return places

    def read(self) -> tuple[Float[Tensor, "M T da"], Float[Tensor, "M T dv"]]:
        """All features, float32."""
        return self.features.audio, self.features.visual


class LegacySource:
    """The two h5 files of the AVE release, row k of each being row k of the annotations."""

    def __init__(self, audio: Path, visual: Path) -> None:
        self.paths = {"audio": audio, "visual": visual}
        for modality, path in self.paths.items():
            check_feature_file(modality, path)
        (videos, segments, heard), (others, seconds, seen) = legacy_shape(audio), legacy_shape(visual)
        if (videos, segments) != (others, seconds):
            raise DataError(
                f"{audio} holds {videos} videos of {segments} segments, {visual} {others} of {seconds}; "
                "they must be the same videos"
            )
        self.files = (audio, visual)
        self.videos = videos
        self.segments = segments
        self.widths = (heard, seen)
        self.categories = self.label_text = self.lengths = None
        self.failed = {}
        self.provenance = {modality: path.name for modality, path in self.paths.items()}

    def places(self, annotations: Annotations) -> Int[Tensor, "N"]:
        """Every row at its own number; DataError where the files hold another number of videos than rows."""
        if len(annotations) != self.videos:
            raise DataError(
                f"{annotations.path} has {len(annotations)} rows, {self.paths['audio']} and "
                f"{self.paths['visual']} hold {self.videos} videos; row k must be video k"
            )
        return torch.arange(self.videos)

    def read(self) -> tuple[Float[Tensor, "M T da"], Float[Tensor, "M T dv"]]:
        """All features, float32, grids averaged."""
        return read_legacy_features(self.paths["audio"]), read_legacy_features(self.paths["visual"])


def refuse_other_time_scale(annotations: Annotations, files: tuple[Path, ...]) -> None:
    """DataError where no event reaches the last segment: a segment of `files` is then hardly a second.

    Args:
        annotations: read with the features' T.
        files: the feature files, for the message.
    """
    last = int(annotations.end.max())
    if last < annotations.segments:
        raise DataError(
            f"{', '.join(map(str, files))}: {annotations.segments} segments in a video, but the last event of "
            f"{annotations.path} ends at second {last}; segments must be seconds. Are the features cut into "
            f"segments of another length, or their axes transposed? They must be [N, {last}, width]"
        )


def refuse_left_over_rows(annotations: Annotations, splits: Splits, root: Path, source: SplitSource) -> None:
    """DataError where all three splits are there and leave rows out; a warning where a split has no file."""
    given = {split: rows for split, rows in splits._asdict().items() if rows is not None}
    free = torch.ones(len(annotations), dtype=torch.bool)
    free[torch.cat(list(given.values()))] = False
    left = free.nonzero().flatten().tolist()
    if not left:
        return
    files = ", ".join(str(root / SPLIT_FILES[source].format(split)) for split in given)
    found = (
        f"{files}: {len(left)} of the {len(annotations)} rows of {annotations.path} are in no split, first row "
        f"{left[0]} ({annotations.video_ids[left[0]]})"
    )
    if len(given) == len(splits):
        raise DataError(f"{found}; are the split files those of another data set?")
    logger.warning("%s; their split may be the one without a file", found)


def refuse_split_forms_that_disagree(root: Path, annotations: Annotations) -> None:
    """DataError where a split lies in `root` as order file and as text, and the two hold other videos.

    Rows that are equal in every field are the same to a text file, and the sequence is free. The first entry of
    one file that the other lacks is named.
    """
    lines = _lines(annotations)
    for split in Splits._fields:
        order, text = (root / SPLIT_FILES[source].format(split) for source in ("order", "txt"))
        if not (order.is_file() and text.is_file()):
            continue
        rows = read_order(order).tolist()
        beyond = next((row for row in rows if not 0 <= row < len(lines)), None)
        if beyond is not None:
            raise DataError(f"{order}: row {beyond}, but {annotations.path} has rows 0 to {len(lines) - 1}")
        numbered = [lines[row] for row in rows]
        written = _lines(read_annotations(text, annotations.segments, annotations.categories))
        for (one, here), (other, there) in (
            ((order, numbered), (text, written)),
            ((text, written), (order, numbered)),
        ):
            place = _first_without_partner(here, there)
            if place is not None:
                raise DataError(
                    f"{one}, entry {place}: {here[place]!r} is not in {other}; both are the {split} split and "
                    "must hold the same videos. Remove the form that is wrong"
                )


def file_record(path: Path) -> dict[str, Any]:
    """What tells this file from another one: name, size, and a digest of its bytes; JSON-ready.

    ``hashed`` says what the digest is of. Files above 64 MiB are sampled, start and end included, so that an
    8 GB file costs no minutes; a change that lies wholly between samples is not seen.
    """
    size = path.stat().st_size
    record: dict[str, Any] = {"file": path.name, "bytes": size}
    with path.open("rb") as file:
        if size <= DIGEST_BYTES:
            whole = hashlib.sha256()
            while chunk := file.read(CHUNK_BYTES):
                whole.update(chunk)
            return {**record, "sha256": whole.hexdigest(), "hashed": "whole file"}
        digest, length = hashlib.sha256(str(size).encode()), DIGEST_BYTES // SAMPLES
        for sample in range(SAMPLES):
            file.seek((size - length) * sample // (SAMPLES - 1))
            digest.update(file.read(length))
    return {
        **record,
        "sha256": digest.hexdigest(),
        "hashed": f"size and {SAMPLES} evenly spread samples of {length} bytes",
    }


def _lines(annotations: Annotations) -> list[str]:
    """Every row as a text file writes it."""
    names = (annotations.categories[index] for index in annotations.category.tolist())
    times = (annotations.start.tolist(), annotations.end.tolist())
    rows = zip(names, annotations.video_ids, annotations.quality, *times, strict=True)
    return ["&".join(map(str, row)) for row in rows]


def _first_without_partner(here: list[str], there: list[str]) -> int | None:
    """Place of the first entry that stands less often in `there` than it has come up so far."""
    free = Counter(there)
    for place, line in enumerate(here):
        free[line] -= 1
        if free[line] < 0:
            return place
    return None
