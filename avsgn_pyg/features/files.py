"""Media files of a folder, lists of class names, and the shards that machines process; imports no torch."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from avsgn_pyg.common.errors import DataError, ExtractionError
from avsgn_pyg.data.files import check_file, read_text

#: Suffixes, in lower case, of files that have pictures, and of files that have sound alone.
PICTURES = frozenset(
    ".264 .265 .3g2 .3gp .amv .asf .avi .divx .dv .f4v .flv .gif .h261 .h263 .h264 .h265 .hevc .ivf .m1v .m2t .m2ts "
    ".m2v .m4v .mjpeg .mjpg .mkv .mod .mov .mp4 .mpe .mpeg .mpg .mpv .mts .mxf .nut .ogm .ogv .ogx .qt .rm .rmvb .tod "
    ".ts .vob .webm .wmv .wtv .y4m".split()
)
SOUNDS = frozenset(
    ".aac .ac3 .aif .aifc .aiff .amr .ape .au .awb .caf .dts .eac3 .flac .m4a .m4b .mka .mp2 .mp3 .mpa .oga .ogg .opus "
    ".ra .snd .spx .tta .w64 .wav .wma .wv".split()
)

#: Names of columns that :func:`read_ids` knows.
ID_COLUMNS = ("id", "filename", "video_id", "videoid", "ytid")
START_COLUMNS = ("start", "start_seconds")

_WHOLE = re.compile(r"[0-9]{1,9}(\.0*)?")

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
        """Return every `count`-th item, so that neighbours, which may be alike, are spread over the shards."""
        return items[self.number - 1 :: self.count]

    def name(self, path: Path) -> Path:
        """Return the shard's own file next to `path`, or `path` itself if there is one shard."""
        return path if self.count == 1 else path.with_stem(f"{path.stem}.{self.number}-of-{self.count}")


def find_media(folder: Path) -> tuple[list[Path], dict[str, int]]:
    """Return the media files below `folder`, sorted, and the number of other files by suffix.

    Hidden files and folders are ignored; linked folders are not followed.

    Raises:
        ExtractionError: no folder, a folder that cannot be listed, or no media file.
    """
    if not folder.is_dir():
        raise ExtractionError(f"{folder}: no such folder; give the folder of the videos")

    def refuse(error: OSError) -> None:
        raise ExtractionError(f"{error.filename}: cannot be listed ({error.strerror})") from None

    found, skipped = [], Counter()
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(place, name) for name in names if not name.startswith(".")):
            if path.suffix.lower() in PICTURES | SOUNDS:
                found.append(path)
            else:
                skipped[as_text(path.suffix.lower()) or "without suffix"] += 1
    if not found:
        raise ExtractionError(f"{folder}: no media file; {describe_skipped(skipped)}")
    return sorted(found), dict(skipped.most_common())


def describe_skipped(skipped: Mapping[str, int]) -> str:
    """Return ``skipped 3 files: 2 .txt, 1 .jpg``."""
    counts = ", ".join(f"{count} {suffix}" for suffix, count in skipped.items())
    total = sum(skipped.values())
    return f"skipped {total} file{'s' * (total != 1)}{': ' * bool(counts)}{counts}"


def as_text(name: str) -> str:
    """Return a file name with every byte that is not UTF-8 written as ``\\xff``."""
    return os.fsencode(name).decode(errors="backslashreplace")


def read_ids(path: Path) -> dict[str, int]:
    """Read ids, one per line, or a table with a column of ids and optionally one of starts; return id -> first second.

    The table has a header, tabs or commas between its columns, a column ``id``, ``filename``, ``video_id`` or ``ytid``,
    and optionally a column ``start`` or ``start_seconds``: the whole second of the file at which the clip starts.

    Raises:
        DataError: file and row of an empty id, one with two starts, or a start that is not a whole second.
    """
    lines = [line for line in read_text(path).split("\n") if line.strip()] or [""]
    rows = list(csv.reader(lines, delimiter="\t" if "\t" in lines[0] else ",", skipinitialspace=True))
    head = [name.strip(" #").lower() for name in rows[0]]
    column, first = (next((place for place, name in enumerate(head) if name in names), None)
                     for names in (ID_COLUMNS, START_COLUMNS))
    if column is None and len(head) > 1:
        raise DataError(f"{path}: expected a header with one of the columns {', '.join(ID_COLUMNS)}; got {head}")
    found: dict[str, int] = {}
    for number, row in enumerate(rows, start=1):
        if number == 1 and column is not None:
            continue
        cells = [*map(str.strip, row), *[""] * max(1, len(head))]
        key, text = cells[column or 0], "0" if first is None else cells[first]
        if not key or not _WHOLE.fullmatch(text) or found.setdefault(key, int(float(text))) != float(text):
            raise DataError(f"{path}, row {number}: expected an id and one start per id, in whole seconds; got "
                            f"{key!r}, {text!r}")
    return found


def read_labels(path: str | Path) -> tuple[str, ...]:
    """Read class names in index order, one per line; DataError if there are none or a name is repeated."""
    lines = read_text(Path(path)).split("\n")
    names = tuple(line.strip() for line in lines if line.strip())
    if not names or len(set(names)) != len(names):
        twice = next((f"{name[:60]!r} twice" for name, count in Counter(names).items() if count > 1), "no line")
        raise DataError(f"{path}: expected one class name per line, no duplicates; got {twice}")
    return names


def check_inputs(
    videos: Path, annotations: Path | None, labels: Path | None, shard: str, ids: Path | None = None
) -> Shard:
    """Check the inputs of an extraction and return its shard; DataError where something is missing."""
    if labels is not None:
        read_labels(labels)
    part = Shard.parse(shard)
    if annotations is not None:
        read_text(annotations)
    if ids is not None:
        read_ids(ids)
    find_media(videos)
    return part


def check_shards(out: Path, shards: Sequence[Path], overwrite: bool) -> None:
    """Check the files of a merge: ExtractionError if `out` exists already, DataError if a shard does not."""
    if out.exists() and not overwrite:
        raise ExtractionError(f"{out}: exists already; give another name, or --overwrite")
    for path in shards:
        check_file(path)
