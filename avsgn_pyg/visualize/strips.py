"""Rows over one time axis: frames, sound and scores. The timeline and the graph are put together from them.

Across, an axes of a row counts seconds; upwards it counts inches, so that what is drawn can be measured beforehand.

Letters: T segments of one second.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from jaxtyping import Float, Real, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from avsgn_pyg.visualize.theme import COLOURS, text_width

#: What lies behind bars and events: no score, no event.
TRACK: Final = "#EFEFEF"
#: Inches of a row's bars, of the numbers above them, and of a row of sound.
BARS, NUMBERS, SOUND = 0.3, 0.13, 0.34
#: A picture is between these high; beyond, some are left out.
FRAME_HEIGHTS: Final = (0.24, 0.62)

_NUMBER_FONT, _SCALE_FONT, _TICK_FONT = 6.5, 5.5, 7.0
_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
#: Sound below this stays a line, however much one would have to magnify it.
QUIETEST: Final = 1e-4

#: Columns of the sound's outline: more than a printed page shows.
_COLUMNS: Final = 1500
#: Pixels that a picture keeps at most: 600 dots an inch at its smallest height.
_PIXELS: Final = 180
#: Inches between rows that belong together.
NEAR: Final = 0.035
_PAD: Final = 0.03


def add_row(figure: Figure, box: tuple[float, float, float, float], seconds: int) -> Axes:
    """An empty row; `box` is left, bottom, width and height in inches."""
    across, up = figure.get_size_inches()
    left, bottom, width, height = box
    axes = figure.add_axes((left / across, bottom / up, width / across, height / up))
    axes.set(xlim=(0, seconds), ylim=(0, height), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.patch.set_visible(False)
    return axes


def scale_of(axes: Axes) -> float:
    """Inches of a second."""
    return float(axes.get_position().width * axes.figure.get_size_inches()[0] / axes.get_xlim()[1])


def seconds_of(axes: Axes) -> int:
    """Seconds across a row."""
    return round(axes.get_xlim()[1])


def height_of(axes: Axes) -> float:
    """Inches of a row."""
    return axes.get_ylim()[1]


def draw_name(axes: Axes, name: str, size: float = 7.0, *, height: float | None = None) -> None:
    """A row's name at its left; `height` (inches) moves it off the middle of the row."""
    middle = (height_of(axes) if height is None else height) / 2
    axes.annotate(name, (0, middle), (-4.0, 0), textcoords="offset points", ha="right", va="center_baseline", size=size)


# --- Frames and sound ----------------------------------------------------------------------------


def frame_height(frames: UInt8[np.ndarray, "T H W 3"], second: float) -> float:
    """Inches that a row of pictures needs where a second takes `second` inches."""
    low, high = FRAME_HEIGHTS
    aspect = frames.shape[2] / frames.shape[1]
    return min(high, max(low, (second - _PAD) / aspect))


def shown_frames(seconds: int, second: float, width: float) -> list[tuple[int, float]]:
    """Which pictures of `width` inches fit beside each other: their seconds, and where their middles stand.

    All of them, each in the middle of its second, or as many as fit, evenly; a middle then lies in its second.
    """
    most = max(1, int((seconds * second + _PAD + 1e-6) / (width + _PAD)))
    if most >= seconds:
        return [(at, at + 0.5) for at in range(seconds)]
    middles = [(number + 0.5) * seconds / most for number in range(most)]
    return [(int(middle), middle) for middle in middles]


def shrunk(frame: UInt8[np.ndarray, "H W 3"], most: int = _PIXELS) -> UInt8[np.ndarray, "h w 3"]:
    """A picture of at most about `most` pixels a side, each the mean of a block."""
    block = max(1, math.ceil(max(frame.shape[:2]) / most))
    height, width = (max(1, size // block) for size in frame.shape[:2])
    step = (min(block, frame.shape[0]), min(block, frame.shape[1]))
    whole = frame[: height * step[0], : width * step[1]]
    return whole.reshape(height, step[0], width, step[1], 3).mean((1, 3)).round().astype(np.uint8)


def draw_frames(axes: Axes, frames: UInt8[np.ndarray, "T H W 3"], *, bottom: float = 0.0, height: float | None = None,
                edge: str = COLOURS["muted"]) -> None:
    """Pictures in the middle of their seconds, as many as fit."""
    second, full = scale_of(axes), height_of(axes)
    # A single second may be narrower than its picture.
    height = min(full if height is None else height, seconds_of(axes) * second * frames.shape[1] / frames.shape[2])
    width = height * frames.shape[2] / frames.shape[1]
    half = width / second / 2
    for at, middle in shown_frames(len(frames), second, width):
        left, right, top = middle - half, middle + half, bottom + height
        axes.imshow(shrunk(frames[at]), extent=(left, right, bottom, top), aspect="auto",
                    interpolation="antialiased", zorder=2)
        axes.add_patch(Rectangle((left, bottom), right - left, height, fill=False, edgecolor=edge, linewidth=0.5,
                                 zorder=3))
    # imshow has set the limits to its own.
    axes.set(xlim=(0, len(frames)), ylim=(0, full))


def outline(waveform: Float[np.ndarray, "samples"], columns: int) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest sample in each of at most so many columns."""
    starts = np.linspace(0, len(waveform), min(columns, len(waveform)), endpoint=False).astype(np.int64)
    return np.minimum.reduceat(waveform, starts), np.maximum.reduceat(waveform, starts)


def draw_sound(axes: Axes, waveform: Float[np.ndarray, "samples"], *, bottom: float = 0.0,
               height: float | None = None) -> None:
    """The sound's outline: the lowest and the highest sample of each column; the loudest fills the row."""
    height, seconds = height_of(axes) if height is None else height, seconds_of(axes)
    low, high = outline(waveform, _COLUMNS)
    loudest = max(float(np.abs(waveform).max()), QUIETEST)
    middle, half = bottom + height / 2, height / 2 / loudest
    times = np.linspace(0, seconds, len(low) + 1)
    edges = [np.append(values, values[-1]) for values in (low, high)]
    axes.axhline(middle, color=COLOURS["audio"], linewidth=0.4, zorder=2)
    axes.fill_between(times, middle + half * edges[0], middle + half * edges[1], step="post", linewidth=0.25,
                      color=COLOURS["audio"], zorder=2)


# --- Scores --------------------------------------------------------------------------------------


def numbers_fit(second: float) -> bool:
    """Whether a number stands above every bar."""
    return bool(text_width("0.88", _NUMBER_FONT) + 2 * _PAD <= second)


def score_height(second: float) -> float:
    """Inches of a row of scores."""
    return BARS + (NUMBERS if numbers_fit(second) else 0.0)


def draw_scores(axes: Axes, scores: Float[np.ndarray, "T"], colour: str, *, tau: float | None = None) -> None:
    """One bar a second in [0, 1], its number above it where that fits, and a line at `tau`."""
    seconds, second = len(scores), scale_of(axes)
    axes.add_patch(Rectangle((0, 0), seconds, BARS, facecolor=TRACK, linewidth=0))
    # Narrow bars would be all gap.
    gap = 0.06 if second > 0.08 else 0.0
    edges = np.arange(seconds)
    if gap:
        axes.bar(edges + 0.5, BARS * scores, 1 - gap, color=colour, linewidth=0)
    else:
        axes.stairs(BARS * scores, np.arange(seconds + 1), fill=True, color=colour, linewidth=0)
    if numbers_fit(second):
        for at, score in enumerate(scores):
            axes.text(at + 0.5, BARS + NUMBERS / 2, f"{score:.2f}", size=_NUMBER_FONT, ha="center",
                      va="center_baseline")
    for value in (0, 1):
        axes.annotate(str(value), (seconds, value * BARS), (2.0, 0), textcoords="offset points", size=_SCALE_FONT,
                      color=COLOURS["muted"], va=("bottom", "top")[value])
    if tau is not None:
        axes.plot((0, seconds), (tau * BARS,) * 2, color=COLOURS["ink"], linewidth=0.9, dashes=(3, 2), clip_on=False)
        axes.annotate(tau_label(tau), (seconds, tau * BARS), (9.0, 0), textcoords="offset points", size=_NUMBER_FONT,
                      va="center_baseline")
    axes.set(xlim=(0, seconds), ylim=(0, score_height(second)))


def tau_label(tau: float) -> str:
    return f"τ = {tau:.3g}"


def scale_width(tau: float) -> float:
    """Inches at the right of a row of scores: 0 and 1, then tau."""
    return 9.0 / 72.0 + text_width(tau_label(tau), _NUMBER_FONT)


def draw_time(axes: Axes, *, label: bool = True) -> None:
    """Seconds under a row, as many as can be told apart."""
    seconds, second = seconds_of(axes), scale_of(axes)
    wide = text_width(f"{seconds}", _TICK_FONT) + 0.08
    step = next((step for step in _STEPS if step * second >= wide), _STEPS[-1])
    axes.set_xticks(np.arange(0, seconds + 1e-9, step))
    axes.tick_params(axis="x", length=2, width=0.5, pad=1.5, labelsize=_TICK_FONT)
    if label:
        axes.set_xlabel("time (s)", labelpad=1.5, size=7.0)


def check_scores(name: str, scores: Real[np.ndarray, "..."], seconds: int) -> None:
    """Refuse scores that are not one number in [0, 1] for each second."""
    if scores.shape != (seconds,):
        raise ValueError(f"{name} has shape {list(scores.shape)}, but there are {seconds} seconds: give [{seconds}]")
    if not np.isfinite(scores).all() or scores.min() < 0 or scores.max() > 1:
        raise ValueError(f"{name} lies in [{scores.min():.3g}, {scores.max():.3g}]; give probabilities, not logits")
