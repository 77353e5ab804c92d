"""The rows of an AVE annotation file as text, and their class names; needs neither torch nor PyG."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Final, NamedTuple

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.files import read_text

FORM: Final = "Category&VideoID&Quality&StartTime&EndTime"
CLIP_FORM: Final = f"{FORM}&Start"


class Row(NamedTuple):
    """One annotation; `clip` is the second of the media file at which the annotated clip begins."""

    category: str
    video_id: str
    quality: str
    start: int
    end: int
    clip: int = 0

    @classmethod
    def parse(cls, where: str, fields: Sequence[str], segments: int, form: str = FORM) -> Row:
        """Return the row of a line's fields; DataError with `where` if it is not one (see read_annotations)."""
        if len(fields) != form.count("&") + 1:
            raise DataError(f"{where}: {len(fields)} fields instead of the {form.count('&') + 1} of {form}: "
                            f"{'&'.join(fields)!r}")
        category, video_id, quality, *times = fields
        if not category or not video_id:
            raise DataError(f"{where}: an empty class or video id: {'&'.join(fields)!r}")
        for time in times:
            if not re.fullmatch(r"[0-9]{1,9}(\.0{0,9})?", time):
                raise DataError(f"{where}: start and end must be whole seconds, 0 to {segments}; got {time!r}")
        start, end, *clip = (int(time.partition(".")[0]) for time in times)
        if end > segments:
            raise DataError(f"{where}: the event ends at {end}, but a video has {segments} seconds")
        if start >= end and (start, end) != (0, 0):
            raise DataError(f"{where}: an event from {start} to {end} is empty; 'no event' is written 0&0")
        return cls(category, video_id, quality, start, end, *clip)

    def __str__(self) -> str:
        return "&".join(map(str, self[:5]))


def read_rows(path: Path, segments: int) -> Iterator[tuple[str, Row]]:
    """Yield every row with its file and line; a header is skipped, and may name a sixth field."""
    text, form = read_text(path), FORM
    # Not splitlines(): it also splits at characters that names may contain.
    for number, line in enumerate(text.rstrip().split("\n") if text.strip() else (), start=1):
        fields = [part.strip() for part in line.split("&")]
        if len(fields) > 5 and not fields[-1]:  # a separator after the last field
            fields.pop()
        header = next((each for each in (FORM, CLIP_FORM) if "&".join(fields).lower() == each.lower()), None)
        if number == 1 and header:
            form = header
            continue
        where = f"{path}, line {number}"
        yield where, Row.parse(where, fields, segments, form)


def class_index(name: str, index: Mapping[str, int], where: str) -> int:
    """Return the index of a class; DataError with `where` and the closest name if there is no such class."""
    if name not in index:
        near = difflib.get_close_matches(name, index, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {format_some([*index], most=40)}"
        raise DataError(f"{where}: unknown class {name!r}; {hint}")
    return index[name]


def format_some(values: Sequence[object], most: int = 8) -> str:
    """Return the first values, separated by commas, and the number of the others."""
    rest = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(map(str, values[:most])) + rest


def near_duplicates(rows: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yield pairs of classes, the rarer first, that differ only by case, blanks or one letter.

    Short names that differ by a letter (Car, Cat) count only if one has at most a tenth of the other's rows; names with
    different digits (class 1, class 2) never count.

    Args:
        rows: class -> number of its rows.
    """
    plain = {name: re.sub(r"[\s_]", "", unicodedata.normalize("NFKC", name).casefold()) for name in rows}
    for pair in combinations(rows, 2):
        common, rare = sorted(pair, key=lambda name: rows[name], reverse=True)
        one, other = plain[rare], plain[common]
        close = _differ_by_a_letter(one, other) and (min(len(one), len(other)) > 3 or 10 * rows[rare] <= rows[common])
        if one == other or close:
            yield rare, common


def _differ_by_a_letter(one: str, other: str) -> bool:
    """Return whether one letter is exchanged, missing or added, or two neighbours are swapped."""
    start = _common_start(one, other)
    one, other = one[start:], other[start:]
    end = _common_start(one[::-1], other[::-1])
    one, other = one[: len(one) - end], other[: len(other) - end]
    short = max(len(one), len(other)) == 1 or (len(one) == 2 and one == other[::-1])
    return short and not any(letter.isdigit() for letter in one + other)


def _common_start(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
