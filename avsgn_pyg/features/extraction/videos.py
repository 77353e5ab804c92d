"""Select the videos to encode: those of an AVE annotation file or of a list, or every media file of a folder."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from avsgn_pyg.common.errors import DataError, ExtractionError
from avsgn_pyg.data.ave import Annotations
from avsgn_pyg.data.sources import file_record
from avsgn_pyg.features.files import PICTURES, Shard, as_text, describe_skipped, find_media

NO_FILE = "no file"


class Video(NamedTuple):
    """A file to encode.

    Attributes:
        id: its id in the store.
        path: of the file.
        rows: annotated rows with this id; none without annotations.
        size: bytes, by which a replaced file is detected; -1 if unknown.
        start: the second of the file at which the segments begin.
    """

    id: str
    path: Path
    rows: tuple[int, ...] = ()
    size: int = -1
    start: int = 0

    @classmethod
    def at(cls, key: str, path: Path, rows: tuple[int, ...] = (), start: int = 0) -> Video:
        """Return the file at `path`; if it cannot be accessed, reading it will fail with the reason."""
        try:
            return cls(key, path, rows, path.stat().st_size, start)
        except OSError:
            return cls(key, path, rows, start=start)

    def failure(self, error: Exception | str, retryable: bool = False) -> Failure:
        """Return the failure of this video with a reason, which does not name the folders of this machine."""
        text, path = as_text(str(error)), as_text(str(self.path))
        text = text.replace(f"{path}: ", "", 1).replace(path, as_text(self.path.name))
        kind = "" if isinstance(error, (str, DataError)) else type(error).__name__
        return Failure(self.id, self.rows, ": ".join(filter(None, (kind, text))), retryable, self.size)


class Failure(NamedTuple):
    """A video without features and the reason.

    The next run tries it again if the cause is temporary (`retryable`), or if the file has another `size` then.
    """

    id: str
    rows: tuple[int, ...]
    reason: str
    retryable: bool = False
    size: int = -1

    def record(self) -> dict[str, Any]:
        """Return the failure JSON-ready."""
        known = {"passing": self.retryable or None, "size": None if self.size < 0 else self.size}
        return {"id": self.id, "rows": list(self.rows), "reason": self.reason,
                **{key: value for key, value in known.items() if value is not None}}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Failure:
        """Return the failure that :meth:`record` made."""
        return cls(record["id"], tuple(record["rows"]), record["reason"], record.get("passing", False),
                   record.get("size", -1))

    def __str__(self) -> str:
        where = f" (row {', '.join(map(str, self.rows))})" if self.rows else ""
        return f"{self.id}{where}: {self.reason}"


class Flags(NamedTuple):
    """What is unusual about a video.

    Attributes:
        unheard, unseen: seconds with less than half a second of sound, and seconds without a picture.
        breaks_off: the file ends before the end stated in its header, as after an interrupted download.
        padded: seconds at the end that the file does not have.
        longer: the file is longer than T seconds, and no start was given.
        start: the second of the file at which the first segment begins.
        notes: the reader's sentences on a file with any of these.
    """

    unheard: int = 0
    unseen: int = 0
    breaks_off: bool = False
    padded: int = 0
    longer: bool = False
    start: int = 0
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Plan:
    """The videos of one extraction.

    Attributes:
        videos: in the order of the store.
        missing: ids without a file, and ids with several.
        notes: sentences on files of the folder that are not read.
        skipped: suffix -> number of files that are not media.
        categories: class names in index order, for the label text; ``None`` without.
        source: identifies the videos of all shards; JSON-ready.
        shard: the part that this plan is.
    """

    videos: tuple[Video, ...]
    missing: tuple[Failure, ...]
    notes: tuple[str, ...]
    skipped: dict[str, int]
    categories: tuple[str, ...] | None
    source: dict[str, Any]
    shard: Shard


def make_plan(
    folder: Path, annotations: Annotations | None = None, *, categories: tuple[str, ...] | None = None,
    shard: Shard | None = None, starts: Mapping[str, int] | None = None,
) -> Plan:
    """Return the videos in `folder`, at any depth.

    With annotations or `starts` these are files ``<id>.<suffix>`` with any media suffix, in the order of the ids; an id
    ``<name>_<start>_<end>`` without such a file is the part of ``<name>.<suffix>`` from that second on. Otherwise they
    are all media files by name, whose id is the path in the folder without suffix. If one id has several files, the
    video is used; an id with several videos fails.

    Args:
        categories: class names; those of the annotations if there are any.
        shard: the part of the ids to take; ``None``: all.
        starts: id -> the second of its file at which it begins; without annotations, the ids to take.

    Raises:
        ExtractionError: no folder, one that cannot be listed, no media file in it, or none of the ids.
    """
    shard, rows, files, (paths, skipped) = shard or Shard(), {}, defaultdict(list), find_media(folder)
    for row, key in enumerate(annotations.video_ids if annotations else ()):
        rows[key] = (*rows.get(key, ()), row)
    named = annotations is not None or starts is not None
    starts = (annotations.clips if annotations else {}) | (starts or {})
    for path in paths:
        files[as_text(path.stem if named else path.relative_to(folder).with_suffix("").as_posix())].append(path)
    ids = list(rows or starts) if named else sorted(files)
    places = {key: place for key in ids if (place := _place(key, files, starts))}
    if not places:
        raise ExtractionError(
            f"{folder}: none of the {len(ids)} annotated or listed ids has a file here; expected {ids[0]}.mp4 (or "
            "another media suffix) for the first"
        )
    missing = {key: NO_FILE for key in ids if key not in places}
    missing |= {key: f"several files: {_listed(found, folder)}; keep one" for key, (found, _) in places.items()
                if len(found) > 1}
    taken = shard.of(ids)
    source = {"videos": len(ids), "ids sha256": hashlib.sha256("\n".join(ids).encode()).hexdigest()}
    return Plan(
        videos=tuple(Video.at(key, places[key][0][0], rows.get(key, ()), places[key][1])
                     for key in taken if key not in missing),
        missing=tuple(Failure(key, rows.get(key, ()), missing[key], missing[key] != NO_FILE)
                      for key in taken if key in missing),
        notes=tuple(_notes(files, places, skipped, annotations)),
        skipped=skipped,
        categories=annotations.categories if annotations else categories,
        source=source | ({"annotations": file_record(annotations.path)} if annotations else {}),
        shard=shard,
    )


def _listed(paths: Iterable[Path], folder: Path) -> str:
    return as_text(", ".join(str(path.relative_to(folder)) for path in paths))


def _place(key: str, files: Mapping[str, list[Path]], starts: Mapping[str, int]) -> tuple[list[Path], int] | None:
    """Return the files of an id, of which there should be one, and the second at which it starts in them."""
    name, start = key, starts.get(key, 0)
    part = re.fullmatch(r"(.+)_([0-9]{1,9})_[0-9]{1,9}", key)
    if key not in files and part:
        name, start = part[1], int(part[2])
    found = files.get(name, [])
    return ([path for path in found if path.suffix.lower() in PICTURES] or found, start) if found else None


def _notes(files: Mapping[str, list[Path]], places: Mapping[str, tuple[list[Path], int]], skipped: Mapping[str, int],
           annotations: Annotations | None) -> Iterator[str]:
    if skipped:
        yield describe_skipped(skipped)
    used = {path for found, _ in places.values() for path in found}
    beside = [paths for paths in files.values() if 0 < len(used.intersection(paths)) < len(paths)]
    if beside:
        yield (f"sound files with the name of a video, not read: {sum(map(len, beside)) - len(beside)}, first "
               f"{as_text(next(path.name for path in beside[0] if path not in used))}")
    other = sum(used.isdisjoint(paths) for paths in files.values())
    if other:
        yield f"media files of other ids, ignored: {other}"
    yield from annotations.doubtful_classes if annotations else ()
