"""Media files of a folder, lists of class names, and the shards that machines process; imports no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from avsgn_pyg.common.errors import DataError, ExtractionError
from avsgn_pyg.data.files import check_file, read_text

#: Suffixes of media files, in upper or lower case.
SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .m2ts .wmv .flv .3gp .ogv "
    ".wav .flac .mp3 .m4a .aac .ogg .opus .wma".split()
)

Item = TypeVar("Item")


class Shard(NamedTuple):
    """Shard `number` of `count`, from 1."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Parse ``2/8``; ExtractionError for anything else than 1/N to N/N."""
        number, slash, count = text.partition("/")
        if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise ExtractionError(f"shard {text!r}: write number/count with numbers from 1, such as 1/4 ... 4/4")
        return cls(int(number), int(count))

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return every `count`-th item, so that shards are alike where neighbours are."""
        return items[self.number - 1 :: self.count]

    def name(self, path: Path) -> Path:
        """Return the shard's own file next to `path`, or `path` itself if there is one shard."""
        return path if self.count == 1 else path.with_stem(f"{path.stem}.{self.number}-of-{self.count}")


def media_files(folder: Path) -> list[Path]:
    """List the media files below `folder`, sorted; skips hidden files and folders, and does not follow linked folders.

    Raises:
        ExtractionError: no folder, a folder that cannot be listed, or no media file.
    """
    if not folder.is_dir():
        raise ExtractionError(f"{folder}: no such folder; give the folder of the videos")

    def refuse(error: OSError) -> None:
        raise ExtractionError(f"{error.filename}: cannot be listed ({error.strerror})") from None

    paths = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(place) / name for name in names]
    found = [path for path in paths if not path.name.startswith(".") and path.suffix.lower() in SUFFIXES]
    for path in found:
        if str(path).encode(errors="replace").decode() != str(path):
            raise ExtractionError(f"{str(path)!r}: its name is not valid text and cannot be an id; rename it")
    if not found:
        raise ExtractionError(f"{folder}: no media file among its {len(paths)} files; looked for {suffixes()}")
    return sorted(found)


def read_labels(path: str | Path) -> tuple[str, ...]:
    """Read class names in index order, one per line; DataError if there are none or a name is repeated."""
    lines = read_text(Path(path)).split("\n")
    names = tuple(line.strip() for line in lines if line.strip())
    if not names or len(set(names)) != len(names):
        raise DataError(f"{path}: expected one class name per line, no duplicates; got {len(names)} lines: {names[:5]}")
    return names


def check_inputs(videos: Path, annotations: Path | None, labels: Path | None, shard: str) -> Shard:
    """Check the inputs of an extraction and return its shard; DataError where something is missing."""
    if labels is not None:
        read_labels(labels)
    part = Shard.parse(shard)
    if annotations is not None:
        read_text(annotations)
    media_files(videos)
    return part


def check_shards(out: Path, shards: Sequence[Path], overwrite: bool) -> None:
    """Check the files of a merge: ExtractionError if `out` exists already, DataError if a shard does not."""
    if out.exists() and not overwrite:
        raise ExtractionError(f"{out}: exists already; give another name, or --overwrite")
    for path in shards:
        check_file(path)


def suffixes() -> str:
    """Return all suffixes, for an error message."""
    return " ".join(sorted(SUFFIXES))
