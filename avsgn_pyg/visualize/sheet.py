"""A sheet of pictures, each with its name below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from avsgn_pyg.visualize.theme import EDGE, TEXT_WIDTH, add_axes, clipped, start_figure, styled

_GAP, _LINE, _FONT = 0.06, 0.16, 7.0
_COLUMNS: Final = 4


@styled()
def sheet_figure(frames: Sequence[UInt8[np.ndarray, "H W 3"]], names: Sequence[str], *, title: str = "",
                 width: float = TEXT_WIDTH) -> Figure:
    """Draw pictures of one size in rows of four."""
    across = (width - 2 * EDGE - (_COLUMNS - 1) * _GAP) / _COLUMNS
    up = across * frames[0].shape[0] / frames[0].shape[1]
    rows = -(-len(frames) // _COLUMNS)
    figure, top = start_figure(title, width, rows * (up + _LINE) + EDGE)
    for number, (frame, name) in enumerate(zip(frames, names, strict=True)):
        row, column = divmod(number, _COLUMNS)
        axes = add_axes(figure, EDGE + column * (across + _GAP), top - row * (up + _LINE) - up, across, up)
        axes.imshow(frame, aspect="auto", interpolation="antialiased")
        axes.axis("off")
        axes.annotate(clipped(name, across, _FONT), (0.5, 0), (0, -2), xycoords="axes fraction",
                      textcoords="offset points", ha="center", va="top", size=_FONT)
    return figure
