"""The one table of forms that a prediction is written in: for people, programs, players and annotators.

``eaf`` is ELAN's own annotation format (EAF 3.0, https://archive.mpi.nl/tla/elan), which ELAN opens directly.
"""

from __future__ import annotations

import csv
import datetime
import html
import io
import json
import mimetypes
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as xml

from avsgn_pyg.engine.files import replace_text
from avsgn_pyg.predictor.inputs import FORMS, check_forms
from avsgn_pyg.predictor.prediction import DIGITS, Prediction

SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"


class Format(NamedTuple):
    """One form.

    Attributes:
        suffix: takes the place of the clip's own.
        text: the whole file's text, of a prediction and the number of classes a second that a table shows.
        what: for a tool's help.
    """

    suffix: str
    text: Callable[[Prediction, int], str]
    what: str


def as_json(prediction: Prediction) -> str:
    """Everything, one second an object."""
    return json.dumps(prediction.as_dict(), indent=1, ensure_ascii=False) + "\n"


def seconds_csv(prediction: Prediction) -> str:
    """One line a second: label, relevance, gates, what was seen and heard, and every class's probability."""
    seconds = prediction.as_dict()["seconds"]
    names = list(prediction.gates)
    head = ("start", "end", "label", "relevance", *(f"{name}_gate" for name in names), "seen", "heard")
    classes = tuple(f"p({name})" for name in prediction.categories)
    rows = [
        (*(row[key] for key in head[:4]), *(row["gates"][name] for name in names), *_shares(row), *row["category"])
        for row in seconds
    ]
    return _csv([(*head, *classes), *rows])


def events_csv(prediction: Prediction) -> str:
    """One line an event: class, start, end, confidence."""
    rows = [(e.category, e.start, e.end, round(e.confidence, DIGITS)) for e in prediction.events]
    return _csv([("category", "start", "end", "confidence"), *rows])


def webvtt(prediction: Prediction) -> str:
    """One cue an event, as a browser shows them under the video."""
    parts = ["WEBVTT"]
    for number, event in enumerate(prediction.events, 1):
        times = f"{_clock(event.start)} --> {_clock(event.end)}"
        parts.append(f"{number}\n{times}\n{html.escape(event.category, quote=False)} ({event.confidence:.2f})")
    return "\n\n".join(parts) + "\n"


def eaf(prediction: Prediction) -> str:
    """An ELAN document: the tier ``event`` with the classes, the tier ``confidence`` with the same times."""
    document = xml.Element("ANNOTATION_DOCUMENT", {
        "AUTHOR": "avsgn_pyg", "DATE": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "FORMAT": "3.0", "VERSION": "3.0", "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
        "xsi:noNamespaceSchemaLocation": SCHEMA,
    })
    header = xml.SubElement(document, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    if prediction.path is not None:
        xml.SubElement(header, "MEDIA_DESCRIPTOR", {
            "MEDIA_URL": prediction.path.resolve().as_uri(), "RELATIVE_MEDIA_URL": f"./{prediction.path.name}",
            "MIME_TYPE": mimetypes.guess_type(prediction.path.name)[0] or "video/*",
        })
    order = xml.SubElement(document, "TIME_ORDER")
    found = prediction.events
    for slot, time in enumerate((time for event in found for time in (event.start, event.end)), 1):
        xml.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=f"ts{slot}", TIME_VALUE=str(round(1000 * time)))
    _tier(document, "event", [event.category for event in found], first=1)
    _tier(document, "confidence", [f"{event.confidence:.3f}" for event in found], first=len(found) + 1)
    xml.SubElement(document, "LINGUISTIC_TYPE", LINGUISTIC_TYPE_ID="default-lt", TIME_ALIGNABLE="true",
                   GRAPHIC_REFERENCES="false")
    xml.indent(document)
    return xml.tostring(document, encoding="unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="UTF-8"?>\n', "\n")
    )


#: Name on a command line -> form.
FORMATS: dict[str, Format] = {
    "table": Format(".txt", lambda prediction, top: prediction.table(top) + "\n", FORMS["table"]),
    "json": Format(".json", lambda prediction, _: as_json(prediction), FORMS["json"]),
    "csv": Format(".seconds.csv", lambda prediction, _: seconds_csv(prediction), FORMS["csv"]),
    "events": Format(".events.csv", lambda prediction, _: events_csv(prediction), FORMS["events"]),
    "vtt": Format(".vtt", lambda prediction, _: webvtt(prediction), FORMS["vtt"]),
    "eaf": Format(".eaf", lambda prediction, _: eaf(prediction), FORMS["eaf"]),
}


def render(prediction: Prediction, formats: Sequence[str], top: int = 1) -> list[str]:
    """The text of each of `formats`; ConfigError for an unknown one."""
    check_forms(formats)
    return [FORMATS[name].text(prediction, top) for name in formats]


def write(prediction: Prediction, folder: Path, formats: Sequence[str], top: int = 1) -> list[Path]:
    """Write ``<folder>/<clip's stem><suffix>`` for each of `formats`; each file is whole or what it was before.

    Raises:
        ConfigError: an unknown format.
        OSError: a file cannot be written. What was begun of it is removed, also on Ctrl-C.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in zip(formats, render(prediction, formats, top), strict=True):
        target = folder / f"{Path(prediction.name).stem}{FORMATS[name].suffix}"
        try:
            replace_text(target, text)
        except BaseException:
            target.with_name(f".{target.name}.partial").unlink(missing_ok=True)
            raise
        written.append(target)
    return written


def _tier(document: xml.Element, name: str, values: Sequence[str], first: int) -> None:
    tier = xml.SubElement(document, "TIER", LINGUISTIC_TYPE_REF="default-lt", TIER_ID=name)
    for place, value in enumerate(values):
        begin, end = f"ts{2 * place + 1}", f"ts{2 * place + 2}"
        aligned = xml.SubElement(xml.SubElement(tier, "ANNOTATION"), "ALIGNABLE_ANNOTATION",
                                 ANNOTATION_ID=f"a{first + place}", TIME_SLOT_REF1=begin, TIME_SLOT_REF2=end)
        xml.SubElement(aligned, "ANNOTATION_VALUE").text = value


def _shares(row: dict) -> list:
    return ["" if row[name] is None else row[name] for name in ("seen", "heard")]


def _csv(rows: Iterable[Sequence]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _clock(time: float) -> str:
    """Seconds as WebVTT writes them, ``01:02:03.450``."""
    minutes, milliseconds = divmod(round(1000 * time), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"
