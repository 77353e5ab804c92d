"""Features on disk: the project's own store, and the h5 files that AVE followers pass around.

Letters: N videos, T segments (of the longest), da / dv feature widths, C event classes.

The store is one h5 file (``docs/data.md`` shows it in full; of mixed lengths, version 2 has [S, da], [S, dv] and
``lengths`` [N], all S seconds end to end)::

    audio              [N, T, da] float32       visual             [N, T, dv] float32
    ids                [N] text                 rows               [N] int64   (optional)
    label_text/audio   [C, da] float32          label_text/visual  [C, dv] float32   (optional, together)
    categories         [C] text (optional)      attributes: format, version, provenance (JSON)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from avsgn_pyg.data import h5
from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.data.label_text import LabelText, width_mismatches
from avsgn_pyg.data.lengths import checked_lengths, end_to_end, filled_up

FORMAT = "avsgn_pyg features"
#: Of videos that are all as long, and of mixed lengths.
VERSION, MIXED_VERSION = 1, 2
#: What a legacy file may hold of one segment: a vector, or VGG's 7 x 7 grid, flat or not.
GRIDS = {3: (), 4: (49,), 5: (7, 7)}
#: Most that is read of a legacy file at once; the published visual file holds 8 GB.
CHUNK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Features:
    """What a feature store holds.

    Attributes:
        audio: [N, T, da] float32.
        visual: [N, T, dv] float32.
        video_ids: one for each video; not unique (AVE repeats some).
        rows: [N] row of each video in the annotation file; ``None`` where they stand in its own order.
        categories: class names in index order.
        label_text: one row for each of `categories`, as wide as the features of its modality.
        provenance: encoders, weights, prompts, versions; JSON-ready.
        lengths: [N] seconds of each video, the longest T; ``None`` where all have T. Nothing after an end is read.

    Parts that contradict each other are a DataError.
    """

    audio: Float[Tensor, "N T da"]
    visual: Float[Tensor, "N T dv"]
    video_ids: tuple[str, ...]
    rows: Int[Tensor, "N"] | None = None
    categories: tuple[str, ...] | None = None
    label_text: LabelText | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    lengths: Int[Tensor, "N"] | None = None

    def __post_init__(self) -> None:
        for problem in _contradictions(self):
            raise DataError(problem)
        if self.lengths is not None:
            object.__setattr__(self, "lengths", checked_lengths(self.lengths, *self.audio.shape[:2]))

    @property
    def seconds(self) -> Int[Tensor, "N"]:
        """[N] seconds of each video."""
        return torch.full(self.audio.shape[:1], self.audio.shape[1]) if self.lengths is None else self.lengths

    @property
    def span(self) -> tuple[int, int]:
        """Seconds of the shortest and of the longest video."""
        return int(self.seconds.min()), int(self.seconds.max())


def _contradictions(features: Features) -> Iterator[str]:
    audio, visual, text = features.audio, features.visual, features.label_text
    if audio.ndim != 3 or visual.ndim != 3 or audio.shape[:2] != visual.shape[:2] or not audio.numel():
        came = f"{list(audio.shape)} and {list(visual.shape)}"
        yield f"audio and visual must be [N, T, width] with the same N and T, none of them 0; got {came}"
    if len(features.video_ids) != len(audio):
        yield f"{len(audio)} videos have {len(features.video_ids)} ids"
    if features.rows is not None:
        if features.rows.shape != (len(audio),):
            yield f"rows must be [{len(audio)}], one for each video; got {list(features.rows.shape)}"
        if int(features.rows.min()) < 0 or len(features.rows.unique()) != len(audio):
            yield "rows must be different and not negative: each video is one row of the annotation file"
    names = features.categories
    if names is not None and len(set(names)) != len(names):
        yield f"categories must be different; got {names}"
    if text is not None:
        if names is None or len(names) != len(text.audio):
            yield f"label text has {len(text.audio)} rows for the categories {names}"
        yield from width_mismatches(text, audio.shape[-1], visual.shape[-1])


def write_store(path: str | Path, features: Features) -> None:
    """Write a store; a reader sees the whole new file or what was there before, never a part.

    Raises:
        DataError: a feature is NaN or infinite, or the provenance is not JSON.
    """
    path = Path(path)
    try:
        provenance = json.dumps(features.provenance, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: provenance must be JSON ({error})") from None
    parts, text, lengths = {"audio": features.audio, "visual": features.visual}, features.label_text, features.lengths
    if lengths is not None:
        parts = {key: end_to_end(value, lengths) for key, value in parts.items()}
    if text is not None:
        parts |= {"label_text/audio": text.audio, "label_text/visual": text.visual}
    datasets: dict[str, Any] = {key: value.detach().cpu().float().numpy() for key, value in parts.items()}
    for key, values in datasets.items():
        h5.refuse_infinite(path, key, values)
    datasets["ids"] = list(features.video_ids)
    if lengths is not None:
        datasets["lengths"] = lengths.numpy()
    if features.rows is not None:
        datasets["rows"] = features.rows.cpu().numpy()
    if features.categories is not None:
        datasets["categories"] = list(features.categories)
    version = VERSION if lengths is None else MIXED_VERSION
    h5.write(path, datasets, {"format": FORMAT, "version": version, "provenance": provenance})


def read_store(path: str | Path) -> Features:
    """Read a store written by :func:`write_store`.

    Raises:
        DataError: no file, no store, another version; a part is missing, damaged or contradicts another.
    """
    path = Path(path)
    with h5.opened(path) as file:
        provenance = _check_format(path, file)
        label_text, lengths = None, None
        if file.attrs["version"] == MIXED_VERSION:
            lengths = torch.from_numpy(h5.integers(path, file, "lengths"))
        if "label_text" in file:
            tables = (h5.floats(path, file, f"label_text/{modality}") for modality in ("audio", "visual"))
            label_text = LabelText(*map(torch.from_numpy, tables))
        parts = {
            "audio": torch.from_numpy(h5.floats(path, file, "audio")),
            "visual": torch.from_numpy(h5.floats(path, file, "visual")),
            "video_ids": h5.texts(path, file, "ids"),
            "rows": torch.from_numpy(h5.integers(path, file, "rows")) if "rows" in file else None,
            "categories": h5.texts(path, file, "categories") if "categories" in file else None,
        }
    try:
        if lengths is not None:
            parts |= {key: filled_up(parts[key], lengths) for key in ("audio", "visual")}
        return Features(**parts, label_text=label_text, provenance=provenance, lengths=lengths)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _check_format(path: Path, file: Any) -> dict[str, Any]:
    """The store's provenance, once it is known to be a store of this version."""
    found, version = file.attrs.get("format"), file.attrs.get("version")
    if found != FORMAT:
        use = "the public AVE files go into data.audio_features and data.visual_features"
        raise DataError(f"{path}: not a feature store (it has {sorted(file)}); {use}")
    if version not in (VERSION, MIXED_VERSION):
        raise DataError(f"{path}: store version {version}; this release reads versions {VERSION} and {MIXED_VERSION}")
    try:
        return json.loads(file.attrs["provenance"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: its provenance is missing or not JSON ({error})") from None


def legacy_shape(path: str | Path, key: str = "avadataset") -> tuple[int, int, int]:
    """(N, T, d) of a legacy file after pooling, without reading it; refuses the same forms."""
    with h5.opened(Path(path)) as file:
        shape = legacy_dataset(Path(path), file, key).shape
    return shape[0], shape[1], shape[-1]


def read_legacy_features(path: str | Path, key: str = "avadataset") -> Float[Tensor, "N T d"]:
    """Features of the public AVE release and its followers, as float32.

    Args:
        path: an h5 file with one dataset [N, T, d], [N, T, 7, 7, d] or [N, T, 49, d] of any float type.
            Grids are averaged, a few videos at a time: beside the result, memory does not grow.
        key: the dataset's name.

    Raises:
        DataError: no such file, not h5 or cut short, no such key (with those there are), another shape, not
            a float type, or a NaN or infinity (with the first video and segment it stands in).
    """
    path = Path(path)
    with h5.opened(path) as file:
        dataset = legacy_dataset(path, file, key)
        grid = tuple(range(2, dataset.ndim - 1))
        result = np.empty((*dataset.shape[:2], dataset.shape[-1]), np.float32)
        videos = max(1, CHUNK_BYTES // max(1, dataset.nbytes // len(dataset)))
        for start in range(0, len(dataset), videos):
            chunk = dataset[start : start + videos]
            # Sums of 49 half floats overflow; a float64 beyond float32 shows as infinity below.
            wide = np.promote_types(chunk.dtype, np.float32)
            with np.errstate(over="ignore", invalid="ignore"):
                result[start : start + videos] = chunk.mean(axis=grid, dtype=wide) if grid else chunk
            h5.refuse_infinite(path, key, result[start : start + videos], start)
    return torch.from_numpy(result)


def legacy_dataset(path: Path, file: Any, key: str) -> Any:
    """The dataset of an open legacy file, or a DataError."""
    dataset = h5.dataset(path, file, key)
    if dataset.dtype.kind != "f":
        raise DataError(f"{path}: {key!r} holds {dataset.dtype}; features are float16, float32 or float64")
    if dataset.ndim not in GRIDS or dataset.shape[2:-1] != GRIDS[dataset.ndim] or 0 in dataset.shape:
        forms = "[N, T, d], [N, T, 7, 7, d] or [N, T, 49, d]"
        raise DataError(f"{path}: {key!r} is {list(dataset.shape)}; it must be {forms}")
    return dataset


def read_order(path: str | Path) -> Int[Tensor, "K"]:
    """Rows of one split, from a ``*_order.h5`` of the AVE release (key ``order``), in the file's order.

    Raises:
        DataError: no such file, not h5, no key ``order``, not a list of integers, or empty.
    """
    path = Path(path)
    with h5.opened(path) as file:
        return torch.from_numpy(h5.integers(path, file, "order"))
