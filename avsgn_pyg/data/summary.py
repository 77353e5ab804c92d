"""What lies in a data folder or a feature store, in lines to read before training on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from avsgn_pyg.data import ave
from avsgn_pyg.data.ave import Annotations, Splits, SplitSource
from avsgn_pyg.data.feature_store import legacy_shape, read_store
from avsgn_pyg.data.h5 import DataError

LEGACY_FILES = ("audio_feature.h5", "visual_feature.h5")


def summarize(path: str | Path, *, splits: SplitSource = "order", segments: int = 10) -> list[str]:
    """Describe an AVE-shaped folder (features may be missing), or one feature store.

    Args:
        path: a folder with ``Annotations.txt`` and split files, or a store's h5 file.
        splits: which kind of split files to read.
        segments: T, where no feature file says it.

    Raises:
        DataError: a file cannot be used; names the file and the place.
    """
    path = Path(path)
    if path.is_file():
        return list(_store(path))
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder")
    shapes = {name: legacy_shape(path / name) for name in LEGACY_FILES if (path / name).is_file()}
    seconds = {shape[1] for shape in shapes.values()} or {segments}
    if len(seconds) > 1:
        raise DataError(f"{path}: feature files of different lengths: {shapes}")
    annotations = ave.read_annotations(path / "Annotations.txt", seconds.pop())
    return [
        *_annotations(annotations),
        *_splits(annotations, ave.read_splits(path, annotations, splits)),
        *(f"{name}: {n} videos of {t} segments, {d} wide" for name, (n, t, d) in shapes.items()),
        *(f"{name}: not here" for name in LEGACY_FILES if name not in shapes),
    ]


def _annotations(annotations: Annotations) -> Iterator[str]:
    distinct = len(set(annotations.video_ids))
    yield f"{annotations.path.name}: {len(annotations)} rows, {distinct} different videos"
    counts = annotations.category.bincount(minlength=len(annotations.categories)).tolist()
    for index, (name, count) in enumerate(zip(annotations.categories, counts, strict=True)):
        yield f"  class {index:2d}  {name}: {count} rows"
    repeated = ave.duplicates(annotations)
    yield f"video ids in more than one row: {len(repeated)}"
    empty = (annotations.end == 0).nonzero().flatten().tolist()
    yield f"rows without event seconds: {empty}"


def _splits(annotations: Annotations, splits: Splits) -> Iterator[str]:
    for split, rows in splits._asdict().items():
        if rows is None:
            yield f"{split}: no file"
            continue
        foreground = annotations.relevance[rows]
        whole = foreground.all(-1).float().mean()
        yield (
            f"{split}: {len(rows)} rows, {100 * foreground.mean():.1f} % of seconds foreground, "
            f"{100 * whole:.1f} % of videos foreground throughout"
        )
    leaks = ave.leaks(annotations, splits)
    yield f"video ids in train and in another split: {len({leak.video_id for leak in leaks})}"
    for leak in leaks:
        yield f"  {leak.video_id}: train row {leak.train_row}, {leak.other_split} row {leak.other_row}"


def _store(path: Path) -> Iterator[str]:
    features = read_store(path)
    videos, segments, width = features.audio.shape
    yield f"{path.name}: {videos} videos of {segments} segments"
    yield f"audio {width} wide, visual {features.visual.shape[2]} wide"
    yield f"rows of the annotations: {'all, in order' if features.rows is None else 'those named in rows'}"
    yield f"video ids in more than one row: {videos - len(set(features.video_ids))}"
    yield f"classes: {', '.join(features.categories) if features.categories else 'not named'}"
    yield f"label text: {'none' if features.label_text is None else 'one row for each class and modality'}"
    yield f"provenance: {json.dumps(features.provenance, ensure_ascii=False)}"
