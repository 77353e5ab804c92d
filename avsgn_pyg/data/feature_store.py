"""The project's own features on disk: one h5 file with the features, ids and label text of many videos.

Shapes: N videos, T segments (of the longest), S segments of all videos, da / dv feature widths, C event classes. The
file (``docs/data.md`` describes it in full; version 2, for mixed lengths, has [S, da], [S, dv] and ``lengths`` [N])::

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
from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data import h5
from avsgn_pyg.graph.views import flatten, length_mask, pad

FORMAT: Final = "avsgn_pyg features"
#: Versions for videos of one length, and of mixed lengths.
VERSION, MIXED_VERSION = 1, 2
#: ``made by`` in the provenance of a store that :mod:`avsgn_pyg.features` extracted, and of a converted one.
EXTRACTION: Final = "avsgn_pyg.features"
CONVERSION: Final = "avsgn_pyg.data.convert"


@dataclass(frozen=True)
class LabelText:
    """The class names, embedded by the encoders' text towers (Section 3.2).

    Attributes:
        audio: [C, da] from the audio encoder (CLAP in the paper).
        visual: [C, dv] from the image encoder (CLIP in the paper); DataError if C differs.
    """

    audio: Float[Tensor, "C da"]
    visual: Float[Tensor, "C dv"]

    def __post_init__(self) -> None:
        if len(self.audio) != len(self.visual):
            raise DataError(f"label text has {len(self.audio)} audio rows and {len(self.visual)} visual rows")


@dataclass(frozen=True)
class Features:
    """The content of a feature store.

    Attributes:
        audio: [N, T, da] float32.
        visual: [N, T, dv] float32.
        video_ids: one for each video; not unique (AVE repeats some).
        rows: [N] row of each video in the annotation file; ``None``: all rows, in order.
        categories: class names in index order.
        label_text: one row for each of `categories`, as wide as the features of its modality.
        provenance: encoders, weights, prompts, versions; JSON-ready.
        lengths: [N] seconds of each video, the longest T; ``None`` if all have T. Padding after them is never read.

    Raises:
        DataError: parts that contradict each other.
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
            object.__setattr__(self, "lengths", check_lengths(self.lengths, *self.audio.shape[:2]))

    @property
    def seconds(self) -> Int[Tensor, "N"]:
        """[N] seconds of each video."""
        return torch.full(self.audio.shape[:1], self.audio.shape[1]) if self.lengths is None else self.lengths

    @property
    def rate(self) -> int:
        """Segments a second, as the provenance says; 1 if it does not."""
        extraction = self.provenance.get("extraction")
        return round(1 / extraction.get("segment_seconds", 1)) if isinstance(extraction, dict) else 1

    @property
    def span(self) -> tuple[int, int]:
        """Seconds of the shortest and of the longest video."""
        return int(self.seconds.min()), int(self.seconds.max())

    @property
    def record(self) -> dict[str, Any]:
        """The provenance without the sizes of the video files, which only extraction reads."""
        return {key: value for key, value in self.provenance.items() if key != "sizes"}

    @property
    def failed(self) -> dict[int, str]:
        """Row of the annotations -> reason for which its extraction or conversion failed."""
        found = self.provenance.get("failed", ()) if self.provenance.get("made by") in (EXTRACTION, CONVERSION) else ()
        return {row: each["reason"] for each in found for row in each["rows"]}

    @property
    def clip_seconds(self) -> Int[Tensor, "N"] | None:
        """[N] seconds of each clip without padding; ``None`` if they are not recorded for all."""
        if self.lengths is not None or self.provenance.get("made by") != EXTRACTION:
            return self.lengths
        # Earlier versions recorded no padding; a clip with sound, or with pictures, in every second has none.
        padded = {each["id"]: each.get("padded", -min(each["unheard"], each["unseen"]))
                  for each in self.provenance.get("incomplete", ())}
        if min(padded.values(), default=0) < 0:
            return None
        return torch.tensor([self.audio.shape[1] - padded.get(key, 0) for key in self.video_ids])


def _contradictions(features: Features) -> Iterator[str]:
    audio, visual, rows = features.audio, features.visual, features.rows
    if audio.ndim != 3 or visual.ndim != 3 or audio.shape[:2] != visual.shape[:2] or not audio.numel():
        yield ("audio and visual must be [N, T, width] with the same N and T, none of them 0; got "
               f"{list(audio.shape)} and {list(visual.shape)}")
    if len(features.video_ids) != len(audio):
        yield f"{len(audio)} videos have {len(features.video_ids)} ids"
    if rows is not None:
        if rows.shape != (len(audio),):
            yield f"rows must be [{len(audio)}], one per video; got {list(rows.shape)}"
        if int(rows.min()) < 0 or len(rows.unique()) != len(audio):
            yield "rows must be different and not negative: each video is one row of the annotation file"
    names, text = features.categories, features.label_text
    if names is not None and len(set(names)) != len(names):
        yield f"categories must be different; got {names}"
    if text is not None:
        if names is None or len(names) != len(text.audio):
            yield f"label text has {len(text.audio)} rows for the categories {names}"
        yield from width_mismatches(text, audio.shape[-1], visual.shape[-1])


def width_mismatches(text: LabelText, audio: int, visual: int) -> Iterator[str]:
    """Yield a sentence for each modality whose label text is not as wide as its features."""
    for modality, label, width in (("audio", text.audio, audio), ("visual", text.visual, visual)):
        if label.shape[-1] != width:
            yield (f"{modality} label text is {label.shape[-1]} wide, features are {width}: both must come from the "
                   "same encoder")


def check_lengths(lengths: Tensor, videos: int, segments: int) -> Int[Tensor, "N"] | None:
    """Return the lengths of N videos padded to T, on the CPU; ``None`` if none is padded.

    Raises:
        DataError: not one per video, or one outside 1..T.
    """
    if lengths.shape != (videos,) or not bool(((lengths >= 1) & (lengths <= segments)).all()):
        found = f" from {int(lengths.min())} to {int(lengths.max())}" if lengths.numel() else ""
        raise DataError(f"lengths must be [{videos}], one per video, from 1 to {segments} seconds; got "
                        f"{list(lengths.shape)}{found}")
    return None if bool((lengths == segments).all()) else lengths.long().cpu()


def format_span(span: tuple[int, int]) -> str:
    """Return ``10`` or ``6 to 14``."""
    return f"{span[0]}" if span[0] == span[1] else f"{span[0]} to {span[1]}"


def write_store(path: str | Path, features: Features) -> None:
    """Write a store, completely or not at all; an older one is replaced.

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
        mask = length_mask(lengths, features.audio.shape[1]).to(features.audio.device)
        parts = {key: flatten(value, mask) for key, value in parts.items()}
    if text is not None:
        parts |= {"label_text/audio": text.audio, "label_text/visual": text.visual}
    datasets: dict[str, Any] = {key: value.detach().cpu().float().numpy() for key, value in parts.items()}
    for key, values in datasets.items():
        h5.check_finite(path, key, values)
    datasets["ids"] = list(features.video_ids)
    if lengths is not None:
        datasets["lengths"] = lengths.numpy()
    if features.rows is not None:
        datasets["rows"] = features.rows.cpu().numpy()
    if features.categories is not None:
        datasets["categories"] = list(features.categories)
    version = VERSION if lengths is None else MIXED_VERSION
    h5.write(path, datasets, {"format": FORMAT, "version": version, "provenance": provenance})


def read_store(path: str | Path, *, of_seconds: bool = False) -> Features:
    """Read a store written by :func:`write_store`.

    Args:
        of_seconds: whether there must be one feature a second.

    Raises:
        DataError: no file, no store, another version; a part is missing, damaged or contradicts another.
    """
    path = Path(path)
    with h5.opened(path) as file:
        provenance = _check_format(path, file)
        mixed = h5.text_attribute(file, "version") == str(MIXED_VERSION)
        lengths = torch.from_numpy(h5.integers(path, file, "lengths")) if mixed else None
        label_text = None
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
            parts |= {key: _pad(parts[key], lengths) for key in ("audio", "visual")}
        features = Features(**parts, label_text=label_text, provenance=provenance, lengths=lengths)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    if of_seconds and features.rate != 1:
        raise DataError(f"{path}: {features.rate} features a second; annotations of whole seconds need one: extract "
                        "without --rate, or train on events with float times (data.kind=dense)")
    return features


def _check_format(path: Path, file: Any) -> dict[str, Any]:
    """Return the provenance of a store of a known version."""
    found, version = (h5.text_attribute(file, name) for name in ("format", "version"))
    if found != FORMAT:
        raise DataError(f"{path}: not a feature store (it has {sorted(file)}); the public AVE files go into "
                        "data.audio_features and data.visual_features")
    if version not in (str(VERSION), str(MIXED_VERSION)):
        raise DataError(f"{path}: store version {version}; this release reads versions {VERSION} and {MIXED_VERSION}")
    return h5.read_provenance(path, file)


def _pad(seconds: Tensor, lengths: Int[Tensor, "N"]) -> Float[Tensor, "N T d"]:
    """Separate the videos of [S, d] and pad them with zeros to the longest."""
    if int(lengths.min()) < 1:
        raise DataError(f"lengths must be 1 or more for every video; the least is {int(lengths.min())}")
    if len(lengths) * int(lengths.max()) > h5.DENSEST * max(1, len(seconds)):
        raise DataError(f"{len(lengths)} videos padded to the longest ({int(lengths.max())} seconds) would take more "
                        f"than {h5.DENSEST} times the {len(seconds)} seconds of the file; split the file by length")
    if seconds.ndim != 2 or len(seconds) != int(lengths.sum()):
        raise DataError(f"lengths of {int(lengths.sum())} seconds in all need features [{int(lengths.sum())}, width]; "
                        f"got {list(seconds.shape)}")
    return pad(seconds, lengths.tolist())[0]
