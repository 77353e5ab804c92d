"""The confusion of segment labels as a figure: which class is taken for which, and which for background.

All lengths are inches, laid out before drawing, so that labels of any length fit and never overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from avsgn_pyg.metrics import BACKGROUND
from avsgn_pyg.visualize.theme import COLOURS, SEQUENTIAL, TEXT_WIDTH, styled, text_width, wrapped

#: Cells are never larger, so that three classes make a small figure and not huge squares.
LARGEST_CELL: Final = 0.5
#: Cells are never smaller, so that names stay legible; with many more classes the figure outgrows the page.
SMALLEST_CELL: Final = 0.09
#: Cells below this share of their row stay without a number.
SMALLEST_SHARE: Final = 5.0
#: Points under which a number in a cell helps nobody.
SMALLEST_NUMBER: Final = 4.2
#: Points to choose from for names and counts.
_FONTS: Final = (8.0, 7.5, 7.0, 6.5, 6.0, 5.5)

_GAP, _EDGE, _PAD, _AXIS_TITLE = 0.07, 0.08, 0.05, 0.2
_HEADER, _TITLE_SIZE, _TITLE_LINE = 0.64, 9.0, 0.16
_BAR_WIDTH, _BAR_HEIGHT = 1.5, 0.09


@dataclass(frozen=True)
class _Layout:
    """Where everything goes: inches, and `font` in points. The matrix is a square of `side`."""

    labels: int
    cell: float
    font: float
    left: float
    right: float
    title: tuple[str, ...]

    @property
    def side(self) -> float:
        return self.labels * self.cell + _GAP

    @property
    def bar(self) -> float:
        """Width of the colour bar."""
        return min(_BAR_WIDTH, self.side)

    @property
    def size(self) -> tuple[float, float]:
        header = max(_HEADER, _EDGE + _TITLE_LINE * (len(self.title) + 1))
        return self.left + self.side + self.right, self.left + self.side + header

    @property
    def starts(self) -> Float[np.ndarray, "K"]:
        """Where each label's cells begin: background, the last, is pushed off by the gap."""
        starts = np.arange(self.labels) * self.cell
        starts[-1] += _GAP
        return starts

    def edges(self, part: slice) -> Float[np.ndarray, "K1"]:
        """Where the cells of some neighbouring labels begin, and where the last one ends."""
        starts = self.starts[part]
        return np.append(starts, starts[-1] + self.cell)

    def box(self, left: float, bottom: float, width: float, height: float) -> tuple[float, ...]:
        """A box in inches as the fractions of the figure that matplotlib wants."""
        across, up = self.size
        return left / across, bottom / up, width / across, height / up


def confusion_figure(
    confusion: Int[Tensor, "K K"], categories: Sequence[str], *, title: str = "", width: float = TEXT_WIDTH
) -> Figure:
    """Draw a confusion matrix, each row as shares of its true label.

    Background, the last row and column, stands apart. The column at the right counts the segments a row
    stands on; a label without any has no shares and is hatched.

    Args:
        confusion: [C + 1, C + 1] segments, true label by row, background last.
        categories: the C class names.
        title: above the matrix, at the left.
        width: inches that the figure takes at most, unless cells would become too small for their names.

    Raises:
        ValueError: a matrix that is not C + 1 by C + 1, or a negative count.
    """
    names = (*categories, BACKGROUND)
    if list(confusion.shape) != [len(names), len(names)]:
        raise ValueError(f"confusion is {list(confusion.shape)}, but {len(categories)} classes and "
                         f"background need [{len(names)}, {len(names)}]")
    if (confusion < 0).any():
        raise ValueError("confusion counts segments, but holds a negative number")
    counts = confusion.detach().cpu().numpy()
    totals = counts.sum(1)
    shares = 100.0 * counts / np.maximum(totals, 1)[:, None]
    with styled():
        layout = _plan(names, totals, title, width)
        figure = Figure(figsize=layout.size)
        axes = figure.add_axes(layout.box(layout.left, layout.left, layout.side, layout.side))
        axes.set(xlim=(0, layout.side), ylim=(layout.side, 0))
        axes.spines[:].set_visible(False)
        _draw_cells(axes, shares, totals, layout)
        _draw_numbers(axes, shares, layout)
        _draw_labels(axes, names, totals, layout)
        _draw_header(figure, layout)
    return figure


def _plan(names: Sequence[str], totals: Int[np.ndarray, "K"], title: str, width: float) -> _Layout:
    """The largest names, and then the largest cells, with which all fits the width."""
    for font in _FONTS:
        # Names are as long below the matrix as left of it, so one margin serves both.
        left = _EDGE + _AXIS_TITLE + _PAD + max(text_width(name, font) for name in names)
        counts = max(text_width(text, font) for text in ("segments", *map(_grouped, totals.tolist())))
        right = _PAD + counts + _EDGE
        room = (width - left - right - _GAP) / len(names)
        # A line of text needs about 1.15 times its size.
        if room >= font * 1.15 / 72.0:
            break
    cell = min(LARGEST_CELL, max(SMALLEST_CELL, room))
    bare = _Layout(len(names), cell, font, left, right, ())
    beside_bar = left + bare.side - bare.bar - 5 * _EDGE
    return _Layout(len(names), cell, font, left, right, wrapped(title, beside_bar, _TITLE_SIZE))


def _grouped(count: int) -> str:
    return f"{count:,}"


def _draw_cells(
    axes: Axes, shares: Float[np.ndarray, "K K"], totals: Int[np.ndarray, "K"], layout: _Layout
) -> None:
    """Four framed blocks: classes and background, by row and by column."""
    blocks = (slice(0, -1), slice(-1, None))
    for rows in blocks:
        for columns in blocks:
            y, x = layout.edges(rows), layout.edges(columns)
            axes.pcolormesh(x, y, shares[rows, columns], cmap=SEQUENTIAL, vmin=0, vmax=100,
                            edgecolors="white", linewidth=0.3)
            for row in np.flatnonzero(totals[rows] == 0):
                axes.add_patch(Rectangle((x[0], y[row]), x[-1] - x[0], layout.cell, facecolor="white",
                                         hatch="//////", edgecolor=COLOURS["background"], linewidth=0))
            axes.add_patch(Rectangle((x[0], y[0]), x[-1] - x[0], y[-1] - y[0], fill=False,
                                     edgecolor=COLOURS["muted"], linewidth=0.5, clip_on=False))


def _draw_numbers(axes: Axes, shares: Float[np.ndarray, "K K"], layout: _Layout) -> None:
    """Percent in the cells that matter, if three digits fit a cell."""
    size = min(layout.font, layout.font * 0.86 * layout.cell / text_width("100", layout.font))
    if size < SMALLEST_NUMBER:
        return
    shade, middles = colormaps[SEQUENTIAL], layout.starts + layout.cell / 2
    for row, column in np.argwhere(shares >= SMALLEST_SHARE):
        share = shares[row, column]
        lightness = np.dot(shade(share / 100.0)[:3], (0.2126, 0.7152, 0.0722))
        axes.text(middles[column], middles[row], f"{share:.0f}", size=size, ha="center",
                  va="center_baseline", color="white" if lightness < 0.5 else COLOURS["ink"])


def _draw_labels(axes: Axes, names: Sequence[str], totals: Int[np.ndarray, "K"], layout: _Layout) -> None:
    middles = layout.starts + layout.cell / 2
    axes.set_xticks(middles, names, rotation=90, size=layout.font)
    axes.set_yticks(middles, names, size=layout.font)
    axes.tick_params(length=0, pad=_PAD * 72.0)
    for tick in (axes.get_xticklabels()[-1], axes.get_yticklabels()[-1]):
        tick.set_fontstyle("italic")
    muted = {"size": layout.font, "color": COLOURS["muted"]}
    counts = [_grouped(total) for total in totals.tolist()]
    end = layout.side + _PAD + max(text_width(count, layout.font) for count in counts)
    for middle, count in zip(middles, counts, strict=True):
        axes.text(end, middle, count, ha="right", va="center_baseline", **muted)
    axes.text(layout.side + _PAD, -0.02, "segments", va="bottom", **muted)
    axes.text(layout.side / 2, layout.side + layout.left - _EDGE, "predicted label", ha="center", va="bottom")
    axes.text(_EDGE - layout.left, layout.side / 2, "true label", rotation=90, ha="left", va="center")


def _draw_header(figure: Figure, layout: _Layout) -> None:
    """Title at the left, colour bar at the right."""
    across, up = layout.size
    top = up - _EDGE
    figure.text(_EDGE / across, top / up, "\n".join(layout.title), va="top", size=_TITLE_SIZE)
    left = layout.left + layout.side - layout.bar
    bar = figure.add_axes(layout.box(left, top - 0.13 - _BAR_HEIGHT, layout.bar, _BAR_HEIGHT))
    scale = figure.colorbar(ScalarMappable(Normalize(0, 100), SEQUENTIAL), cax=bar, orientation="horizontal")
    scale.set_ticks([0, 25, 50, 75, 100], labels=["0", "25", "50", "75", "100"])
    bar.tick_params(length=2, pad=1, labelsize=6.0)
    bar.set_title("% of the true label's segments", size=6.5, pad=2)
    bar.spines[:].set_linewidth(0.4)
