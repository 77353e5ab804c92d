"""A description, line by line, of a data folder or a feature store, to read before training on it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch
from jaxtyping import Int
from torch import Tensor

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data import ave, h5
from avsgn_pyg.data.ave import Annotations, Splits, SplitSource
from avsgn_pyg.data.feature_store import FORMAT, Features, format_span, read_store
from avsgn_pyg.data.files import check_folder, kind_of
from avsgn_pyg.data.folders import read_kind
from avsgn_pyg.data.legacy import legacy_shape
from avsgn_pyg.data.rows import format_some
from avsgn_pyg.data.sources import ABSENT, UNKNOWN, find_by_id, find_by_row, find_padded

LEGACY_FILES: Final = ("audio_feature.h5", "visual_feature.h5")


def summarize(path: str | Path, *, splits: SplitSource = "order", segments: int = 10) -> list[str]:
    """Describe a folder of AVE, OV-AVE or AVE-PM, with or without features, or one feature store.

    Args:
        path: a folder with annotations, splits and optionally features (the two h5 files of the AVE release, feature
            stores), or a store's h5 file.
        splits: which kind of split files of AVE to read.
        segments: T, used if there is no feature file.

    Raises:
        DataError: a file cannot be used, or features and annotations do not match; the message names the files and
            the place.
    """
    path = Path(path)
    check_folder(path, splits)
    if path.is_file():
        return list(_store(path.name, read_store(path)))
    kind = kind_of(path)
    shapes = {name: legacy_shape(path / name, regions=name != LEGACY_FILES[0])
              for name in LEGACY_FILES if kind == "ave" and (path / name).is_file()}
    stores = {file.name: read_store(file, of_seconds=True) for file in sorted(path.glob("*.h5")) if _is_store(file)}
    spans = {name: (shape[1], shape[1]) for name, shape in shapes.items()}
    spans |= {name: store.span for name, store in stores.items()}
    if len(set(spans.values())) > 1:
        found = ", ".join(f"{name!r}: {format_span(span)}" for name, span in spans.items())
        raise DataError(f"{path}: feature files of different lengths: {found}")
    _, longest = next(iter(spans.values()), (segments, segments))
    annotations, found = read_kind(kind, path, longest, splits=splits)
    find = find_by_row if kind == "ave" else find_by_id
    places = {name: find(store, annotations, str(path / name)) for name, store in stores.items()}
    seconds = torch.full((len(annotations),), annotations.segments)
    mixed = next((name for name, store in stores.items() if store.lengths is not None), None)
    if mixed is not None:  # 0 for a row that the store lacks
        seconds = torch.where(places[mixed] == ABSENT, 0, stores[mixed].lengths[places[mixed]])
    lines = [*_annotations(annotations), *_splits(annotations, found, seconds)]
    lines += _legacy(path, shapes, annotations) if kind == "ave" else ()
    for name, store in stores.items():
        covered = int((places[name] != ABSENT).sum())
        lines.append(f"{name}: a feature store, with {covered} of {len(annotations)} rows")
        unknown = [UNKNOWN] if store.clip_seconds is None else []
        padded = find_padded(annotations, store, places[name])[1]
        lines += [f"  {line}" for line in (*_store(name, store), *padded, *unknown)]
    return lines


def _is_store(path: Path) -> bool:
    with h5.opened(path) as file:
        return h5.text_attribute(file, "format") == FORMAT


def _annotations(annotations: Annotations) -> Iterator[str]:
    yield f"{annotations.path.name}: {len(annotations)} rows, {len(set(annotations.video_ids))} different videos"
    counts = annotations.category.bincount(minlength=len(annotations.categories)).tolist()
    for index, (name, count) in enumerate(zip(annotations.categories, counts, strict=True)):
        yield f"  class {index:2d}  {name}: {count} rows"
    yield from annotations.doubtful_classes
    yield f"video ids in more than one row: {len(ave.duplicates(annotations))}"
    silent = (annotations.end == 0).nonzero().flatten().tolist()
    yield f"rows without event seconds: {len(silent)}{': ' * bool(silent)}{format_some(silent)}"


def _splits(annotations: Annotations, splits: Splits, seconds: Int[Tensor, "N"]) -> Iterator[str]:
    for split, rows in splits._asdict().items():
        if rows is None:
            yield f"{split}: no file"
            continue
        known = rows[seconds[rows] > 0]
        foreground, whole = annotations.relevance[known].sum(-1), seconds[known]
        yield (f"{split}: {len(rows)} rows, {100 * foreground.sum() / whole.sum():.1f} % of seconds foreground, "
               f"{100 * (foreground == whole).float().mean():.1f} % of videos foreground throughout")
    leaks = ave.leaks(annotations, splits)
    yield f"video ids in train and in another split: {len({leak.video_id for leak in leaks})}"
    for leak in leaks:
        yield f"  {leak.video_id}: train row {leak.train_row}, {leak.other_split} row {leak.other_row}"


def _legacy(folder: Path, shapes: dict[str, tuple[int, int, int]], annotations: Annotations) -> Iterator[str]:
    for name in LEGACY_FILES:
        if name not in shapes:
            yield f"{name}: not found"
            continue
        videos, segments, width = shapes[name]
        if videos != len(annotations):
            raise DataError(f"{folder / name} has {videos} videos, {annotations.path} has {len(annotations)} rows; "
                            "row k must be video k")
        yield f"{name}: {videos} videos of {segments} segments, {width} wide"
    if shapes:
        yield UNKNOWN


def _store(name: str, features: Features) -> Iterator[str]:
    videos, _, width = features.audio.shape
    yield f"{name}: {videos} videos of {format_span(features.span)} segments"
    yield f"audio {width} wide, visual {features.visual.shape[2]} wide"
    yield f"rows of the annotations: {'all, in order' if features.rows is None else 'those named in rows'}"
    yield f"video ids in more than one row: {videos - len(set(features.video_ids))}"
    yield f"classes: {', '.join(features.categories) if features.categories else 'not named'}"
    yield f"label text: {'none' if features.label_text is None else 'one row for each class and modality'}"
    sizes = features.provenance.get("sizes")
    if sizes:
        yield f"file sizes on record: of {len(sizes)} video files"
    failed: Counter[str] = Counter()
    for each in features.provenance.get("failed", ()):
        failed[each["reason"]] += max(1, len(each["rows"]))
    if failed:
        reasons = format_some([f"{reason} ({count})" for reason, count in failed.most_common()], most=3)
        yield f"without features: {failed.total()}: {reasons}"
    shown = {key: value for key, value in features.provenance.items() if key not in ("sizes", "failed")}
    yield f"provenance: {json.dumps(shown, ensure_ascii=False)}"
