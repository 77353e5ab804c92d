"""The file formats of a prediction: table, JSON, CSV, WebVTT, SRT, and files of Audacity, ELAN (EAF 3.0), Label Studio.

In every format an event during which the file lacks picture or sound has a note, such as ``bell [no sound]``.
"""

from __future__ import annotations

import csv
import datetime
import html
import io
import json
import mimetypes
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from xml.etree import ElementTree as xml

from avsgn_pyg.common.text import csv_cell, printable
from avsgn_pyg.data.label_studio import Region, task
from avsgn_pyg.predictor.inputs import check_formats
from avsgn_pyg.predictor.prediction import FoundEvent, Prediction, shares

EVENT_FIELDS = (*FoundEvent._fields, "note")
EAF_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"


class Format(NamedTuple):
    """A format: its suffix, and a function of a prediction and K, the classes per second in a table, to the content."""

    suffix: str
    text: Callable[[Prediction, int], str]


def as_json(prediction: Prediction) -> str:
    """Return everything, one object per second."""
    text = json.dumps(prediction.as_dict(), indent=1, ensure_ascii=False) + "\n"
    return text.encode(errors="backslashreplace").decode()  # JSON's own escape for what is no UTF-8


def seconds_csv(prediction: Prediction) -> str:
    """Return one line per second: label, relevance, gates, shares of the file's tracks, every class's probability."""
    names = list(prediction.gates)
    head = ["start", "end", "label", "relevance", *(f"{name}_gate" for name in names), "seen", "heard", "note"]
    rows = [
        [second[key] for key in ("start", "end", "label", "relevance")]
        + [*second["gates"].values(), second["seen"], second["heard"], second["note"], *second["category"]]
        for second in prediction.as_dict()["seconds"]
    ]
    return _csv([[*head, *(f"p({name})" for name in prediction.categories)], *rows])


def events_csv(prediction: Prediction) -> str:
    """Return one line an event: class, start, end, confidence, seen, heard, note."""
    return _csv([EVENT_FIELDS, *(event.as_dict().values() for event in prediction.events)])


def webvtt(prediction: Prediction) -> str:
    """Return one cue an event, which a browser shows under the video."""
    cues = (
        f"{number}\n{_clock(event.start)} --> {_clock(event.end)}\n{html.escape(_cue(event), quote=False)}"
        for number, event in enumerate(prediction.events, 1)
    )
    return "\n\n".join(["WEBVTT", *cues]) + "\n"


def srt(prediction: Prediction) -> str:
    """Return one SubRip subtitle an event, which most players show."""
    cues = (f"{number}\n{_clock(event.start, ',')} --> {_clock(event.end, ',')}\n{_cue(event)}\n"
            for number, event in enumerate(prediction.events, 1))
    return "\n".join(cues)


def audacity(prediction: Prediction) -> str:
    """Return one line an event, as Audacity imports labels: start, end, class with its note."""
    return "".join(f"{event.start:.6f}\t{event.end:.6f}\t{_line(event.label)}\n" for event in prediction.events)


def eaf(prediction: Prediction) -> str:
    """Return an ELAN document: the tier ``event`` with the classes, and tiers for their other fields, if any.

    Annotations of a tier cannot overlap: overlapping events are in further tiers, ``event 2`` and so on.
    """
    document = xml.Element("ANNOTATION_DOCUMENT", {
        "AUTHOR": "avsgn_pyg", "DATE": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "FORMAT": "3.0", "VERSION": "3.0", "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
        "xsi:noNamespaceSchemaLocation": EAF_SCHEMA,
    })
    header = xml.SubElement(document, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    if prediction.path is not None:
        xml.SubElement(header, "MEDIA_DESCRIPTOR", {
            "MEDIA_URL": prediction.path.resolve().as_uri(),
            "RELATIVE_MEDIA_URL": f"./{printable(prediction.path.name)}",
            "MIME_TYPE": _media_type(prediction.path.name),
        })
    order, found = xml.SubElement(document, "TIME_ORDER"), prediction.events
    times = enumerate((time for event in found for time in (event.start, event.end)), 1)
    for slot, time in sorted(times, key=lambda each: each[1]):
        xml.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=f"ts{slot}", TIME_VALUE=str(round(1000 * time)))
    cells = [(printable(event.category), f"{event.confidence:.3f}", *shares(event), event.note) for event in found]
    lanes = _lanes(found)
    for number, name in enumerate(("event", "confidence", "seen", "heard", "note")):
        for lane in range(max(lanes, default=0) + 1):
            values = [row[number] if at == lane else "" for row, at in zip(cells, lanes, strict=True)]
            _tier(document, f"{name} {lane + 1}" if lane else name, values, first=number * len(found) + 1)
    xml.SubElement(document, "LINGUISTIC_TYPE", LINGUISTIC_TYPE_ID="default-lt", TIME_ALIGNABLE="true",
                   GRAPHIC_REFERENCES="false")
    xml.indent(document)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{xml.tostring(document, encoding="unicode")}\n'


def label_studio(prediction: Prediction) -> str:
    """Return a list of one task of Label Studio, whose document root is the clip's folder, with the events."""
    regions = (Region(event.category, event.start, event.end, event.confidence, event.note)
               for event in prediction.events)
    name = prediction.name if prediction.path is None else prediction.path.name
    return json.dumps([task(name, prediction.duration, regions)], indent=1, ensure_ascii=False) + "\n"


#: Name on a command line -> format.
FORMATS: dict[str, Format] = {
    "table": Format(".txt", lambda prediction, top: printable(prediction.table(top)) + "\n"),
    "json": Format(".json", lambda prediction, _: as_json(prediction)),
    "csv": Format(".seconds.csv", lambda prediction, _: seconds_csv(prediction)),
    "events": Format(".events.csv", lambda prediction, _: events_csv(prediction)),
    "vtt": Format(".vtt", lambda prediction, _: webvtt(prediction)),
    "srt": Format(".srt", lambda prediction, _: srt(prediction)),
    "audacity": Format(".labels.txt", lambda prediction, _: audacity(prediction)),
    "eaf": Format(".eaf", lambda prediction, _: eaf(prediction)),
    "label_studio": Format(".label_studio.json", lambda prediction, _: label_studio(prediction)),
}


def render(prediction: Prediction, formats: Sequence[str], top: int = 1) -> list[str]:
    """Return the text of each of `formats`; ConfigError for an unknown one."""
    check_formats(formats)
    return [FORMATS[name].text(prediction, top) for name in formats]


def _media_type(name: str) -> str:
    """Return the media type of a file by its name; ``video/*`` for .ts and .mts, which stand for other things, too."""
    guess = mimetypes.guess_type(name)[0] or ""
    return guess if guess.startswith(("video/", "audio/", "image/")) else "video/*"


def _lanes(events: Sequence[FoundEvent]) -> list[int]:
    """Return for each event, in time order, the first tier whose last event is over."""
    ends: list[float] = []
    lanes = []
    for event in events:
        lane = next((number for number, end in enumerate(ends) if end <= event.start), len(ends))
        ends[lane : lane + 1] = [event.end]
        lanes.append(lane)
    return lanes


def _tier(document: xml.Element, name: str, values: Sequence[str], first: int) -> None:
    tier = xml.SubElement(document, "TIER", LINGUISTIC_TYPE_REF="default-lt", TIER_ID=name)
    for place, value in enumerate(values):
        if not value:
            continue
        begin, end = f"ts{2 * place + 1}", f"ts{2 * place + 2}"
        aligned = xml.SubElement(xml.SubElement(tier, "ANNOTATION"), "ALIGNABLE_ANNOTATION",
                                 ANNOTATION_ID=f"a{first + place}", TIME_SLOT_REF1=begin, TIME_SLOT_REF2=end)
        xml.SubElement(aligned, "ANNOTATION_VALUE").text = value


def _csv(rows: Iterable[Iterable]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(map(csv_cell, row) for row in rows)
    return text.getvalue()


def _line(text: str) -> str:
    """Return a text on one line without ``-->``, which would end a cue's times."""
    return " ".join(printable(text).split()).replace("-->", "->")


def _cue(event: FoundEvent) -> str:
    note = f" [{event.note}]" if event.note else ""
    return f"{_line(event.category)} ({event.confidence:.2f}){note}"


def _clock(time: float, point: str = ".") -> str:
    """Return seconds as WebVTT writes them, ``01:02:03.450``, or SRT with a comma."""
    minutes, milliseconds = divmod(round(1000 * time), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"
