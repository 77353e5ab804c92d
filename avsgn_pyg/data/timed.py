"""AVE, OV-AVE and AVE-PM as annotated rows and splits, or as videos with timed events, from their published files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from avsgn_pyg.data.annotations import AnnotatedVideo, TimedEvent
from avsgn_pyg.data.ave import SPLITS, Annotations, Splits, SplitSource, read_annotations, read_splits
from avsgn_pyg.data.by_id import read_avepm, read_ovave
from avsgn_pyg.data.files import SPLIT_FILES, kind_of


def read_kind(
    kind: str, root: Path, segments: int = 10, categories: Sequence[str] | None = None, *,
    annotations: str = "Annotations.txt", splits: SplitSource = "order",
) -> tuple[Annotations, Splits]:
    """Read the rows and splits of a folder.

    Args:
        kind: ``ave``, ``ov-ave`` or ``ave-pm``.
        root: the folder.
        segments: T; OV-AVE's files have their own.
        categories: class names in index order; ``None``: in the order of the files.
        annotations, splits: the annotation file and the form of the split files, of AVE alone.

    Raises:
        DataError: of :func:`~avsgn_pyg.data.ave.read_annotations` and :func:`~avsgn_pyg.data.ave.read_splits`, or of
            the readers of :mod:`avsgn_pyg.data.by_id`.
    """
    if kind == "ov-ave":
        return read_ovave(root, categories)
    if kind == "ave-pm":
        return read_avepm(root, segments, categories)
    rows = read_annotations(root / annotations, segments, categories)
    return rows, read_splits(root, rows, splits)


def read_folder(root: str | Path, segments: int = 10) -> list[AnnotatedVideo]:
    """Return the videos of a folder of AVE, OV-AVE or AVE-PM, each `segments` seconds long, as :func:`timed_videos`.

    Raises:
        DataError: the folder has the files of none of the three, or one of them is invalid.
    """
    root = Path(root)
    form = "order" if (root / SPLIT_FILES["order"].format("train")).is_file() else "txt"
    return timed_videos(*read_kind(kind_of(root), root, segments, splits=form))


def timed_videos(annotations: Annotations, splits: Splits) -> list[AnnotatedVideo]:
    """Return one video for each id, in file order; the rows of AVE with one id are the events of one video.

    If its rows are in different splits, the video is in test rather than val, and in val rather than train, so that no
    training video is evaluated on.
    """
    split_of = {row: split for split, rows in splits.present().items() for row in rows.tolist()}
    events, found = defaultdict(list), defaultdict(set)
    for row, runs in enumerate(_runs(annotations)):
        label = annotations.categories[int(annotations.category[row])]
        events[annotations.video_ids[row]] += [TimedEvent(label, start, end) for start, end in runs]
        found[annotations.video_ids[row]].add(split_of.get(row))
    return [AnnotatedVideo(video_id, float(annotations.segments),
                           next((split for split in reversed(SPLITS) if split in found[video_id]), None),
                           tuple(dict.fromkeys(sorted(items, key=lambda event: (event.start, event.end, event.label)))))
            for video_id, items in events.items()]


def _runs(annotations: Annotations) -> list[list[tuple[float, float]]]:
    """Return start and end of every run of event seconds of every row, as annotated where times are not whole."""
    if annotations.times is not None:
        return [[(start, end)] for start, end in annotations.times.double().tolist()]
    found = []
    for seconds in annotations.relevance.bool().tolist():
        runs = (list(run) for there, run in groupby(range(len(seconds)), key=seconds.__getitem__) if there)
        found.append([(float(run[0]), float(run[-1] + 1)) for run in runs])
    return found
