"""Folders of AVE, OV-AVE and AVE-PM as annotated rows and splits, or as videos with timed events.

OV-AVE and AVE-PM have one class per video and unique ids. ``docs/data.md`` describes the files. Rows are counted over
the csv file of OV-AVE, and over the train, val and test files of AVE-PM in this order.

Shapes: N videos, T segments of one second.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import torch

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.annotations import AnnotatedVideo, TimedEvent
from avsgn_pyg.data.ave import SPLITS, Annotations, Splits, SplitSource, read_annotations, read_splits
from avsgn_pyg.data.files import BY_ID_FILES, SPLIT_FILES, kind_of, read_object, read_table
from avsgn_pyg.data.rows import class_index

#: Names of AVE-PM's classes, in the authors' repository; read if it is in the folder.
NAMES_FILE: Final = "class_name_mapping.csv"


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
            :func:`read_ovave` and :func:`read_avepm`.
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


def read_ovave(root: str | Path, categories: Sequence[str] | None = None) -> tuple[Annotations, Splits]:
    """Read ``ovave_dataset_meta.csv`` and ``released_ovavel_dataset_anno.json`` of OV-AVE (OV-AVEBench).

    Events have gaps: `marks` has their seconds. A quarter of the videos have a class but no second of it; they are
    background throughout. No train video has a class that the file calls ``open``.

    Args:
        root: the folder of both files.
        categories: class names in index order; ``None``: all names of the file, sorted, as in the published code.

    Raises:
        DataError: a missing file or column; file and line of an id that is repeated or not in the JSON file, of an
            unknown class, split or class type, or of labels that are not T zeros and ones; no train rows.
    """
    meta, labels = (Path(root) / name for name in BY_ID_FILES["ov-ave"])
    rows = list(read_table(meta, ("split", "cls_name", "cls_type", "vid_name")))
    _check_ids(meta, [(where, row[3]) for where, row in rows])
    known = tuple(categories or sorted({name for _, (_, name, _, _) in rows}))
    index, found = {name: number for number, name in enumerate(known)}, read_object(labels)
    category, marks, kinds = [], [], {}
    for where, (split, name, kind, video_id) in rows:
        if split not in SPLITS or kind not in ("close", "open") or kinds.setdefault(name, kind) != kind:
            raise DataError(f"{where}: split {split!r}, class {name!r} of type {kind!r}; expected a split of "
                            f"{', '.join(SPLITS)}, and a class that is close or open in all rows")
        category.append(class_index(name, index, where))
        marks.append(_marks(labels, video_id, name, found, len(marks[0]) if marks else None))
    seconds = torch.tensor(marks)
    second = torch.arange(seconds.shape[1])
    start, end = (seconds * (seconds.shape[1] - second)).argmax(1), ((second + 1) * seconds).amax(1)
    annotations = Annotations(
        path=meta, segments=seconds.shape[1], categories=known, video_ids=tuple(row[3] for _, row in rows),
        category=torch.tensor(category), start=start, end=end, marks=seconds,
    )
    return annotations, _splits([row[0] for _, row in rows], meta)


def read_avepm(root: str | Path, segments: int = 10, categories: Sequence[str] | None = None
               ) -> tuple[Annotations, Splits]:
    """Read ``train.csv``, ``val.csv`` and ``test.csv`` of AVE-PM, portrait-mode clips with events in float seconds.

    `start` and `end` are whole seconds: a second belongs to the event if the event covers at least half of it; an event
    that covers half of no second has the second that contains its middle. `times` keeps the floats.

    Args:
        root: the folder of the files, and of ``class_name_mapping.csv`` if the classes are to have names.
        segments: T; no event may end after it.
        categories: class names in index order, checked against the names of the files; ``None`` takes those.

    Raises:
        DataError: a missing file or column; file and line of a repeated id, of a time that is no number in 0..T, of an
            event that does not end after its start, or of a label that is no class.
    """
    root = Path(root)
    paths = {split: root / name for split, name in zip(SPLITS, BY_ID_FILES["ave-pm"], strict=True)}
    rows = [(split, where, row) for split, path in paths.items()
            for where, row in read_table(path, ("sample_id", "onset", "offset", "label"))]
    _check_ids(root, [(where, row[0]) for _, where, row in rows])
    numbers = [_number(row[3], where) for _, where, row in rows]
    names = _class_names(root, max(numbers, default=0) + 1)
    known = tuple(categories or names)
    index = {name: number for number, name in enumerate(known)}
    times = [_times(row[1:3], segments, where) for _, where, row in rows]
    start, end = zip(*(_whole(*pair) for pair in times), strict=True)
    category = [class_index(names[number], index, where) for number, (_, where, _) in zip(numbers, rows, strict=True)]
    annotations = Annotations(
        path=root, segments=segments, categories=known, video_ids=tuple(row[0] for _, _, row in rows),
        category=torch.tensor(category), start=torch.tensor(start), end=torch.tensor(end), times=torch.tensor(times),
    )
    return annotations, _splits([split for split, _, _ in rows], root)


def _marks(path: Path, video_id: str, name: str, found: dict[str, Any], segments: int | None) -> list[bool]:
    """Return the seconds of one video's event; the file writes a list as text, ``"[0, 1, 1]"``."""
    entry = found.get(video_id)
    if not isinstance(entry, dict) or entry.get("category") != name:
        raise DataError(f"{path}: {video_id!r} should have the category {name!r}, as in the csv file; got {entry!r}")
    try:
        values = json.loads(entry["label"]) if isinstance(entry.get("label"), str) else entry.get("label")
    except ValueError:
        values = None
    valid = isinstance(values, list) and values and all(value in (0, 1) for value in values)
    if not valid or len(values) != (segments or len(values)):
        raise DataError(f"{path}: {video_id!r} needs a label of {segments or 'T'} zeros and ones, one per second; got "
                        f"{entry.get('label')!r}")
    return [value == 1 for value in values]


def _check_ids(path: Path, places: Sequence[tuple[str, str]]) -> None:
    if not places:
        raise DataError(f"{path}: no rows")
    first: dict[str, str] = {}
    for where, video_id in places:
        if first.setdefault(video_id, where) != where:
            raise DataError(f"{where}: the id {video_id!r} is already in {first[video_id]}")


def _splits(names: Sequence[str], path: Path) -> Splits:
    rows = {split: torch.tensor([row for row, name in enumerate(names) if name == split]) for split in SPLITS}
    if not len(rows["train"]):
        raise DataError(f"{path}: no train rows")
    return Splits(**{split: found.long() if len(found) else None for split, found in rows.items()})


def _class_names(root: Path, count: int) -> tuple[str, ...]:
    """Return the names of at least `count` classes: ``class 0`` and so on if the file of names is missing."""
    path = root / NAMES_FILE
    if not path.is_file():
        return tuple(f"class {number}" for number in range(count))
    names = {_number(number, where): name for where, (number, name) in read_table(path, ("class_id", "class_name"))}
    if sorted(names) != list(range(max(count, len(names)))) or len(set(names.values())) != len(names):
        raise DataError(f"{path}: expected each class_id from 0 to {max(count, len(names)) - 1} once, with different "
                        "names")
    return tuple(names[number] for number in sorted(names))


def _number(text: str, where: str) -> int:
    if not text.isdecimal():
        raise DataError(f"{where}: {text!r} is not the number of a class")
    return int(text)


def _times(texts: Sequence[str], segments: int, where: str) -> tuple[float, float]:
    try:
        start, end = map(float, texts)
    except ValueError:
        start = end = math.nan
    if not 0 <= start < end <= segments:
        raise DataError(f"{where}: an event from {texts[0]} to {texts[1]} s; expected 0 <= onset < offset <= "
                        f"{segments}")
    return start, end


def _whole(start: float, end: float) -> tuple[int, int]:
    """Return the seconds that an event covers by half or more; if there are none, the one that contains its middle."""
    first, last = math.ceil(start - 0.5), math.floor(end + 0.5)
    middle = int((start + end) / 2)
    return (first, last) if first < last else (middle, middle + 1)
