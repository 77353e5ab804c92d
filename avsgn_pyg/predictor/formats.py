"""The file formats of a prediction: table, JSON, CSV, WebVTT, and EAF 3.0 of ELAN (https://archive.mpi.nl/tla/elan)."""

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

from avsgn_pyg.common.files import write_text
from avsgn_pyg.predictor.inputs import check_formats
from avsgn_pyg.predictor.prediction import DIGITS, Prediction

EAF_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"


class Format(NamedTuple):
    """A format: its suffix, and a function of a prediction and K, the classes per second in a table, to the content."""

    suffix: str
    text: Callable[[Prediction, int], str]


def as_json(prediction: Prediction) -> str:
    """Return everything, one object per second."""
    return json.dumps(prediction.as_dict(), indent=1, ensure_ascii=False) + "\n"


def seconds_csv(prediction: Prediction) -> str:
    """Return one line per second: label, relevance, gates, shares of the file's tracks, every class's probability."""
    names = list(prediction.gates)
    head = ["start", "end", "label", "relevance", *(f"{name}_gate" for name in names), "seen", "heard"]
    rows = [
        [second[key] for key in ("start", "end", "label", "relevance")]
        + [*second["gates"].values(), second["seen"], second["heard"], *second["category"]]
        for second in prediction.as_dict()["seconds"]
    ]
    return _csv([[*head, *(f"p({name})" for name in prediction.categories)], *rows])


def events_csv(prediction: Prediction) -> str:
    """Return one line an event: class, start, end, confidence."""
    rows = [(e.category, e.start, e.end, round(e.confidence, DIGITS)) for e in prediction.events]
    return _csv([("category", "start", "end", "confidence"), *rows])


def webvtt(prediction: Prediction) -> str:
    """Return one cue an event, which a browser shows under the video."""
    cues = (
        f"{number}\n{_clock(event.start)} --> {_clock(event.end)}\n"
        f"{html.escape(event.category, quote=False)} ({event.confidence:.2f})"
        for number, event in enumerate(prediction.events, 1)
    )
    return "\n\n".join(["WEBVTT", *cues]) + "\n"


def eaf(prediction: Prediction) -> str:
    """Return an ELAN document: the tier ``event`` with the classes, the tier ``confidence`` with the same times."""
    document = xml.Element("ANNOTATION_DOCUMENT", {
        "AUTHOR": "avsgn_pyg", "DATE": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "FORMAT": "3.0", "VERSION": "3.0", "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
        "xsi:noNamespaceSchemaLocation": EAF_SCHEMA,
    })
    header = xml.SubElement(document, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    if prediction.path is not None:
        xml.SubElement(header, "MEDIA_DESCRIPTOR", {
            "MEDIA_URL": prediction.path.resolve().as_uri(), "RELATIVE_MEDIA_URL": f"./{prediction.path.name}",
            "MIME_TYPE": mimetypes.guess_type(prediction.path.name)[0] or "video/*",
        })
    order, found = xml.SubElement(document, "TIME_ORDER"), prediction.events
    for slot, time in enumerate((time for event in found for time in (event.start, event.end)), 1):
        xml.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=f"ts{slot}", TIME_VALUE=str(round(1000 * time)))
    _tier(document, "event", [event.category for event in found], first=1)
    _tier(document, "confidence", [f"{event.confidence:.3f}" for event in found], first=len(found) + 1)
    xml.SubElement(document, "LINGUISTIC_TYPE", LINGUISTIC_TYPE_ID="default-lt", TIME_ALIGNABLE="true",
                   GRAPHIC_REFERENCES="false")
    xml.indent(document)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{xml.tostring(document, encoding="unicode")}\n'


#: Name on a command line -> format.
FORMATS: dict[str, Format] = {
    "table": Format(".txt", lambda prediction, top: prediction.table(top) + "\n"),
    "json": Format(".json", lambda prediction, _: as_json(prediction)),
    "csv": Format(".seconds.csv", lambda prediction, _: seconds_csv(prediction)),
    "events": Format(".events.csv", lambda prediction, _: events_csv(prediction)),
    "vtt": Format(".vtt", lambda prediction, _: webvtt(prediction)),
    "eaf": Format(".eaf", lambda prediction, _: eaf(prediction)),
}


def render(prediction: Prediction, formats: Sequence[str], top: int = 1) -> list[str]:
    """Return the text of each of `formats`; ConfigError for an unknown one."""
    check_formats(formats)
    return [FORMATS[name].text(prediction, top) for name in formats]


def output_paths(name: str, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Return ``<folder>/<stem of name><suffix>`` for each of `formats`."""
    return [folder / f"{Path(name).stem}{FORMATS[form].suffix}" for form in formats]


def write(prediction: Prediction, folder: Path, formats: Sequence[str], top: int = 1) -> list[Path]:
    """Write the files of :func:`output_paths`, each atomically; ConfigError for an unknown format, or OSError."""
    texts = render(prediction, formats, top)
    paths = output_paths(prediction.name, folder, formats)
    for path, text in zip(paths, texts, strict=True):
        write_text(path, text)
    return paths


def _tier(document: xml.Element, name: str, values: Sequence[str], first: int) -> None:
    tier = xml.SubElement(document, "TIER", LINGUISTIC_TYPE_REF="default-lt", TIER_ID=name)
    for place, value in enumerate(values):
        begin, end = f"ts{2 * place + 1}", f"ts{2 * place + 2}"
        aligned = xml.SubElement(xml.SubElement(tier, "ANNOTATION"), "ALIGNABLE_ANNOTATION",
                                 ANNOTATION_ID=f"a{first + place}", TIME_SLOT_REF1=begin, TIME_SLOT_REF2=end)
        xml.SubElement(aligned, "ANNOTATION_VALUE").text = value


def _csv(rows: Iterable[Sequence]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _clock(time: float) -> str:
    """Return seconds as WebVTT writes them, ``01:02:03.450``."""
    minutes, milliseconds = divmod(round(1000 * time), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"
