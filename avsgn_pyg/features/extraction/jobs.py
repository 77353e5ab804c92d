"""Which videos are to be encoded: an AVE folder by its annotated rows, or every media file of any folder.

An id that stands in several rows is one job, encoded once. What cannot be a job is kept with its reason, so that
nothing of the annotations gets lost without a word.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from avsgn_pyg.data.ave import Annotations
from avsgn_pyg.data.sources import file_record
from avsgn_pyg.errors import ExtractionError
from avsgn_pyg.features.files import Shard, media_files, suffixes

NO_FILE = "no file"

class Video(NamedTuple):
    """A file to be encoded.

    Attributes:
        id: what the store calls it.
        path: where it lies.
        rows: the annotated rows that it stands in; none where it is not annotated.
        size: its bytes, by which a file that was replaced is noticed; -1 where that cannot be told.
    """

    id: str
    path: Path
    rows: tuple[int, ...] = ()
    size: int = -1

    @classmethod
    def at(cls, key: str, path: Path, rows: Sequence[int] = ()) -> Video:
        """The file at `path`; one that cannot be looked at fails later, when it is read, with its reason."""
        try:
            return cls(key, path, tuple(rows), path.stat().st_size)
        except OSError:
            return cls(key, path, tuple(rows))


class Failed(NamedTuple):
    """A video without features, and why; a `passing` reason lies in the machine, and the next run tries again."""

    id: str
    rows: tuple[int, ...]
    reason: str
    passing: bool = False

    def record(self) -> dict[str, Any]:
        """JSON-ready."""
        mark = {"passing": True} if self.passing else {}
        return {"id": self.id, "rows": list(self.rows), "reason": self.reason, **mark}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Failed:
        """From :meth:`record`; KeyError where it is none."""
        return cls(record["id"], tuple(record["rows"]), record["reason"], record.get("passing", False))

    def __str__(self) -> str:
        where = f" (row {', '.join(map(str, self.rows))})" if self.rows else ""
        return f"{self.id}{where}: {self.reason}"


class Marks(NamedTuple):
    """What a video's features lack: seconds with less than half a second of sound, seconds without a picture.

    Also whether the file ends before its header says, as a download that was cut does.
    """

    unheard: int = 0
    unseen: int = 0
    breaks_off: bool = False


WHOLE = Shard()


@dataclass(frozen=True)
class Plan:
    """What one process is to do.

    Attributes:
        videos: the files, in the order in which they will stand in the store.
        missing: annotated ids without a file.
        unannotated: media files of the folder that no row names; they are left alone.
        categories: class names in index order, for the label text; ``None`` where there are none.
        source: what the plan was made of, the same in every shard; JSON-ready.
        shard: which part this is.
    """

    videos: tuple[Video, ...]
    missing: tuple[Failed, ...] = ()
    unannotated: int = 0
    categories: tuple[str, ...] | None = None
    source: dict[str, Any] = field(default_factory=dict)
    shard: Shard = WHOLE

    def __len__(self) -> int:
        return len(self.videos)


def plan_annotated(folder: str | Path, annotations: Annotations, shard: Shard = WHOLE) -> Plan:
    """The videos that `annotations` names, in the order of their first rows.

    Args:
        folder: holds a file ``<id>.<suffix>`` for each id, with any of :data:`SUFFIXES`, at any depth.
        annotations: its rows and its classes.
        shard: which part of the ids.

    Raises:
        ExtractionError: no folder, one that cannot be listed, no media file in it, none of the annotated
            ones, or two files with one annotated id (names both).
    """
    files = defaultdict(list)
    for path in media_files(Path(folder)):
        files[path.stem].append(path)
    rows: dict[str, list[int]] = defaultdict(list)
    for row, video_id in enumerate(annotations.video_ids):
        rows[video_id].append(row)
    _refuse_two_files({video_id: files[video_id] for video_id in rows if video_id in files})
    if not any(video_id in files for video_id in rows):
        first = annotations.video_ids[0]
        raise ExtractionError(
            f"{folder}: none of the {len(rows)} ids of {annotations.path} has a file here; the first would be "
            f"{first}.mp4 (or another of {suffixes()})"
        )
    mine = shard.of(list(rows))
    return Plan(
        videos=tuple(Video.at(key, files[key][0], rows[key]) for key in mine if key in files),
        missing=tuple(Failed(key, tuple(rows[key]), NO_FILE) for key in mine if key not in files),
        unannotated=sum(len(paths) for key, paths in files.items() if key not in rows),
        categories=annotations.categories,
        source=_source(list(rows)) | {"annotations": file_record(annotations.path)},
        shard=shard,
    )


def plan_folder(folder: str | Path, categories: Sequence[str] | None = None, shard: Shard = WHOLE) -> Plan:
    """Every media file of `folder`, at any depth, by name; its id is its path in the folder, without suffix.

    Raises:
        ExtractionError: no folder, one that cannot be listed, no media file in it, or two files with one id.
    """
    folder = Path(folder)
    files = defaultdict(list)
    for path in media_files(folder):
        files[path.relative_to(folder).with_suffix("").as_posix()].append(path)
    _refuse_two_files(files)
    ids = sorted(files)
    videos = tuple(Video.at(key, files[key][0]) for key in shard.of(ids))
    names = None if categories is None else tuple(categories)
    return Plan(videos=videos, categories=names, source=_source(ids), shard=shard)


def _source(ids: list[str]) -> dict[str, Any]:
    return {"videos": len(ids), "ids sha256": hashlib.sha256("\n".join(ids).encode()).hexdigest()}


def _refuse_two_files(files: dict[str, list[Path]]) -> None:
    for key, paths in files.items():
        if len(paths) > 1:
            raise ExtractionError(f"two files with the id {key!r}: {paths[0]} and {paths[1]}; leave one of them")
