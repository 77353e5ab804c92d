"""Which videos to encode: those that an AVE annotation file names, or every media file of a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from avsgn_pyg.common.errors import ExtractionError
from avsgn_pyg.data.ave import Annotations
from avsgn_pyg.data.sources import file_record
from avsgn_pyg.features.files import Shard, media_files, suffixes

NO_FILE = "no file"


class Video(NamedTuple):
    """A file to encode.

    Attributes:
        id: its id in the store.
        path: of the file.
        rows: annotated rows with this id; none without annotations.
        size: bytes, by which a replaced file is detected; -1 if unknown.
    """

    id: str
    path: Path
    rows: tuple[int, ...] = ()
    size: int = -1

    @classmethod
    def at(cls, key: str, path: Path, rows: tuple[int, ...] = ()) -> Video:
        """Return the file at `path`; if it cannot be accessed, reading it will fail with the reason."""
        try:
            return cls(key, path, rows, path.stat().st_size)
        except OSError:
            return cls(key, path, rows)


class Failure(NamedTuple):
    """A video without features and the reason; `retryable` if the cause is temporary, so that the next run retries."""

    id: str
    rows: tuple[int, ...]
    reason: str
    retryable: bool = False

    def record(self) -> dict[str, Any]:
        """Return the failure JSON-ready."""
        flag = {"passing": True} if self.retryable else {}
        return {"id": self.id, "rows": list(self.rows), "reason": self.reason, **flag}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Failure:
        """Return the failure that :meth:`record` made."""
        return cls(record["id"], tuple(record["rows"]), record["reason"], record.get("passing", False))

    def __str__(self) -> str:
        where = f" (row {', '.join(map(str, self.rows))})" if self.rows else ""
        return f"{self.id}{where}: {self.reason}"


class Flags(NamedTuple):
    """What a video lacks: seconds with less than half a second of sound, seconds without a picture, its end.

    The last is true of a file that ends before its header says, such as an interrupted download.
    """

    unheard: int = 0
    unseen: int = 0
    breaks_off: bool = False


@dataclass(frozen=True)
class Plan:
    """The videos of one extraction.

    Attributes:
        videos: in the order of the store.
        missing: annotated ids without a file.
        unannotated: number of media files that no row names; they are ignored.
        categories: class names in index order, for the label text; ``None`` without.
        source: identifies the videos of all shards; JSON-ready.
        shard: the part that this plan is.
    """

    videos: tuple[Video, ...]
    missing: tuple[Failure, ...]
    unannotated: int
    categories: tuple[str, ...] | None
    source: dict[str, Any]
    shard: Shard


def make_plan(
    folder: Path, annotations: Annotations | None = None, *, categories: tuple[str, ...] | None = None,
    shard: Shard | None = None,
) -> Plan:
    """Return the videos in `folder`, at any depth.

    With annotations these are files ``<id>.<suffix>`` with any media suffix, in the order of the ids' first rows;
    otherwise all media files by name, whose id is the path in the folder without suffix.

    Args:
        categories: class names; those of the annotations if there are any.
        shard: the part of the ids to take; ``None``: all.

    Raises:
        ExtractionError: no folder, one that cannot be listed, no media file in it, no annotated one, or two files
            with one id.
    """
    shard, rows, files = shard or Shard(), {}, {}
    for row, key in enumerate(annotations.video_ids if annotations else ()):
        rows[key] = (*rows.get(key, ()), row)
    for path in media_files(folder):
        key = path.stem if annotations else path.relative_to(folder).with_suffix("").as_posix()
        if key in files and (key in rows or not annotations):
            raise ExtractionError(f"two files with the id {key!r}: {files[key]} and {path}; leave one of them")
        files[key] = path
    ids = list(rows) if annotations else sorted(files)
    if files.keys().isdisjoint(ids):
        raise ExtractionError(
            f"{folder}: none of the {len(ids)} ids of {annotations.path} has a file here; the first would be "
            f"{ids[0]}.mp4 (or another of {suffixes()})"
        )
    taken = shard.of(ids)
    source = {"videos": len(ids), "ids sha256": hashlib.sha256("\n".join(ids).encode()).hexdigest()}
    return Plan(
        videos=tuple(Video.at(key, files[key], rows.get(key, ())) for key in taken if key in files),
        missing=tuple(Failure(key, rows[key], NO_FILE) for key in taken if key not in files),
        unannotated=len(files.keys() - set(ids)),
        categories=annotations.categories if annotations else categories,
        source=source | ({"annotations": file_record(annotations.path)} if annotations else {}),
        shard=shard,
    )
