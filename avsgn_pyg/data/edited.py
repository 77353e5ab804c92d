"""Read edited ELAN, Audacity, csv and Label Studio files as videos with timed events; turn those into rows of AVE.

Needs neither torch nor PyG. XML is read by the standard library; a document type is refused, because its entities could
expand to gigabytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree
from xml.parsers import expat

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.text import printable
from avsgn_pyg.data.annotations import AnnotatedVideo, TimedEvent, check_video
from avsgn_pyg.data.files import check_file, read_table, read_text
from avsgn_pyg.data.label_studio import read_label_studio
from avsgn_pyg.data.rows import Row, class_index

#: The tier in which prediction writes the events.
TIER: Final = "event"
#: What prediction writes after a label about an event during which the file lacks picture or sound.
NOTE: Final = re.compile(r"\s*\[((no (picture|sound)|(picture|sound) for \d+%)(, )?)+\]$")
#: A clip that is shorter than T by less than this (s), as codecs leave it, ends at T.
REMAINDER: Final = 0.1


#: The file, or the place in it, from which a video was read; and the video.
Edited = tuple[str, AnnotatedVideo]


def read_edited(paths: Iterable[Path], categories: Sequence[str] | None = None) -> tuple[list[Edited], list[DataError]]:
    """Return the videos of all files that can be read, and an error for every other file.

    Args:
        paths: named as in :data:`READERS`, where the id of a video is the name of its file without that ending; or a
            ``.json`` file exported by Label Studio.
        categories: the classes that an event may have; ``None``: any. A note in brackets after a label, such as
            ``[no sound]``, is not part of it.
    """
    found: dict[str, Edited] = {}
    errors = []
    for path in paths:
        try:
            for where, video in _read(path):
                labelled = _labelled(where, video, categories)
                if video.video_id in found:
                    raise DataError(f"{where}: a second file with the id {video.video_id!r}; give only one")
                found[video.video_id] = where, labelled
        except DataError as error:
            errors.append(error)
    return list(found.values()), errors


def to_rows(videos: Iterable[Edited], segments: int = 10, quality: str = "good") -> tuple[list[Row], list[DataError]]:
    """Return a row for every video with one event in whole seconds, and an error for every other.

    Args:
        videos: as :func:`read_edited` returns them.
        segments: T; no event may end after it.
        quality: third field of the rows.
    """
    rows, errors = [], []
    for where, video in videos:
        try:
            rows.append(_row(where, video, segments, quality))
        except DataError as error:
            errors.append(error)
    return rows, errors


def _row(where: str, video: AnnotatedVideo, segments: int, quality: str) -> Row:
    if len(video.events) != 1:
        listed = ", ".join(f"{label} {start:g}-{end:g} s" for label, start, end in video.events)
        raise DataError(f"{where}: {len(video.events)} events ({listed or 'none'}); a row of AVE has exactly one, a "
                        ".json file any number")
    [(label, start, end)] = video.events
    end = segments if 0 < segments - end < REMAINDER else end
    for time in (start, end):
        if abs(time - round(time)) > 0.0005:
            raise DataError(f"{where}: the event {label!r} from {start:g} to {end:g} s must begin and end at whole "
                            "seconds in a row of AVE, but not in a .json file")
    if "&" in video.video_id:
        raise DataError(f"{where}: its id contains '&', which separates the fields of a row; rename it and its clip")
    row = Row(label, video.video_id, quality, round(start), round(end))
    text = str(row)
    same = Row.parse(where, [field.strip() for field in text.split("&")], segments) == row
    if not same or text != printable(text) or len(text.splitlines()) > 1:
        raise DataError(f"{where}: its id or class begins or ends with a blank, a line break or a byte that is no "
                        "UTF-8, which rows cannot have; rename it")
    return row


def _read(path: Path) -> Iterator[Edited]:
    if path.suffix.lower() == ".json":
        yield from read_label_studio(path)
        return
    suffix = next((suffix for suffix in READERS if path.name.lower().endswith(suffix)), None)
    if suffix is None:
        raise DataError(f"{path}: expected a file named {', '.join(f'<id>{suffix}' for suffix in READERS)} or .json")
    yield str(path), AnnotatedVideo(path.name[: -len(suffix)], None, None, tuple(READERS[suffix](path)))


def _labelled(where: str, video: AnnotatedVideo, categories: Sequence[str] | None) -> AnnotatedVideo:
    """Return the checked video, its labels without notes."""
    events = []
    for label, start, end in video.events:
        bare = NOTE.sub("", label) if categories is None else re.sub(r"\s*\[[^\[\]]*\]$", "", label)
        name = label if categories is not None and label in categories else bare
        if categories is not None:
            class_index(name, {name: place for place, name in enumerate(categories)}, where)
        events.append(TimedEvent(name, start, end))
    return check_video(where, video._replace(events=tuple(events)))


def _table(path: Path) -> Iterator[TimedEvent]:
    """Read the events that prediction writes as csv; an apostrophe hides a formula from a spreadsheet."""
    for where, (label, *times) in read_table(path, ("category", "start", "end")):
        try:
            start, end = map(float, times)
        except ValueError:
            raise DataError(f"{where}: start and end must be seconds; got {', '.join(times)}") from None
        yield TimedEvent(re.sub(r"^'(?=[=+@\t\r-])", "", label), start, end)


def _audacity(path: Path) -> Iterator[TimedEvent]:
    """Read labels: start, end and text, separated by tabs; lines of a spectral selection begin with a backslash."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip() or line.startswith("\\"):
            continue
        start, end, label = (*line.split("\t", 2), "", "")[:3]
        times = [time.strip().replace(",", ".") for time in (start, end)]  # some languages write a comma
        if not all(re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,20})?", time) for time in times):
            raise DataError(f"{path}, line {number}: expected start, end and label, tabs between; got {line[:60]!r}")
        yield TimedEvent(label.strip(), *map(float, times))


def _elan(path: Path) -> Iterator[TimedEvent]:
    """Read the annotations of the tiers ``event``, ``event 2``, ..., or of the only tier that has any."""
    document = _parse(path)
    times = {slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in document.iter("TIME_SLOT")}
    tiers = {tier.get("TIER_ID"): tier for tier in document.iter("TIER") if tier.find("ANNOTATION") is not None}
    found = [tier for name, tier in tiers.items() if re.fullmatch(rf"{TIER}( [0-9]+)?", name or "")]
    if not found and any(each.get("TIER_ID") == TIER for each in document.iter("TIER")):
        return
    if not found and len(tiers) != 1:
        raise DataError(f"{path}: expected a tier {TIER!r}, or one tier with annotations; got "
                        f"{', '.join(map(str, tiers)) or 'none'}")
    found = found or [*tiers.values()]
    for annotation in (each for tier in found for each in tier.iter("ALIGNABLE_ANNOTATION")):
        label = (annotation.findtext("ANNOTATION_VALUE") or "").strip()
        try:
            start, end = (int(times[annotation.get(f"TIME_SLOT_REF{number}")]) / 1000 for number in (1, 2))
        except (KeyError, TypeError, ValueError):
            raise DataError(f"{path}: the annotation {label!r} has no time for its start or end") from None
        yield TimedEvent(label, start, end)


def _parse(path: Path) -> ElementTree.Element:
    check_file(path)

    def refuse(*_: object) -> None:
        raise DataError(f"{path}: has a document type (DOCTYPE), which an ELAN file must not have")

    try:
        content = path.read_bytes()
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = refuse
        parser.Parse(content, True)
        document = ElementTree.fromstring(content)
    except (OSError, expat.ExpatError, ElementTree.ParseError, ValueError, LookupError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: not a readable ELAN document ({error})") from None
    if document.tag != "ANNOTATION_DOCUMENT":
        raise DataError(f"{path}: not an ELAN document: expected ANNOTATION_DOCUMENT, got {document.tag!r}")
    return document


#: Ending of a file's name -> reader of its events.
READERS: Final = {".labels.txt": _audacity, ".txt": _audacity, ".eaf": _elan, ".events.csv": _table}
