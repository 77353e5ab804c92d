"""The attention graph as one HTML page: no network, no library, every weight shown under pointer and keyboard.

The page is ``page.html`` in this folder with the data filled in: JSON in which an adjacency is three base64 arrays of
little-endian numbers (sources and targets uint16, weights float32), the strongest edge first.

Shapes: T segments, N nodes of a subgraph.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Sequence
from importlib import resources
from typing import Any, Final

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from avsgn_pyg.common.text import printable
from avsgn_pyg.graph.schema import SUBGRAPHS
from avsgn_pyg.visualize import strips
from avsgn_pyg.visualize.edges import strongest
from avsgn_pyg.visualize.events import Span, in_lanes
from avsgn_pyg.visualize.graph import TITLES
from avsgn_pyg.visualize.picture import Picture
from avsgn_pyg.visualize.theme import COLOURS

#: Largest number of edges per subgraph and layer in the page, 8 bytes each.
MOST: Final = 20_000
#: Largest number of pictures in the page, their pixels per side, and columns of the sound's outline.
_FRAMES, _PIXELS, _COLUMNS = 40, 128, 600


def graph_page(picture: Picture) -> str:
    """Return the page as text, to be written as UTF-8, or to be embedded in the ``srcdoc`` of an ``iframe``.

    A page that embeds it moves its cursor by ``frame.contentWindow.postMessage({second: 12.5}, "*")``. Of an adjacency
    the page has at most the :data:`MOST` strongest edges, and says how many there were.

    Raises:
        PictureError: a model without a graph.
        ValueError: negative or infinite weights, or too many nodes.
    """
    layers, counts, frames, waveform = picture.layers, picture.counts, picture.frames, picture.waveform
    data = {
        "title": picture.title,
        "facts": "\n".join((f"predicted class: {picture.category}", *picture.notes)),
        "seconds": picture.seconds,
        "start": picture.start,
        "layers": layers,
        "subgraphs": {
            name: {
                "title": TITLES[name],
                "members": list(SUBGRAPHS[name]),
                "counts": [counts[modality] for modality in SUBGRAPHS[name]],
                "layers": [_packed(weights) for weights in found.values()],
            }
            for name, found in picture.adjacency.items()
        },
        "text": list(picture.text),
        "relevance": picture.relevance.tolist(),
        "gates": {name: gate.tolist() for name, gate in picture.gates.items()},
        "predicted": _events(picture.predicted),
        "truth": None if picture.truth is None else _events(picture.truth),
        "frames": [] if frames is None else _pictures(frames),
        "aspect": 1.0 if frames is None else frames.shape[2] / frames.shape[1],
        "sound": [] if waveform is None else _sound(waveform),
    }
    template = resources.files("avsgn_pyg.visualize").joinpath("page.html").read_text("utf-8")
    # No `<` in the data, so that a class's name cannot close the script or open a comment.
    packed = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    colours = "; ".join(f"--{name}: {COLOURS[name]}" for name in ("audio", "visual", "text", "event"))
    template = template.replace("{{colours}}", colours)
    head, middle, tail = template.replace("{{title}}", "\0").rpartition("{{data}}")
    named = head.replace("\0", printable(html.escape(picture.title)))
    return named + packed.encode(errors="ignore").decode() + tail if middle else named


def _events(spans: Sequence[Span]) -> list[list[Any]]:
    """Return name, start, end, confidence and lane of each event."""
    return [[*span[:3], span.score, number] for number, lane in enumerate(in_lanes(spans)) for span in lane]


def _packed(weights: Float[np.ndarray, "N N"]) -> dict[str, Any]:
    if len(weights) > np.iinfo(np.uint16).max:
        raise ValueError(f"a page numbers its nodes in two bytes, and {len(weights)} are too many for that")
    edges = strongest(weights).first(MOST)
    kinds = {"source": "<u2", "target": "<u2", "weight": "<f4"}
    return {"total": int(np.count_nonzero(weights)),
            **{name: _base64(getattr(edges, name).astype(kind).tobytes()) for name, kind in kinds.items()}}


def _pictures(frames: UInt8[np.ndarray, "T H W 3"]) -> list[list[Any]]:
    """Return second and JPEG address of some pictures."""
    found = []
    for at in range(0, len(frames), -(-len(frames) // _FRAMES)):
        stream = io.BytesIO()
        Image.fromarray(strips.shrunk(frames[at], _PIXELS)).save(stream, "JPEG", quality=80)
        found.append([at, f"data:image/jpeg;base64,{_base64(stream.getvalue())}"])
    return found


def _sound(waveform: Float[np.ndarray, "samples"]) -> list[list[int]]:
    """Return lowest and highest sample of each column, percent of the loudest."""
    pairs = np.stack(strips.outline(waveform, _COLUMNS), axis=1)
    return (100 * pairs / strips.loudest(waveform)).round().astype(int).tolist()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
