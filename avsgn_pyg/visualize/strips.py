"""Rows over one time axis, from which timeline and graph are built: their layout, frames, sound and scores.

The axes of a row count seconds across and inches upwards, so that what is drawn can be measured beforehand.

Shapes: T segments of one second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from avsgn_pyg.visualize.theme import COLOURS, add_axes, text_width

#: Colour behind bars and events: no score, no event.
TRACK: Final = "#EFEFEF"
#: Inches of a row's bars, of the numbers above them, of a row of sound, of the time axis, and between related rows.
BARS, NUMBERS, SOUND, AXIS, NEAR = 0.3, 0.13, 0.34, 0.32, 0.035
#: Smallest and largest height of a picture in inches; pictures too wide at the smallest are left out.
FRAME_HEIGHTS: Final = (0.24, 0.62)
#: Points of a row's name, and inches between the name and its row.
NAME_FONT, NAME_PAD = 7.0, 4.0 / 72.0

_NUMBER_FONT, _TICK_FONT, _PAD = 6.5, 7.0, 0.03
#: Points at the right of a row for the ends of its scale.
_SCALE: Final = 17.0
#: Seconds from which on an axis has h:mm:ss.
LONG: Final = 600
_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
#: Columns of the sound's outline, more than a printed page shows, and pixels of a picture, at 600 per inch.
_COLUMNS, _PIXELS = 1500, 180


class Row(NamedTuple):
    """A row of a figure; lengths in inches."""

    name: str
    height: float
    above: float  #: space over it
    draw: Callable[[Axes], None]
    middle: float | None = None  #: where its name is, above the bottom; ``None``: half of the height


def names_width(names: Sequence[str]) -> float:
    """Return the inches at the left of rows with these names."""
    return max(text_width(name, NAME_FONT) for name in names) + NAME_PAD


def draw_rows(figure: Figure, rows: Sequence[Row], left: float, top: float, width: float, seconds: int, *,
              named: bool = True, start: int = 0) -> None:
    """Draw rows from `top` downwards, their names at the left, and the time, from `start`, below the last."""
    for row in rows:
        top -= row.above + row.height
        axes = add_row(figure, left, top, width, row.height, seconds)
        row.draw(axes)
        if named and row.name:
            draw_name(axes, row.name, row.height / 2 if row.middle is None else row.middle)
    end = start + seconds
    step = tick_step(end, width / seconds, _TICK_FONT, 0.08, clock)
    ticks = range(-(-start // step) * step, end + 1, step)
    axes.set_xticks([tick - start for tick in ticks], [clock(tick, end) for tick in ticks])
    axes.tick_params(axis="x", length=2, width=0.5, pad=1.5, labelsize=_TICK_FONT)
    axes.set_xlabel("time (s)" if end < LONG else "time (h:mm:ss)", labelpad=1.5, size=7.0)


def add_row(figure: Figure, left: float, bottom: float, width: float, height: float, seconds: int) -> Axes:
    """Add the empty axes of a row."""
    axes = add_axes(figure, left, bottom, width, height)
    axes.set(xlim=(0, seconds), ylim=(0, height), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.patch.set_visible(False)
    return axes


def draw_name(axes: Axes, name: str, middle: float) -> None:
    """Draw a name at the left of a row, `middle` inches above its bottom."""
    axes.annotate(name, (0, middle), (-72.0 * NAME_PAD, 0), textcoords="offset points", ha="right",
                  va="center_baseline", size=NAME_FONT)


def measures(axes: Axes) -> tuple[int, float, float]:
    """Return the seconds across a row, the inches per second, and the row's height in inches."""
    seconds = round(axes.get_xlim()[1])
    across = axes.get_position().width * axes.figure.get_size_inches()[0]
    return seconds, float(across / seconds), float(axes.get_ylim()[1])


def clock(time: int, end: int) -> str:
    """Return a time as a number of seconds, or as h:mm:ss on an axis that ends at ten minutes or later."""
    return str(time) if end < LONG else f"{time // 3600}:{time // 60 % 60:02}:{time % 60:02}"


def tick_step(count: int, wide: float, font: float, pad: float,
              text: Callable[[int, int], str] = lambda number, count: str(number)) -> int:
    """Return the smallest round step at which the numbers up to `count`, `wide` inches apart, do not meet."""
    need = text_width(text(count, count), font) + pad
    return next((step for step in _STEPS if step * wide >= need), _STEPS[-1])


def frame_height(frames: UInt8[np.ndarray, "T H W 3"], second: float) -> float:
    """Return the height in inches of a row of pictures; `second` is the inches per second."""
    low, high = FRAME_HEIGHTS
    return min(high, max(low, (second - _PAD) * frames.shape[1] / frames.shape[2]))


def shrunk(frame: UInt8[np.ndarray, "H W 3"], most: int = _PIXELS) -> UInt8[np.ndarray, "h w 3"]:
    """Return a picture of at most `most` pixels per side, each the mean of a block."""
    return np.asarray(Image.fromarray(frame).reduce(max(1, math.ceil(max(frame.shape[:2]) / most))))


def draw_frames(axes: Axes, frames: UInt8[np.ndarray, "T H W 3"], *, bottom: float = 0.0, height: float | None = None,
                edge: str = COLOURS["muted"]) -> None:
    """Draw a picture in the middle of each second; if they do not all fit, as many as do, evenly spread."""
    seconds, second, full = measures(axes)
    # A single second may be narrower than its picture.
    height = min(full if height is None else height, seconds * second * frames.shape[1] / frames.shape[2])
    width = height * frames.shape[2] / frames.shape[1]
    count = min(seconds, max(1, int((seconds * second + _PAD + 1e-6) / (width + _PAD))))
    for middle in (np.arange(count) + 0.5) * (seconds / count):
        left, right = middle - width / second / 2, middle + width / second / 2
        axes.imshow(shrunk(frames[int(middle)]), extent=(left, right, bottom, bottom + height), aspect="auto",
                    interpolation="antialiased", zorder=2)
        axes.add_patch(Rectangle((left, bottom), right - left, height, fill=False, edgecolor=edge, linewidth=0.5,
                                 zorder=3))
    # imshow has set the limits to its own.
    axes.set(xlim=(0, seconds), ylim=(0, full))


def outline(waveform: Float[np.ndarray, "samples"], columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest sample of each column; there are at most `columns`."""
    starts = np.linspace(0, len(waveform), min(columns, len(waveform)), endpoint=False).astype(np.int64)
    return np.minimum.reduceat(waveform, starts), np.maximum.reduceat(waveform, starts)


def loudest(waveform: Float[np.ndarray, "samples"]) -> float:
    """Return the largest absolute sample, which fills a row of sound; at least 1e-4, so near silence stays flat."""
    return max(float(np.abs(waveform).max()), 1e-4)


def draw_sound(axes: Axes, waveform: Float[np.ndarray, "samples"], *, bottom: float = 0.0,
               height: float | None = None) -> None:
    """Draw the sound's outline; the loudest sample fills the row."""
    seconds, _, full = measures(axes)
    height = full if height is None else height
    low, high = outline(waveform, _COLUMNS)
    middle, half = bottom + height / 2, height / 2 / loudest(waveform)
    times = np.linspace(0, seconds, len(low) + 1)
    low, high = (middle + half * np.append(values, values[-1]) for values in (low, high))
    axes.axhline(middle, color=COLOURS["audio"], linewidth=0.4, zorder=2)
    axes.fill_between(times, low, high, step="post", linewidth=0.25, color=COLOURS["audio"], zorder=2)


def draw_missing(axes: Axes, spans: Sequence[tuple[float, float]], text: str) -> None:
    """Hatch the times [start, end) in which the file lacks a track, and say so where there is room."""
    _, second, height = measures(axes)
    for start, end in spans:
        axes.add_patch(Rectangle((start, 0), end - start, height, facecolor="white", edgecolor=COLOURS["background"],
                                 hatch="//////", linewidth=0, zorder=3))
        if text_width(text, NAME_FONT) + 2 * _PAD < (end - start) * second:
            axes.text((start + end) / 2, height / 2, text, size=NAME_FONT, ha="center", va="center_baseline", zorder=4,
                      bbox={"facecolor": "white", "linewidth": 0, "pad": 1.0})


def score_height(second: float) -> float:
    """Return the inches of a row of scores: bars, and a number above each if that fits."""
    return BARS + (NUMBERS if text_width("0.88", _NUMBER_FONT) + 2 * _PAD <= second else 0.0)


def scale_width(tau: float | None) -> float:
    """Return the inches at the right of a row of scores: the ends of its scale, then tau."""
    return _SCALE / 72.0 + text_width(_tau_label(tau or 0.0), _NUMBER_FONT)


def scale_top(*scores: Float[np.ndarray, "T"]) -> float:
    """Return the top of the scale of these scores: the lowest of 0.1, 0.25, 0.5 and 1 that holds them all."""
    highest = max(float(values.max()) for values in scores)
    return next(top for top in (0.1, 0.25, 0.5, 1.0) if highest <= top or top == 1)


def draw_scores(axes: Axes, scores: Float[np.ndarray, "T"], colour: str, *, top: float = 1.0,
                tau: float | None = None) -> None:
    """Draw one bar per second in [0, `top`], its number above it if that fits, and a line at `tau`."""
    seconds, second, height = measures(axes)
    axes.add_patch(Rectangle((0, 0), seconds, BARS, facecolor=TRACK, linewidth=0))
    if second > 0.08:
        axes.bar(np.arange(seconds) + 0.5, BARS / top * scores, 0.94, color=colour, linewidth=0)
    else:  # narrow bars would be all gap
        axes.stairs(BARS / top * scores, np.arange(seconds + 1), fill=True, color=colour, linewidth=0)
    if height > BARS:
        for at, score in enumerate(scores):
            axes.text(at + 0.5, BARS + NUMBERS / 2, f"{score:.2f}", size=_NUMBER_FONT, ha="center",
                      va="center_baseline")
    for place, value in enumerate((0.0, top)):
        axes.annotate(f"{value:g}", (seconds, place * BARS), (2.0, 0), textcoords="offset points", size=5.5,
                      color=COLOURS["muted"], va=("bottom", "top")[place])
    if tau is not None:
        axes.plot((0, seconds), (tau * BARS,) * 2, color=COLOURS["ink"], linewidth=0.9, dashes=(3, 2), clip_on=False)
        axes.annotate(_tau_label(tau), (seconds, tau * BARS), (_SCALE, 0), textcoords="offset points",
                      size=_NUMBER_FONT, va="center_baseline")
    axes.set(xlim=(0, seconds), ylim=(0, height))


def _tau_label(tau: float) -> str:
    return f"τ = {tau:.3g}"
