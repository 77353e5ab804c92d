"""Convert edited ELAN and Audacity files, each with one event in whole seconds, to rows of an AVE annotation file.

Needs neither torch nor PyG. XML is read by the standard library; a document type is refused, because its entities could
expand to gigabytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree
from xml.parsers import expat

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.text import printable
from avsgn_pyg.data.files import check_file, read_text
from avsgn_pyg.data.rows import Row, class_index

#: Suffixes after the id in a file's name.
SUFFIXES: Final = (".labels.txt", ".txt", ".eaf")
#: The tier in which prediction writes the events.
TIER: Final = "event"

#: A clip that is shorter than T by less than this (s), as codecs leave it, ends at T.
REMAINDER: Final = 0.1

#: Start and end in seconds, and label.
Event = tuple[float, float, str]


def read_edited(
    paths: Iterable[Path], categories: Sequence[str], *, segments: int = 10, quality: str = "good"
) -> tuple[list[Row], list[DataError]]:
    """Return a row for every file that has one event, and an error for every other file; ids are file names.

    Args:
        paths: ``<id>.eaf`` of ELAN, or ``<id>.labels.txt`` or ``<id>.txt`` of Audacity's labels.
        categories: the classes that a row may have; a note in brackets after a label is not part of it.
        segments: T; no event may end after it.
        quality: third field of the rows.
    """
    rows, errors = {}, []
    for path in paths:
        try:
            row = _row(path, categories, segments, quality)
            if row.video_id in rows:
                raise DataError(f"{path}: a second file with the id {row.video_id!r}; give only one")
            rows[row.video_id] = row
        except DataError as error:
            errors.append(error)
    return list(rows.values()), errors


def _row(path: Path, categories: Sequence[str], segments: int, quality: str) -> Row:
    suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)
    if suffix is None:
        raise DataError(f"{path}: expected a file named {' or '.join(f'<id>{suffix}' for suffix in SUFFIXES)}")
    events = _elan(path) if suffix == ".eaf" else _audacity(path)
    if len(events) != 1:
        listed = ", ".join(f"{label} {start:g}-{end:g} s" for start, end, label in events)
        raise DataError(f"{path}: {len(events)} events ({listed or 'none'}); expected exactly one")
    [(start, end, label)] = events
    end = segments if 0 < segments - end < REMAINDER else end
    for time in (start, end):
        if abs(time - round(time)) > 0.0005:
            raise DataError(f"{path}: the event {label!r} from {start:g} to {end:g} s must begin and end at whole "
                            "seconds")
    bare = re.sub(r"\s*\[[^\[\]]*\]$", "", label)
    category = label if label in categories else bare
    class_index(category, {name: place for place, name in enumerate(categories)}, str(path))
    if "&" in path.name:
        raise DataError(f"{path}: its id contains '&', which separates the fields of a row; rename it and its clip")
    row = Row(category, path.name[: -len(suffix)], quality, round(start), round(end))
    if row.start == row.end:
        raise DataError(f"{path}: the event {label!r} at {start:g} s is empty")
    text = str(row)
    same = Row.parse(str(path), [field.strip() for field in text.split("&")], segments) == row
    if not same or text != printable(text) or len(text.splitlines()) > 1:
        raise DataError(f"{path}: its id or class begins or ends with a blank, a line break or a byte that is no "
                        "UTF-8, which rows cannot have; rename it")
    return row


def _audacity(path: Path) -> list[Event]:
    """Read labels: start, end and text, separated by tabs; lines of a spectral selection begin with a backslash."""
    events = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip() or line.startswith("\\"):
            continue
        start, end, label = (*line.split("\t", 2), "", "")[:3]
        times = [time.strip().replace(",", ".") for time in (start, end)]  # some languages write a comma
        if not all(re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,20})?", time) for time in times):
            raise DataError(f"{path}, line {number}: expected start, end and label, tabs between; got {line[:60]!r}")
        events.append((*map(float, times), label.strip()))
    return events


def _elan(path: Path) -> list[Event]:
    """Read the annotations of the tier ``event``, or of the only tier that has any."""
    document = _parse(path)
    times = {slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in document.iter("TIME_SLOT")}
    tiers = {tier.get("TIER_ID"): tier for tier in document.iter("TIER") if tier.find("ANNOTATION") is not None}
    tier = tiers.get(TIER)
    if tier is None and any(each.get("TIER_ID") == TIER for each in document.iter("TIER")):
        return []
    if tier is None and len(tiers) != 1:
        raise DataError(f"{path}: expected a tier {TIER!r}, or one tier with annotations; got "
                        f"{', '.join(map(str, tiers)) or 'none'}")
    events = []
    for annotation in (tier if tier is not None else next(iter(tiers.values()))).iter("ALIGNABLE_ANNOTATION"):
        label = (annotation.findtext("ANNOTATION_VALUE") or "").strip()
        try:
            start, end = (int(times[annotation.get(f"TIME_SLOT_REF{number}")]) / 1000 for number in (1, 2))
        except (KeyError, TypeError, ValueError):
            raise DataError(f"{path}: the annotation {label!r} has no time for its start or end") from None
        events.append((start, end, label))
    return events


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
