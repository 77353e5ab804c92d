"""Media files of a folder, label lists, and the part of them that one machine takes; needs no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from avsgn_pyg.data.files import check_file, read_text
from avsgn_pyg.errors import DataError, ExtractionError

#: Ends of names that are taken for media, in any case. What such a file really holds shows when it is read.
SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .m2ts .wmv .flv .3gp .ogv "
    ".wav .flac .mp3 .m4a .aac .ogg .opus .wma".split()
)

Thing = TypeVar("Thing")


class Shard(NamedTuple):
    """The part `number` of `count`, from 1."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From ``2/8``; ExtractionError where that is no part of a whole."""
        number, slash, count = text.partition("/")
        if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise ExtractionError(f"shard {text!r}: write number/count with numbers from 1, such as 1/4 ... 4/4")
        return cls(int(number), int(count))

    def of(self, things: Sequence[Thing]) -> Sequence[Thing]:
        """Every `count`-th thing, so that parts are alike where neighbours are."""
        return things[self.number - 1 :: self.count]

    def name(self, path: Path) -> Path:
        """The part's own file beside `path`; `path` itself where the part is the whole."""
        if self.count == 1:
            return path
        return path.with_name(f"{path.stem}.{self.number}-of-{self.count}{path.suffix}")


def media_files(folder: Path) -> list[Path]:
    """Media files below `folder`, sorted; hidden files and folders are none, and links to folders are not followed.

    Raises:
        ExtractionError: no folder, a folder that cannot be listed, or no media file.
    """
    if not folder.is_dir():
        raise ExtractionError(f"{folder}: no such folder; give the one that holds the videos")

    def refuse(error: OSError) -> None:
        raise ExtractionError(f"{error.filename}: cannot be listed ({error.strerror})") from None

    found, others = [], 0
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                found.append(Path(place) / name)
            else:
                others += 1
    for path in found:
        if str(path).encode(errors="replace").decode() != str(path):
            raise ExtractionError(f"{str(path)!r}: its name is not valid text and cannot be an id; rename it")
    if not found:
        raise ExtractionError(f"{folder}: no media file among its {others} files; looked for {suffixes()}")
    return sorted(found)


def read_labels(path: str | Path) -> tuple[str, ...]:
    """Class names in index order, one a line; DataError where there are none or one stands twice."""
    lines = read_text(Path(path)).split("\n")
    names = tuple(line.strip() for line in lines if line.strip())
    if not names or len(set(names)) != len(names):
        raise DataError(f"{path}: class names stand one a line, each once; got {len(names)} lines: {names[:5]}")
    return names


def check_inputs(videos: Path, annotations: Path | None, labels: Path | None, shard: str) -> Shard:
    """What an extraction reads before it encodes: DataError where something is missing; the shard otherwise."""
    if labels is not None:
        read_labels(labels)
    part = Shard.parse(shard)
    if annotations is not None:
        read_text(annotations)
    media_files(videos)
    return part


def check_shards(out: Path, shards: Sequence[Path], overwrite: bool) -> None:
    """What a merge needs: ExtractionError where `out` is there already, DataError where a shard is not."""
    if out.exists() and not overwrite:
        raise ExtractionError(f"{out}: is there already; give another name, or --overwrite")
    for path in shards:
        check_file(path)


def suffixes() -> str:
    """For an error message."""
    return " ".join(sorted(SUFFIXES))
