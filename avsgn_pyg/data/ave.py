"""The AVE annotation files: which event a video holds, in which seconds, and in which split it stands.

Letters: N annotated videos, T segments of one second, C event classes (background is index C).

A row of ``Annotations.txt`` is ``Category&VideoID&Quality&StartTime&EndTime``; *row* always counts from 0
and leaves a header out, *line* is what an editor shows. Rows, not ids, name a video: AVE holds some ids
twice, with other seconds or another class. ``docs/data.md`` lists what else is special about the files.
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from avsgn_pyg.data.feature_store import read_order
from avsgn_pyg.data.files import SPLIT_FILES, check_train_split, read_text
from avsgn_pyg.data.h5 import DataError

HEADER = ("category", "videoid", "quality", "starttime", "endtime")
SPLITS = ("train", "val", "test")
SplitSource = Literal["order", "txt"]


@dataclass(frozen=True)
class Annotations:
    """The rows of an annotation file.

    Attributes:
        path: the file.
        segments: T, seconds in a video.
        categories: class names in index order.
        video_ids: one a row, not unique.
        quality: the file's third field, one a row.
        category: [N] class of the row. A row without event seconds has one too (AVE's row 26).
        start: [N] first second of the event.
        end: [N] first second after it; ``start == end == 0`` where there is none.
    """

    path: Path
    segments: int
    categories: tuple[str, ...]
    video_ids: tuple[str, ...]
    quality: tuple[str, ...]
    category: Int[Tensor, "N"]
    start: Int[Tensor, "N"]
    end: Int[Tensor, "N"]

    def __len__(self) -> int:
        return len(self.video_ids)

    @property
    def relevance(self) -> Float[Tensor, "N T"]:
        """1 in the seconds of the event, 0 elsewhere."""
        second = torch.arange(self.segments)
        return ((second >= self.start[:, None]) & (second < self.end[:, None])).float()

    @property
    def labels(self) -> Float[Tensor, "N T C1"]:
        """One-hot class of every second, background last."""
        background = len(self.categories)
        index = torch.where(self.relevance.bool(), self.category[:, None], background)
        return torch.nn.functional.one_hot(index, background + 1).float()


class Splits(NamedTuple):
    """Rows of the annotation file, each split in its file's own order; ``None`` where it has no file."""

    train: Int[Tensor, "K"]
    val: Int[Tensor, "K2"] | None = None
    test: Int[Tensor, "K3"] | None = None


class Leak(NamedTuple):
    """A video that is trained on in one row and evaluated on in another."""

    video_id: str
    train_row: int
    other_split: str
    other_row: int


def read_annotations(
    path: str | Path, segments: int = 10, categories: Sequence[str] | None = None
) -> Annotations:
    """Read an annotation file, with or without header, any line ending, with or without a last one.

    Args:
        path: the file. Fields are split on ``&`` alone, because names hold commas and brackets.
        segments: T; no event may end after it.
        categories: class names in index order; ``None`` takes them in order of first appearance.

    Raises:
        DataError: file and line of a wrong field count, an empty name, a time that is no whole second, an
            event that is empty (other than ``0&0``) or ends after T, or a class not in `categories`.
    """
    path = Path(path)
    rows = [_Row.parse(path, line, fields, segments) for line, fields in _lines(path)]
    if not rows:
        raise DataError(f"{path}: no annotations in it")
    known = tuple(dict.fromkeys(row.category for row in rows) if categories is None else categories)
    index = {name: number for number, name in enumerate(known)}
    for row in rows:
        if row.category not in index:
            near = difflib.get_close_matches(row.category, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            raise DataError(f"{path}, line {row.line}: unknown class {row.category!r}; {hint}")
    return Annotations(
        path=path,
        segments=segments,
        categories=known,
        video_ids=tuple(row.video_id for row in rows),
        quality=tuple(row.quality for row in rows),
        category=torch.tensor([index[row.category] for row in rows]),
        start=torch.tensor([row.start for row in rows]),
        end=torch.tensor([row.end for row in rows]),
    )


def read_splits(root: str | Path, annotations: Annotations, source: SplitSource = "order") -> Splits:
    """Which rows are trained on, selected on and tested on.

    Args:
        root: folder of ``train_order.h5`` ... (`source` ``order``) or ``trainSet.txt`` ... (``txt``). Only
            the train file is required.
        annotations: what the files point into. Text rows are found by all their fields, never by id alone.
        source: which of the two forms to read; AVE's say the same.

    Raises:
        DataError: no train file; or the file and place of a row that is not in the annotations, stands twice
            in a split, or stands in two splits.
    """
    paths = {split: Path(root) / SPLIT_FILES[source].format(split) for split in SPLITS}
    check_train_split(Path(root), source)
    found = {split: path for split, path in paths.items() if path.is_file()}
    read = _read_order_files if source == "order" else _read_text_files
    return Splits(**dict(zip(found, read(list(found.values()), annotations), strict=True)))


def duplicates(annotations: Annotations) -> dict[str, tuple[int, ...]]:
    """Video ids that stand in more than one row, with their rows."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, video_id in enumerate(annotations.video_ids):
        rows[video_id].append(row)
    return {video_id: tuple(where) for video_id, where in rows.items() if len(where) > 1}


def leaks(annotations: Annotations, splits: Splits) -> list[Leak]:
    """Pairs of rows of one video of which one is in train and the other in val or test, by train row."""
    there = {split: rows for split, rows in splits._asdict().items() if rows is not None}
    split_of = {row: split for split, rows in there.items() for row in rows.tolist()}
    found = [
        Leak(video_id, row, split_of[other], other)
        for video_id, rows in duplicates(annotations).items()
        for row, other in permutations(rows, 2)
        if split_of.get(row) == "train" and split_of.get(other) in ("val", "test")
    ]
    return sorted(found, key=lambda leak: (leak.train_row, leak.other_row))


def without_leaks(splits: Splits, annotations: Annotations) -> Splits:
    """The splits without the train rows whose video also stands in val or test; order is kept."""
    dropped = torch.tensor([leak.train_row for leak in leaks(annotations, splits)], dtype=torch.int64)
    return splits._replace(train=splits.train[~torch.isin(splits.train, dropped)])


class _Row(NamedTuple):
    line: int
    category: str
    video_id: str
    quality: str
    start: int
    end: int

    @classmethod
    def parse(cls, path: Path, line: int, fields: tuple[str, ...], segments: int) -> _Row:
        where = f"{path}, line {line}"
        if len(fields) != len(HEADER):
            form = "Category&VideoID&Quality&StartTime&EndTime"
            raise DataError(f"{where}: {len(fields)} fields instead of the 5 of {form}: {'&'.join(fields)!r}")
        category, video_id, quality, *times = fields
        if not category or not video_id:
            raise DataError(f"{where}: an empty class or video id: {'&'.join(fields)!r}")
        for time in times:
            if not re.fullmatch("[0-9]{1,9}", time):
                raise DataError(f"{where}: start and end are whole seconds, 0 to {segments}; got {time!r}")
        start, end = int(times[0]), int(times[1])
        if end > segments:
            raise DataError(f"{where}: the event ends at {end}, but a video has {segments} seconds")
        if start >= end and (start, end) != (0, 0):
            raise DataError(f"{where}: an event from {start} to {end} is empty; 'no event' is written 0&0")
        return cls(line, category, video_id, quality, start, end)


def _lines(path: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """(line number from 1, fields without surrounding blanks) of every line but a header and last blanks."""
    text = read_text(path)
    # Not splitlines(): it also breaks at signs that may stand inside a name.
    for number, line in enumerate(text.rstrip().split("\n") if text.strip() else (), start=1):
        fields = tuple(part.strip() for part in line.split("&"))
        if number > 1 or tuple(part.lower() for part in fields) != HEADER:
            yield number, fields


def _read_order_files(paths: list[Path], annotations: Annotations) -> Iterator[Tensor]:
    taken: dict[int, str] = {}
    for path in paths:
        rows = read_order(path)
        for place, row in enumerate(rows.tolist()):
            if not 0 <= row < len(annotations):
                raise DataError(
                    f"{path}, entry {place}: row {row}, but {annotations.path} has rows 0 to "
                    f"{len(annotations) - 1}; is it the order of another data set?"
                )
            if row in taken:
                raise DataError(f"{path}, entry {place}: row {row} already stands in {taken[row]}")
            taken[row] = f"{path.name}, entry {place}"
        yield rows


def _read_text_files(paths: list[Path], annotations: Annotations) -> Iterator[Tensor]:
    free: dict[_Row, deque[int]] = defaultdict(deque)
    names = (annotations.categories[index] for index in annotations.category.tolist())
    times = (annotations.start.tolist(), annotations.end.tolist())
    for row, values in enumerate(zip(names, annotations.video_ids, annotations.quality, *times, strict=True)):
        free[_Row(0, *values)].append(row)
    for path in paths:
        rows = []
        for line, values in _lines(path):
            key = _Row.parse(path, line, values, annotations.segments)._replace(line=0)
            if not free.get(key):
                why = "is in no row of" if key not in free else "stands more often in the split files than in"
                raise DataError(f"{path}, line {line}: {'&'.join(values)!r} {why} {annotations.path}")
            rows.append(free[key].popleft())
        if not rows:
            raise DataError(f"{path}: no rows in it")
        yield torch.tensor(rows)
