"""Where an AVE-shaped folder's features lie: a feature store, or the two h5 files of the AVE release.

Both answer the same questions before anything long is read: how many seconds and how wide, which classes,
and at which place the features of an annotated row stand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from avsgn_pyg.data.ave import Annotations
from avsgn_pyg.data.feature_store import LabelText, legacy_shape, read_legacy_features, read_store
from avsgn_pyg.data.h5 import DataError

#: Place of a row whose features are not there.
ABSENT = -1


@runtime_checkable
class FeatureSource(Protocol):
    """What the loader asks of either kind.

    Attributes:
        segments: T.
        widths: (da, dv).
        categories: class names in index order, ``None`` where the source does not say.
        label_text: the source's own label bank, if it has one.
        provenance: JSON-ready.
    """

    segments: int
    widths: tuple[int, int]
    categories: tuple[str, ...] | None
    label_text: LabelText | None
    provenance: dict[str, Any]

    def places(self, annotations: Annotations) -> Int[Tensor, "N"]:
        """Place of every annotated row's features, ABSENT where there are none."""

    def read(self) -> tuple[Float[Tensor, "M T da"], Float[Tensor, "M T dv"]]:
        """All features, float32."""


class StoreSource:
    """A feature store: every row, or those its ``rows`` names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.features = read_store(path)
        self.segments = self.features.audio.shape[1]
        self.widths = (self.features.audio.shape[2], self.features.visual.shape[2])
        self.categories = self.features.categories
        self.label_text = self.features.label_text
        self.provenance = self.features.provenance

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
            if not path.is_file():
                other = f"set data.{modality}_features, or data.features for a feature store"
                raise DataError(f"{path}: no such file; {other}")
        (videos, segments, heard), (others, seconds, seen) = legacy_shape(audio), legacy_shape(visual)
        if (videos, segments) != (others, seconds):
            raise DataError(
                f"{audio} holds {videos} videos of {segments} segments, {visual} {others} of {seconds}; "
                "they must be the same videos"
            )
        self.videos = videos
        self.segments = segments
        self.widths = (heard, seen)
        self.categories = None
        self.label_text = None
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
