"""The confusion matrix of segment labels as a figure: which classes are confused with others or with background."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from avsgn_pyg.visualize import theme
from avsgn_pyg.visualize.theme import COLOURS, EDGE, SEQUENTIAL, TEXT_WIDTH, clipped, short_names, text_width

BACKGROUND: Final = "background"
#: Inches of a cell: three classes give a small figure; many outgrow the page, so that names stay legible.
CELLS: Final = (0.09, 0.5)
#: Percent of a row from which a cell shows its number, and the smallest number in points.
SMALLEST_SHARE, SMALLEST_NUMBER = 5.0, 4.2
#: Points to choose from for names and counts.
_FONTS: Final = (8.0, 7.5, 7.0, 6.5, 6.0, 5.5)
#: Inches of the longest name: longer ones would take the matrix's place.
_LONGEST: Final = 1.2
#: Inches before background, between labels and cells, of an axis title, and of title and scale at the top.
_GAP, _PAD, _AXIS_TITLE, _HEADER = 0.07, 0.05, 0.2, 0.59


@theme.styled()
def confusion_figure(
    confusion: Int[Tensor, "K K"], categories: Sequence[str], *, title: str = "", width: float = TEXT_WIDTH
) -> Figure:
    """Draw a confusion matrix, each row normalized by the count of its true label.

    Background, the last row and column, is set apart. The column at the right counts the segments of each true label;
    a label without any has no shares and is hatched.

    Args:
        confusion: [C + 1, C + 1] segments, true label by row, background last.
        categories: the C class names, drawn without what follows a comma, and cut if they are still long.
        title: above the matrix, at the left.
        width: largest width in inches, unless cells would become too small for their names.

    Raises:
        ValueError: a matrix that is not C + 1 by C + 1, or a negative count.
    """
    labels = len(categories) + 1
    if list(confusion.shape) != [labels, labels]:
        raise ValueError(f"confusion must be [{labels}, {labels}] for {len(categories)} classes and "
                         f"background, got {list(confusion.shape)}")
    if (confusion < 0).any():
        raise ValueError("confusion must count segments, got a negative number")
    totals = confusion.sum(1).cpu().numpy()
    shares = 100.0 * confusion.cpu().numpy() / np.maximum(totals, 1)[:, None]
    counts = [f"{total:,}" for total in totals]
    for font in _FONTS:
        names = [clipped(name, _LONGEST, font) for name in (*short_names(categories), BACKGROUND)]
        # Names are as long below the matrix as left of it, so one margin serves both.
        left = EDGE + _AXIS_TITLE + _PAD + max(text_width(name, font) for name in names)
        right = _PAD + max(text_width(text, font) for text in ("segments", *counts)) + EDGE
        room = (width - left - right - _GAP) / len(names)
        # A line of text needs about 1.15 times its size.
        if room >= font * 1.15 / 72.0:
            break
    cell = float(np.clip(room, *CELLS))
    side = len(names) * cell + _GAP
    bar = min(1.5, side)
    room = left + side - bar - 5 * EDGE
    figure, _ = theme.start_figure(title, left + side + right, left + side + _PAD, room=room, header=_HEADER)
    axes = theme.add_axes(figure, left, left, side, side)
    axes.set(xlim=(0, side), ylim=(side, 0))
    axes.spines[:].set_visible(False)
    _draw_cells(axes, shares, totals, cell)
    # The middle of each label's cells, background after a gap.
    middles = (np.arange(len(names)) + 0.5) * cell + _GAP * (np.arange(len(names)) == len(categories))
    _draw_numbers(axes, shares, middles, min(font, font * 0.86 * cell / text_width("100", font)))
    _draw_labels(axes, names, counts, middles, font, left)
    top = figure.get_size_inches()[1] - EDGE
    label = "% of the true label's segments"
    theme.add_colour_bar(figure, left + side - bar, top - 0.22, bar, 100.0, 4, label)
    return figure


def _draw_cells(axes: Axes, shares: Float[np.ndarray, "K K"], totals: Int[np.ndarray, "K"], cell: float) -> None:
    """Draw four framed blocks: classes and background, by row and by column."""
    starts = np.arange(len(totals)) * cell
    starts[-1] += _GAP
    parts = ((slice(0, -1), np.append(starts[:-1], starts[-2] + cell)), (slice(-1, None), starts[-1] + [0, cell]))
    for (rows, y), (columns, x) in itertools.product(parts, parts):
        wide = x[-1] - x[0]
        axes.pcolormesh(x, y, shares[rows, columns], cmap=SEQUENTIAL, vmin=0, vmax=100, edgecolors="white",
                        linewidth=0.3)
        for row in np.flatnonzero(totals[rows] == 0):
            axes.add_patch(Rectangle((x[0], y[row]), wide, cell, facecolor="white", hatch="//////",
                                     edgecolor=COLOURS["background"], linewidth=0))
        axes.add_patch(Rectangle((x[0], y[0]), wide, y[-1] - y[0], fill=False, edgecolor=COLOURS["muted"],
                                 linewidth=0.5, clip_on=False))


def _draw_numbers(axes: Axes, shares: Float[np.ndarray, "K K"], middles: Float[np.ndarray, "K"], size: float) -> None:
    """Draw percentages in the larger cells, if numbers of this size are legible."""
    if size < SMALLEST_NUMBER:
        return
    for row, column in np.argwhere(shares >= SMALLEST_SHARE):
        share = shares[row, column]
        lightness = np.dot(colormaps[SEQUENTIAL](share / 100.0)[:3], (0.2126, 0.7152, 0.0722))
        axes.text(middles[column], middles[row], f"{share:.0f}", size=size, ha="center", va="center_baseline",
                  color="white" if lightness < 0.5 else COLOURS["ink"])


def _draw_labels(axes: Axes, names: Sequence[str], counts: Sequence[str], middles: Float[np.ndarray, "K"], font: float,
                 left: float) -> None:
    """Draw names at two sides, counts at the right, and what the axes are, up to `left` inches from the matrix."""
    side = axes.get_xlim()[1]
    axes.set_xticks(middles, names, rotation=90, size=font)
    axes.set_yticks(middles, names, size=font)
    axes.tick_params(length=0, pad=_PAD * 72.0)
    for tick in (axes.get_xticklabels()[-1], axes.get_yticklabels()[-1]):
        tick.set_fontstyle("italic")
    muted = {"size": font, "color": COLOURS["muted"]}
    end = side + _PAD + max(text_width(count, font) for count in counts)
    for middle, count in zip(middles, counts, strict=True):
        axes.text(end, middle, count, ha="right", va="center_baseline", **muted)
    axes.text(side + _PAD, -0.02, "segments", va="bottom", **muted)
    axes.text(side / 2, side + left - EDGE, "predicted label", ha="center", va="bottom")
    axes.text(EDGE - left, side / 2, "true label", rotation=90, ha="left", va="center")
