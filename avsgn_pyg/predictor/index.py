"""A page about the clips of an output folder: player, events with pictures, notes and links; opened from the disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from avsgn_pyg.common.text import printable
from avsgn_pyg.features.files import SOUNDS


def index_page(folder: Path, clips: Mapping[str, Mapping[str, Any]], failures: Mapping[str, str]) -> str:
    """Return the page of a folder as HTML, to be written as UTF-8 into the folder; all names are escaped.

    Args:
        clips: absolute path of a clip -> its entry of the record (:mod:`avsgn_pyg.predictor.record`).
        failures: absolute path of a clip -> why it could not be predicted.
    """
    from jinja2 import Environment  # late: the record is read before anything slow is loaded

    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        resources.files("avsgn_pyg.predictor").joinpath("index.html").read_text(encoding="utf-8"))
    shown = [_clip(folder, Path(clip), clips.get(clip, {}), failures.get(clip)) for clip in sorted({*clips, *failures})]
    return template.render(title=f"Events of {len(shown)} clip{'s' * (len(shown) != 1)}", clips=shown)


def _clip(folder: Path, clip: Path, entry: Mapping[str, Any], failure: str | None) -> dict[str, Any]:
    duration, files = float(entry.get("duration") or 0), entry.get("files", ())
    events = []
    for number, (label, start, end, confidence) in enumerate(entry.get("found", ()), 1):
        picture = f"{entry['stem']}.event-{number}.jpg"
        events.append({
            "label": printable(label), "start": f"{start:.2f}", "end": f"{end:.2f}", "confidence": f"{confidence:.2f}",
            "picture": _link(picture) if picture in files else None,
            "left": f"{100 * start / duration:.2f}", "width": f"{100 * (end - start) / duration:.2f}",
        })
    kind = "audio" if clip.suffix.lower() in SOUNDS else "video"
    return {
        "name": printable(clip.name), "source": _link(os.path.relpath(clip, folder)), "tag": kind if entry else None,
        "duration": entry.get("duration"), "events": events, "notes": [*map(printable, entry.get("notes", ()))],
        "failure": None if failure is None else printable(failure.replace(str(clip), clip.name)),
        "texts": [*map(printable, () if "found" in entry else entry.get("events", ()))],  # of earlier versions
        "files": [{"name": printable(name), "link": _link(name)} for name in files],
    }


def _link(path: str) -> str:
    """Return a relative link; ``./`` keeps a name with a colon from being read as a scheme."""
    return "./" + quote(os.fsencode(path).replace(os.sep.encode(), b"/"))
