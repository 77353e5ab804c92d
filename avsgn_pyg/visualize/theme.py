"""One look for every figure: fonts, colours, widths, and how a figure reaches a file.

Figures are made as :class:`matplotlib.figure.Figure` and never through ``pyplot``, so drawing one neither
opens a window nor touches global state.
"""

from __future__ import annotations

import textwrap
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import matplotlib
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

#: Inches: one column and the full text block of a two-column paper.
COLUMN_WIDTH: Final = 3.25
TEXT_WIDTH: Final = 6.875

#: Chosen to stay apart for colour-blind eyes and, by their lightness, in greyscale.
COLOURS: Final = {
    "audio": "#332288",
    "visual": "#44AA99",
    "text": "#D4B73E",
    "event": "#994F00",
    "background": "#BBBBBB",
    "ink": "#222222",
    "muted": "#767676",
}

#: One hue, ever darker: reads the same printed grey.
SEQUENTIAL: Final = "Blues"

#: Points. The sans that matplotlib ships, so that a figure looks the same on every machine.
FONT_SIZE: Final = 8.0
_STYLE: Final = {
    "font.family": "DejaVu Sans",
    "font.size": FONT_SIZE,
    "axes.titlesize": 9.0,
    "axes.labelsize": FONT_SIZE,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "legend.fontsize": 7.0,
    "axes.linewidth": 0.6,
    "axes.edgecolor": COLOURS["ink"],
    "text.color": COLOURS["ink"],
    "axes.labelcolor": COLOURS["ink"],
    "xtick.color": COLOURS["ink"],
    "ytick.color": COLOURS["ink"],
    "hatch.linewidth": 0.4,
    # A class name is text, even with a dollar sign in it.
    "text.parse_math": False,
    # Publishers refuse Type 3 fonts; a fixed salt and no date make a figure the same file every time.
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.hashsalt": "avsgn_pyg",
}

#: Letters fitted to the pixels of a coarse PNG run wider than their outlines, by less than this.
_HINTED: Final = 1.05

#: Suffix -> what must be left out of the file for it to come out the same twice.
_METADATA: Final = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def styled() -> AbstractContextManager[None]:
    """Settings under which a figure is built; matplotlib's own are restored on leaving."""
    return matplotlib.rc_context(_STYLE)


def text_width(text: str, size: float) -> float:
    """Inches that `text` takes at most on one line at `size` points; 0 for a blank one."""
    if not text.strip():
        return 0.0
    outline = TextPath((0, 0), text, size=size, prop={"family": _STYLE["font.family"]})
    return _HINTED * outline.get_extents().width / 72.0


def wrapped(text: str, room: float, size: float) -> tuple[str, ...]:
    """`text` at `size` points in as few lines as keep within `room` inches; none for a blank one."""
    letters = len(text)
    while letters > 1 and any(text_width(line, size) > room for line in textwrap.wrap(text, letters)):
        letters -= 1
    return tuple(textwrap.wrap(text, max(letters, 1)))


def save_figure(figure: Figure, path: str | Path, dpi: int = 300) -> Path:
    """Write a figure as PNG, SVG or PDF, by the path's suffix; folders are made as needed.

    Args:
        figure: what a function of this package returned.
        path: where to; an existing file is replaced.
        dpi: dots an inch of a PNG; the vector formats ignore it.

    Raises:
        ValueError: another suffix.
    """
    path = Path(path)
    metadata = _METADATA.get(path.suffix.lower())
    if metadata is None:
        raise ValueError(f"{path}: a figure is saved as one of {', '.join(_METADATA)}, not {path.suffix!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with styled():
        figure.savefig(path, dpi=dpi, metadata=metadata)
    return path
