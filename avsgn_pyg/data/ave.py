"""The AVE annotation files: which event a video has, in which seconds, and which split it belongs to.

A row of ``Annotations.txt`` is ``Category&VideoID&Quality&StartTime&EndTime``; *row* counts from 0 without a header,
*line* is the number that an editor shows. Rows, not ids, identify a video: AVE lists some ids twice, with other seconds
or another class. ``docs/data.md`` describes the files.

Shapes: N annotated videos, T segments of one second, C event classes (background is index C).
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Final, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.files import SPLIT_FILES, check_train_split
from avsgn_pyg.data.legacy import read_order
from avsgn_pyg.data.rows import class_index, format_some, near_duplicates, read_rows

SPLITS: Final = ("train", "val", "test")
SplitSource = Literal["order", "txt"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Annotations:
    """The rows of an annotation file.

    Attributes:
        path: the file.
        segments: T, seconds in a video.
        categories: class names in index order.
        video_ids: one per row, not unique.
        category: [N] class of the row. A row without event seconds has one too (AVE's row 26).
        start: [N] first second of the event.
        end: [N] first second after it; ``start == end == 0`` without an event.
        quality: the file's third field, one per row; empty if it has none (OV-AVE, AVE-PM).
        clips: id -> the second of its media file at which its clip begins, if the file has a column ``Start``.
        marks: [N, T] the event's seconds from `start` to `end` if there are gaps between them (OV-AVE).
        times: [N, 2] start and end of the event in seconds as annotated, if they are not whole (AVE-PM).
    """

    path: Path
    segments: int
    categories: tuple[str, ...]
    video_ids: tuple[str, ...]
    category: Int[Tensor, "N"]
    start: Int[Tensor, "N"]
    end: Int[Tensor, "N"]
    quality: tuple[str, ...] = ()
    clips: Mapping[str, int] = field(default_factory=dict)
    marks: Bool[Tensor, "N T"] | None = None
    times: Float[Tensor, "N 2"] | None = None

    def __len__(self) -> int:
        return len(self.video_ids)

    @property
    def relevance(self) -> Float[Tensor, "N T"]:
        """1 in the seconds of the event, 0 elsewhere."""
        second = torch.arange(self.segments)
        inside = (second >= self.start[:, None]) & (second < self.end[:, None])
        return (inside if self.marks is None else inside & self.marks).float()

    @property
    def lines(self) -> list[str]:
        """Every row as a line of the annotation file."""
        names = (self.categories[index] for index in self.category.tolist())
        rows = zip(names, self.video_ids, self.quality, self.start.tolist(), self.end.tolist(), strict=True)
        return ["&".join(map(str, row)) for row in rows]

    @property
    def doubtful_classes(self) -> list[str]:
        """A sentence on each pair of classes that differ only by case, blanks or one letter."""
        counts = self.category.bincount(minlength=len(self.categories)).tolist()
        found = []
        for rare, common in near_duplicates(dict(zip(self.categories, counts, strict=True))):
            index = self.categories.index(rare)
            rows = (self.category == index).nonzero().flatten().tolist()
            found.append(f"{self.path.name}: the class {rare!r} (index {index}, row {format_some(rows)}) differs from "
                         f"{common!r} only by case, blanks or one letter; if they are one class, correct these rows")
        return found


class Splits(NamedTuple):
    """Rows of the annotation file, each split in its file's own order; ``None`` for a split without a file."""

    train: Int[Tensor, "K"]
    val: Int[Tensor, "K2"] | None = None
    test: Int[Tensor, "K3"] | None = None

    def present(self) -> dict[str, Tensor]:
        """Return the splits that have a file, by name."""
        return {split: rows for split, rows in self._asdict().items() if rows is not None}


class Leak(NamedTuple):
    """A video of which one row is in train and another in val or test."""

    video_id: str
    train_row: int
    other_split: str
    other_row: int


def read_annotations(path: str | Path, segments: int = 10, categories: Sequence[str] | None = None) -> Annotations:
    """Read an annotation file, with or without header, with any line ending.

    Args:
        path: the file. Fields are split at ``&`` alone, because names contain commas and brackets.
        segments: T; no event may end after it.
        categories: class names in index order; ``None`` takes them in order of first appearance.

    Raises:
        DataError: file and line of a wrong field count, an empty name, a time that is not a whole second, an event that
            is empty (other than ``0&0``) or ends after T, a class not in `categories`, or an id with two starts.
    """
    path = Path(path)
    found = list(read_rows(path, segments))
    if not found:
        raise DataError(f"{path}: contains no annotations")
    rows, clips = [row for _, row in found], {}
    for where, row in found:
        if clips.setdefault(row.video_id, row.clip) != row.clip:
            raise DataError(f"{where}: the clip of {row.video_id!r} starts at {row.clip} s here and at "
                            f"{clips[row.video_id]} s above; give each clip its own id, such as <name>_<start>_<end>")
    known = tuple(dict.fromkeys(row.category for row in rows) if categories is None else categories)
    index = {name: number for number, name in enumerate(known)}
    return Annotations(
        path=path,
        segments=segments,
        categories=known,
        video_ids=tuple(row.video_id for row in rows),
        quality=tuple(row.quality for row in rows),
        category=torch.tensor([class_index(row.category, index, where) for where, row in found]),
        start=torch.tensor([row.start for row in rows]),
        end=torch.tensor([row.end for row in rows]),
        clips=clips,
    )


def read_splits(root: str | Path, annotations: Annotations, source: SplitSource = "order") -> Splits:
    """Read which rows are in train, val and test.

    Args:
        root: folder of ``train_order.h5`` ... (`source` ``order``) or ``trainSet.txt`` ... (``txt``). Only the train
            file is required.
        annotations: the rows that the files refer to. Text rows are found by all their fields, never by id alone.
        source: which of the two forms to read; AVE's agree.

    Raises:
        DataError: no train file; or the file and place of a row that is not in the annotations, is repeated in a split,
            or is in two splits.
    """
    paths = {split: Path(root) / SPLIT_FILES[source].format(split) for split in SPLITS}
    check_train_split(Path(root), source)
    found = {split: path for split, path in paths.items() if path.is_file()}
    read = _read_order_files if source == "order" else _read_text_files
    return Splits(**dict(zip(found, read(list(found.values()), annotations), strict=True)))


def check_coverage(annotations: Annotations, splits: Splits, root: Path, source: SplitSource) -> None:
    """Raise a DataError if three split files leave annotated rows out; warn if a split has no file."""
    given = splits.present()
    free = torch.ones(len(annotations), dtype=torch.bool)
    free[torch.cat(list(given.values()))] = False
    left = free.nonzero().flatten().tolist()
    if not left:
        return
    files = ", ".join(str(root / SPLIT_FILES[source].format(split)) for split in given)
    found = (f"{files}: {len(left)} of the {len(annotations)} rows of {annotations.path} are in no split, first row "
             f"{left[0]} ({annotations.video_ids[left[0]]})")
    if len(given) == len(splits):
        raise DataError(f"{found}; are the split files those of another data set?")
    logger.warning("%s; their split may be the one without a file", found)


def check_forms_agree(root: Path, annotations: Annotations) -> None:
    """Raise a DataError if the order file and the text file of a split contain different videos.

    The order may differ, and rows that are equal in every field are interchangeable. The message names the first entry
    of one file that the other lacks.
    """
    lines = annotations.lines
    for split in SPLITS:
        order, text = (root / SPLIT_FILES[source].format(split) for source in ("order", "txt"))
        if not (order.is_file() and text.is_file()):
            continue
        numbered = [lines[row] for row in next(_read_order_files([order], annotations)).tolist()]
        written = read_annotations(text, annotations.segments, annotations.categories).lines
        for one, entries, other, others in ((order, numbered, text, written), (text, written, order, numbered)):
            free = Counter(others)
            for place, entry in enumerate(entries):
                free[entry] -= 1
                if free[entry] < 0:
                    raise DataError(f"{one}, entry {place}: {entry!r} is not in {other}; both are the {split} split "
                                    "and must have the same videos. Remove the file that is wrong")


def duplicates(annotations: Annotations) -> dict[str, tuple[int, ...]]:
    """Return the video ids that occur in more than one row, with their rows."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, video_id in enumerate(annotations.video_ids):
        rows[video_id].append(row)
    return {video_id: tuple(where) for video_id, where in rows.items() if len(where) > 1}


def leaks(annotations: Annotations, splits: Splits) -> list[Leak]:
    """Return pairs of rows of one video, one in train and the other in val or test, by train row."""
    split_of = {row: split for split, rows in splits.present().items() for row in rows.tolist()}
    found = [
        Leak(video_id, row, split_of[other], other)
        for video_id, rows in duplicates(annotations).items()
        for row, other in permutations(rows, 2)
        if split_of.get(row) == "train" and split_of.get(other) in ("val", "test")
    ]
    return sorted(found, key=lambda leak: (leak.train_row, leak.other_row))


def without_leaks(splits: Splits, annotations: Annotations) -> Splits:
    """Return the splits without the train rows whose video is also in val or test, in the same order."""
    dropped = torch.tensor([leak.train_row for leak in leaks(annotations, splits)], dtype=torch.int64)
    return splits._replace(train=splits.train[~torch.isin(splits.train, dropped)])


def _read_order_files(paths: list[Path], annotations: Annotations) -> Iterator[Tensor]:
    taken: dict[int, str] = {}
    for path in paths:
        rows = read_order(path)
        for place, row in enumerate(rows.tolist()):
            if not 0 <= row < len(annotations):
                raise DataError(f"{path}, entry {place}: row {row}, but {annotations.path} has rows 0 to "
                                f"{len(annotations) - 1}; is it the order of another data set?")
            if row in taken:
                raise DataError(f"{path}, entry {place}: row {row} is already in {taken[row]}")
            taken[row] = f"{path.name}, entry {place}"
        yield rows


def _read_text_files(paths: list[Path], annotations: Annotations) -> Iterator[Tensor]:
    free: dict[str, deque[int]] = defaultdict(deque)
    for row, line in enumerate(annotations.lines):
        free[line].append(row)
    for path in paths:
        rows = []
        for where, row in read_rows(path, annotations.segments):
            key = str(row)
            if not free.get(key):
                why = "is in no row of" if key not in free else "is more often in the split files than in"
                raise DataError(f"{where}: {key!r} {why} {annotations.path}")
            rows.append(free[key].popleft())
        if not rows:
            raise DataError(f"{path}: contains no rows")
        yield torch.tensor(rows)
