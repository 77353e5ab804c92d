"""Annotations of videos with any number of timed events, as one JSON file in the form of ActivityNet and UnAV-100.

Needs neither torch nor PyG. ``database`` maps an id to ``subset``, ``duration`` in seconds and ``annotations``, each
with a ``segment`` of start and end in seconds and a ``label``; other fields are ignored.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.files import write_json
from avsgn_pyg.data.files import read_json

#: Name of a split in a file -> name in this package.
SPLIT_NAMES: Final = {"train": "train", "training": "train", "val": "val", "validation": "val", "test": "test",
                      "testing": "test"}
#: Seconds by which an event may end after its video; durations are measured with less care than events.
OVERHANG: Final = 1.0


class TimedEvent(NamedTuple):
    """One event: its label, start and end in seconds from the start of the video."""

    label: str
    start: float
    end: float


class AnnotatedVideo(NamedTuple):
    """One video: its id, duration in seconds, split (train, val or test) and events, which may overlap.

    `duration` and `split` are ``None`` where the file does not tell them.
    """

    video_id: str
    duration: float | None
    split: str | None
    events: tuple[TimedEvent, ...]


def read_annotations(path: str | Path) -> list[AnnotatedVideo]:
    """Read a JSON file in ActivityNet's form; events are in order of their start.

    Raises:
        DataError: the file cannot be read, has another form or repeats an id; or file, video and number of an
            annotation without a label or with an impossible segment, or of a video with an impossible duration or
            subset.
    """
    path = Path(path)
    content = read_json(path, object_pairs_hook=_unique)
    database = content.get("database") if isinstance(content, dict) else None
    if not isinstance(database, dict) or not database:
        raise DataError(f'{path}: no videos; expected {{"database": {{id: {{"subset", "duration", "annotations"}}}}}}, '
                        "as in ActivityNet and UnAV-100")
    return [_video(f"{path}, video {video_id!r}", video_id, entry) for video_id, entry in database.items()]


def write_annotations(path: str | Path, videos: Iterable[AnnotatedVideo]) -> None:
    """Write the file that :func:`read_annotations` reads, completely or not at all.

    Raises:
        DataError: two videos have one id, or an event cannot be read back; the file is left as it was.
    """
    database: dict[str, Any] = {}
    for video in videos:
        where = f"{path}, video {video.video_id!r}"
        if video.video_id in database:
            raise DataError(f"{where}: given twice; merge its events")
        checked = check_video(where, video)
        known = {"subset": checked.split, "duration": checked.duration}
        database[video.video_id] = {name: value for name, value in known.items() if value is not None} | {
            "annotations": [{"segment": [event.start, event.end], "label": event.label} for event in checked.events]}
    write_json(Path(path), {"version": "avsgn_pyg", "database": database})


def replaced(videos: Iterable[AnnotatedVideo], edited: Iterable[AnnotatedVideo]) -> list[AnnotatedVideo]:
    """Return `videos` with the events of the edited ones of the same id; edited videos with new ids follow.

    Where the edited video has no duration or split, the one of its id is kept.
    """
    found = {video.video_id: video for video in videos}
    for video in edited:
        old = found.get(video.video_id, video)
        found[video.video_id] = check_video(video.video_id, video._replace(
            duration=old.duration if video.duration is None else video.duration, split=video.split or old.split))
    return list(found.values())


def labels_of(videos: Iterable[AnnotatedVideo]) -> tuple[str, ...]:
    """Return the different labels of all events, sorted: the classes in index order."""
    return tuple(sorted({event.label for video in videos for event in video.events}))


def check_video(where: str, video: AnnotatedVideo) -> AnnotatedVideo:
    """Return `video` with sorted events that end with it; DataError with `where` for an impossible value.

    An end up to ``OVERHANG`` seconds after the video's becomes the video's.
    """
    duration = video.duration
    if duration is not None and not (_is_number(duration) and 0 < duration < math.inf):
        raise DataError(f"{where}: a duration of {duration!r}; expected seconds, above 0")
    if video.split is not None and video.split not in SPLIT_NAMES.values():
        raise DataError(f"{where}: unknown split {video.split!r}; expected train, val or test")
    events = (_event(f"{where}, annotation {number}", event, duration) for number, event in enumerate(video.events, 1))
    return video._replace(duration=None if duration is None else float(duration),
                          events=tuple(sorted(events, key=lambda event: (event.start, event.end, event.label))))


def _event(where: str, event: TimedEvent, duration: float | None) -> TimedEvent:
    label, start, end = event
    if not isinstance(label, str) or not label.strip():
        raise DataError(f"{where}: a label of {label!r}; expected a name")
    limit = math.inf if duration is None else duration
    if not (_is_number(start) and _is_number(end) and 0 <= start < end < math.inf and start < limit
            and end <= limit + OVERHANG):
        within = "" if duration is None else f" <= {duration:g}, the duration"
        raise DataError(f"{where}: {label!r} from {start!r} to {end!r} s; expected 0 <= start < end{within}")
    return TimedEvent(label.strip(), float(start), float(min(end, limit)))


def _video(where: str, video_id: str, entry: Any) -> AnnotatedVideo:
    found = entry.get("annotations", []) if isinstance(entry, dict) else None
    if not isinstance(found, list):
        raise DataError(f"{where}: expected an object with a list of annotations; got {str(entry)[:80]}")
    split = entry.get("subset")
    if split is not None and str(split).lower() not in SPLIT_NAMES:
        raise DataError(f"{where}: unknown subset {split!r}; expected one of {', '.join(SPLIT_NAMES)}")
    events = []
    for number, item in enumerate(found, 1):
        segment = item.get("segment") if isinstance(item, Mapping) else None
        if not isinstance(segment, list) or len(segment) != 2:
            raise DataError(f"{where}, annotation {number}: expected a label and a segment of start and end; got "
                            f"{str(item)[:80]}")
        events.append(TimedEvent(item.get("label"), *segment))
    name = None if split is None else SPLIT_NAMES[str(split).lower()]
    return check_video(where, AnnotatedVideo(video_id, entry.get("duration"), name, tuple(events)))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} occurs twice in one object")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
