"""The look that all figures share: fonts, colours, widths, the header, and how a figure is saved.

Figures are created as :class:`matplotlib.figure.Figure` and never through ``pyplot``, so drawing one neither opens a
window nor changes global state. All lengths are inches, known before anything is drawn, so that texts of any length
fit and never overlap; fonts are in points.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from contextlib import ContextDecorator
from pathlib import Path
from typing import Final

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.textpath import TextPath

from avsgn_pyg.common.files import atomic
from avsgn_pyg.common.text import printable

#: The full text block of a two-column paper.
TEXT_WIDTH: Final = 6.875
#: Margin around every figure, and heights of a line of the title and of a note.
EDGE, TITLE_LINE, NOTE_LINE = 0.08, 0.16, 0.13
TITLE_FONT, NOTE_FONT = 9.0, 7.0
_BAR_HEIGHT: Final = 0.09

#: Distinct for colour-blind readers and, by their lightness, in greyscale.
COLOURS: Final = {
    "audio": "#332288",
    "visual": "#44AA99",
    "text": "#D4B73E",
    "event": "#994F00",
    "background": "#BBBBBB",
    "ink": "#222222",
    "muted": "#767676",
}

#: One hue that only darkens: reads the same printed grey.
SEQUENTIAL: Final = "Blues"

#: The sans that matplotlib ships, so that a figure looks the same on every machine.
_FONT: Final = "DejaVu Sans"
_STYLE: Final = {
    "font.family": _FONT,
    "font.size": 8.0,
    "axes.linewidth": 0.6,
    **dict.fromkeys(("axes.edgecolor", "text.color", "axes.labelcolor", "xtick.color", "ytick.color"), COLOURS["ink"]),
    "hatch.linewidth": 0.4,
    # A class name is text, even with a dollar sign in it.
    "text.parse_math": False,
    # Publishers reject Type 3 fonts; a fixed salt and no date give the same file every time.
    "pdf.fonttype": 42,
    "svg.hashsalt": "avsgn_pyg",
}

#: Letters fitted to the pixels of a coarse PNG run wider than their outlines, by less than this.
_HINTED: Final = 1.05

#: Width of the narrowest letter, as a part of its size.
_NARROWEST: Final = 0.25

#: Suffix -> what must be left out of the file for it to be the same twice.
_METADATA: Final = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def styled() -> ContextDecorator:
    """Return a context, or a decorator, with the settings of figures; matplotlib's own are restored afterwards."""
    return matplotlib.rc_context(_STYLE)


def text_width(text: str, size: float) -> float:
    """Return the inches that `text` takes at most on one line at `size` points; 0 for a blank one."""
    text = printable(text)
    if not text.strip():
        return 0.0
    return _HINTED * TextPath((0, 0), text, size=size, prop={"family": _FONT}).get_extents().width / 72.0


def wrapped(text: str, room: float, size: float) -> list[str]:
    """Wrap `text` at `size` points into as few lines as fit `room` inches; none for a blank one."""
    letters = min(len(text), int(72 * room / (_NARROWEST * size)) + 1)
    while letters > 1 and any(text_width(line, size) > room for line in textwrap.wrap(text, letters)):
        letters -= 1
    return textwrap.wrap(text, max(letters, 1))


def clipped(text: str, room: float, size: float) -> str:
    """Return `text` if it fits `room` inches at `size` points, else as much of it as does, with three dots."""
    if (wide := text_width(text, size)) <= room:
        return text
    longest = min(len(text) - 1, int(1.2 * len(text) * room / wide) + 2)
    return next((f"{text[:end].rstrip()}…" for end in range(longest, 1, -1)
                 if text_width(f"{text[:end].rstrip()}…", size) <= room), text[:1])


def short_names(names: Sequence[str]) -> list[str]:
    """Return the names without what follows a comma or a bracket, where they still differ: *Male speech*."""
    short = [re.split(r"[,(\[]", name)[0].strip() or name for name in names]
    return [one if short.count(one) == 1 else name for one, name in zip(short, names, strict=True)]


def spread(places: Float[np.ndarray, "N"], gap: float, low: float, high: float) -> Float[np.ndarray, "N"]:
    """Return places from `low` to `high`, `gap` apart and in the same order, as near as possible to the given ones."""
    order = np.argsort(places, kind="stable")
    groups: list[list[float]] = []  # sums and numbers of what has met
    for place in np.asarray(places, np.float64)[order] - gap * np.arange(len(places)):
        groups.append([place, 1])
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] > groups[-1][0] / groups[-1][1]:
            total, count = groups.pop()
            groups[-1] = [groups[-1][0] + total, groups[-1][1] + count]
    level = np.concatenate([np.full(int(count), total / count) for total, count in groups])
    found = np.empty(len(places))
    found[order] = np.clip(level, low, max(low, high - gap * (len(places) - 1))) + gap * np.arange(len(places))
    return found


def start_figure(
    title: str, width: float, body: float, *, notes: Sequence[str] = (), key: str = "", room: float | None = None,
    header: float = 0.0,
) -> tuple[Figure, float]:
    """Return a figure with a title, muted notes below it, `body` inches for the content, and a key at its foot.

    Args:
        room: width of the title; ``None`` takes all.
        header: least height of title and notes.

    Returns:
        The figure, and the height at which the content begins.
    """
    room = width - 2 * EDGE if room is None else room
    titles, keys = wrapped(title, room, TITLE_FONT), wrapped(key, room, NOTE_FONT)
    lines = [line for note in notes for line in wrapped(note, room, NOTE_FONT)]
    below = EDGE + TITLE_LINE * len(titles)
    header = max(header, below + NOTE_LINE * len(lines))
    height = header + body + NOTE_LINE * len(keys)
    figure = Figure(figsize=(width, height))
    left, foot = EDGE / width, EDGE / 2 / height
    figure.text(left, 1 - EDGE / height, "\n".join(titles), va="top", size=TITLE_FONT)
    figure.text(left, 1 - below / height, "\n".join(lines), va="top", size=NOTE_FONT, color=COLOURS["muted"])
    figure.text(left, foot, "\n".join(keys), va="bottom", size=NOTE_FONT)
    return figure, height - header


def add_axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Add axes at this place."""
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def add_colour_bar(figure: Figure, left: float, bottom: float, width: float, highest: float, steps: int, title: str,
                   colours: str = SEQUENTIAL) -> None:
    """Draw a horizontal scale of colours from 0 to `highest`, with a title above."""
    axes = add_axes(figure, left, bottom, width, _BAR_HEIGHT)
    bar = figure.colorbar(ScalarMappable(Normalize(0, highest), colours), cax=axes, orientation="horizontal")
    ticks = [highest * step / steps for step in range(steps + 1)]
    bar.set_ticks(ticks, labels=[f"{tick:.3g}" if tick >= 10 else f"{tick:.2g}" for tick in ticks])
    axes.tick_params(length=2, pad=1, labelsize=6.0)
    axes.set_title(title, size=6.5, pad=2)
    axes.spines[:].set_linewidth(0.4)


def save_figure(figure: Figure, path: str | Path, dpi: int = 300) -> Path:
    """Write a figure as PNG, SVG or PDF, by the path's suffix; folders are created as needed.

    Args:
        figure: what a function of this package returned.
        path: an existing file is replaced.
        dpi: dots an inch of a PNG; the vector formats ignore it.

    Raises:
        ValueError: another suffix.
    """
    path = Path(path)
    metadata = _METADATA.get(path.suffix.lower())
    if metadata is None:
        raise ValueError(f"{path}: a figure is saved as one of {', '.join(_METADATA)}, not {path.suffix!r}")
    for text in figure.findobj(Text):
        if (clean := printable(text.get_text())) != text.get_text():  # an SVG with the other characters is not XML
            text.set_text(clean)
    with styled(), atomic(path) as partial:
        figure.savefig(partial, format=path.suffix[1:].lower(), dpi=dpi, metadata=metadata)
    return path
