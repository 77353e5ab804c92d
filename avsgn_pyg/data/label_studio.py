"""Tasks of Label Studio: events as pre-annotations on the timeline of a video, and annotations read from its export.

Needs neither torch nor PyG. Label Studio counts frames from 1, and a range includes its last frame: at 25 frames per
second 1.0 to 3.0 s are the frames 26 to 75. The format is documented at https://labelstud.io/tags/timelinelabels.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote
from xml.sax.saxutils import quoteattr

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.text import printable
from avsgn_pyg.data.annotations import AnnotatedVideo, TimedEvent
from avsgn_pyg.data.files import read_json

#: Frames per second of the timeline in tasks that this file writes; the video may have another rate.
RATE: Final = 25
#: Label Studio's own default of ``frameRate``, for tasks without ``fps``.
DEFAULT_RATE: Final = 24
#: Folder of Label Studio's local files, below its document root.
LOCAL: Final = "/data/local-files/?d="


class Region(NamedTuple):
    """One pre-annotated event; `note` is shown with it."""

    label: str
    start: float
    end: float
    score: float
    note: str = ""


def labeling_config(labels: Iterable[str]) -> str:
    """Return the labeling interface of a project for :func:`task`, to be pasted into its settings."""
    lines = (f"    <Label value={quoteattr(printable(label))}/>\n" for label in labels)
    return ('<View>\n  <Video name="video" value="$video" frameRate="$fps"/>\n'
            f'  <TimelineLabels name="events" toName="video">\n{"".join(lines)}  </TimelineLabels>\n</View>\n')


def task(name: str, duration: float, regions: Iterable[Region]) -> dict[str, Any]:
    """Return a task with a prediction, as JSON-ready values; a file for import is a list of tasks.

    Args:
        name: of the media file, relative to the document root of Label Studio's local files.
        duration: in seconds.
    """
    results = [
        {
            "id": f"event-{number}", "type": "timelinelabels", "from_name": "events", "to_name": "video",
            "score": region.score,
            "value": {"ranges": [_frames(region.start, region.end)], "timelinelabels": [printable(region.label)]},
        } | ({"meta": {"text": [region.note]}} if region.note else {})
        for number, region in enumerate(regions, 1)
    ]
    data = {"video": LOCAL + quote(name, errors="surrogateescape"), "video_id": printable(PurePosixPath(name).stem),
            "fps": RATE, "duration": duration}
    return {"data": data, "predictions": [{"model_version": "avsgn_pyg", "result": results}]}


def read_label_studio(path: Path) -> Iterator[tuple[str, AnnotatedVideo]]:
    """Yield place and video of every annotated task of a JSON export; tasks that were not annotated are left out.

    The id is the task's ``video_id`` or the name of its video, without its suffix and the prefix of an upload.

    Raises:
        DataError: the file is no such export, or nothing in it is annotated; or file and task of several annotations,
            or of a range without a label or frames.
    """
    tasks = read_json(path)
    if not isinstance(tasks, list) or not all(isinstance(each, dict) and isinstance(each.get("data"), dict)
                                              and isinstance(each.get("annotations"), list) for each in tasks):
        raise DataError(f"{path}: expected an export of Label Studio in the format JSON (not JSON-MIN), a list of "
                        "tasks with data and annotations")
    annotated = [(f"{path}, task {each.get('id', number)}", each) for number, each in enumerate(tasks, 1)
                 if any(not found.get("was_cancelled") for found in each["annotations"])]
    if not annotated:
        raise DataError(f"{path}: none of {len(tasks)} tasks is annotated; submit the tasks in Label Studio and export "
                        "them again")
    for where, each in annotated:
        yield where, _video(where, each)


def _video(where: str, each: dict[str, Any]) -> AnnotatedVideo:
    data = each["data"]
    found = [annotation for annotation in each["annotations"] if not annotation.get("was_cancelled")]
    if len(found) > 1:
        raise DataError(f"{where}: {len(found)} annotations; delete all but one in Label Studio and export again")
    rate = data.get("fps", DEFAULT_RATE)
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not rate > 0:
        raise DataError(f"{where}: fps of {rate!r}; expected frames per second, above 0")
    file = unquote(str(data.get("video", ""))).rpartition("?d=")[2]
    name = re.sub(r"^[0-9a-f]{8}-", "", PurePosixPath(file).stem) if "/upload/" in file else PurePosixPath(file).stem
    video_id = str(data.get("video_id") or name)
    if not video_id:
        raise DataError(f"{where}: its data have neither video_id nor video, but {', '.join(data) or 'nothing'}")
    events = [event for result in found[0].get("result", []) if "ranges" in (value := result.get("value") or {})
              for event in _events(where, value, float(rate))]
    return AnnotatedVideo(video_id, data.get("duration"), None, tuple(events))


def _events(where: str, value: dict[str, Any], rate: float) -> Iterator[TimedEvent]:
    labels = value.get("timelinelabels")
    if not labels:
        raise DataError(f"{where}: a range without a label: {str(value['ranges'])[:80]}")
    for frames in value["ranges"]:
        first, last = (frames.get(end) if isinstance(frames, dict) else None for end in ("start", "end"))
        if not all(isinstance(frame, (int, float)) and frame >= 1 for frame in (first, last)):
            raise DataError(f"{where}: a range of frames of {frames!r}; expected start and end, from 1 on")
        yield from (TimedEvent(str(label), (first - 1) / rate, last / rate) for label in labels)


def _frames(start: float, end: float) -> dict[str, int]:
    first = round(start * RATE) + 1
    return {"start": first, "end": max(first, round(end * RATE))}
