"""A panel of the graph: seconds in lanes from left to right, text in a column at their right, edges by weight.

Vision is above, sound below, so no edge crosses a lane: edges between seconds run upright between the lanes, those of
text between the lanes and the column, those within a modality outside it. An edge leaves a second at the right of its
middle and reaches it at the left, so that the two directions between two nodes lie next to each other; its colour is
the source's, a mark at its end points into the target.

Shapes: T segments, E edges, N nodes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from matplotlib.path import Path

from avsgn_pyg.graph.schema import AUDIO, SUBGRAPHS, TEXT, VISUAL
from avsgn_pyg.visualize import strips
from avsgn_pyg.visualize.edges import Edges
from avsgn_pyg.visualize.theme import COLOURS, clipped, spread, text_width

#: Inches for the edges within a lane, between the lanes, of a lane of plain nodes, and of a lane with sound.
ARCS, BETWEEN, NODE, SOUND = 0.4, (0.85, 1.5), 0.1, 0.28
#: Inches from the lanes to the text nodes, from these to their names, and of a name with its line.
ASIDE, LOOPS, LINE = 0.26, 0.17, 0.095
#: Points of an edge of the highest weight and of one of hardly any, and how much of its colour the latter keeps.
WIDTHS, FAINTEST = (0.25, 2.6), 0.35
#: Subgraphs over each other differ in these.
DASHES: Final = {"av": (0, ()), "vt": (0, (4, 1.2)), "at": (0, (1, 1))}
#: Points of the names of text nodes.
NAME_FONT: Final = 5.5
_MARKERS: Final = {AUDIO: "o", VISUAL: "s", TEXT: "D"}
#: At most these inches from a node's middle to where its edges leave and arrive.
_SIDE: Final = 0.035
_BEZIER: Final = (Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4)


@dataclass(frozen=True)
class Lane:
    """Where the nodes of a modality are: `x` in seconds, `y` in inches, `half` of their height in inches."""

    modality: str
    x: Float[np.ndarray, "N"]
    y: Float[np.ndarray, "N"]
    half: float


def between_lanes(texts: int) -> float:
    """Return the inches between two lanes, with room for the names of so many text nodes if that is not too much."""
    return float(np.clip(LINE * (texts + 1), *BETWEEN))


def column_width(names: Sequence[str], most: float) -> float:
    """Return the inches of the text column and its names, which are shortened to `most`."""
    return ASIDE + LOOPS + min(most, max((text_width(name, NAME_FONT) for name in names), default=0.0)) + 0.02


def plan_lanes(modalities: Collection[str], counts: Mapping[str, int], heights: Mapping[str, float], second: float,
               *, rows: Collection[str] = ()) -> tuple[dict[str, Lane], float]:
    """Place the nodes of some modalities; return them and the height of the panel.

    Args:
        heights: inches of the lanes, and under ``text`` between them.
        second: inches of a second.
        rows: lanes that keep their place even without nodes.
    """
    kept = {*modalities, *rows}
    bottom = ARCS + heights[AUDIO] if AUDIO in kept else 0.0
    top = bottom + heights[TEXT]
    height = top + (heights[VISUAL] + ARCS if VISUAL in kept else 0.0)
    lanes = {}
    for modality, middle in ((AUDIO, bottom - heights[AUDIO] / 2), (VISUAL, top + heights[VISUAL] / 2)):
        if modality in modalities:
            x = np.arange(counts[modality]) + 0.5
            lanes[modality] = Lane(modality, x, np.full(len(x), middle), heights[modality] / 2)
    if TEXT in modalities:
        y = np.linspace(top, bottom, counts[TEXT] + 2)[1:-1]
        lanes[TEXT] = Lane(TEXT, np.full(len(y), counts[VISUAL] + ASIDE / second), y, NODE / 2)
    return lanes, height


def draw_lane(axes: Axes, lane: Lane, frames: UInt8[np.ndarray, "T H W 3"] | None,
              waveform: Float[np.ndarray, "samples"] | None) -> None:
    """Draw pictures, sound, or a mark for each node, if they can be told apart."""
    middle, height, colour = float(lane.y[0]), 2 * lane.half, COLOURS[lane.modality]
    bottom, seconds = middle - lane.half, len(lane.x)
    pictured = {VISUAL: frames, AUDIO: waveform}.get(lane.modality)
    if pictured is not None:
        axes.add_patch(Rectangle((0, bottom), seconds, height, facecolor=strips.TRACK, linewidth=0))
        if lane.modality == VISUAL:
            strips.draw_frames(axes, pictured, bottom=bottom, height=height, edge=colour)
        else:
            strips.draw_sound(axes, pictured, bottom=bottom, height=height)
        return
    axes.plot((0, seconds), (middle, middle), color=colour, linewidth=0.6, zorder=2)
    _draw_marks(axes, lane, strips.measures(axes)[1])


def draw_texts(axes: Axes, lane: Lane, names: Sequence[str], weights: Float[np.ndarray, "N"], room: float) -> None:
    """Draw the text nodes and, in `room` inches at their right, names: all, or those of the highest `weights`."""
    second, low, high = strips.measures(axes)[1], float(lane.y.min()) - LINE / 2, float(lane.y.max()) + LINE / 2
    axes.plot(lane.x[[0, -1]], lane.y[[0, -1]], color=COLOURS[TEXT], linewidth=0.6, zorder=2, clip_on=False)
    _draw_marks(axes, lane, np.ptp(lane.y) / max(1, len(lane.y) - 1))
    axes.text(lane.x[0], high + 0.03, "text", ha="center", va="bottom", size=NAME_FONT + 0.5)
    fit = max(1, int((high - low) / LINE + 1e-6))
    chosen = np.sort(np.argsort(-weights, kind="stable")[:fit])
    places = spread(lane.y[chosen], LINE, low + LINE / 2, high - LINE / 2)
    for node, place in zip(chosen, places, strict=True):
        at = float(lane.x[node]) + (LOOPS - 0.02) / second
        if abs(place - lane.y[node]) > 0.01:
            axes.plot((float(lane.x[node]), at), (lane.y[node], place), color=COLOURS["background"], linewidth=0.4,
                      zorder=1, clip_on=False)
        axes.text(at, place, clipped(names[node], room, NAME_FONT), size=NAME_FONT, va="center_baseline")


def _draw_marks(axes: Axes, lane: Lane, apart: float) -> None:
    size = min(5.0, 72.0 * 0.7 * (apart or 1.0))
    if size >= 1.0:
        axes.plot(lane.x, lane.y, _MARKERS[lane.modality], color=COLOURS[lane.modality], markersize=size,
                  markeredgecolor=COLOURS["ink"], markeredgewidth=0.3, zorder=4, clip_on=False)


def line_widths(weight: Float[np.ndarray, "E"]) -> Float[np.ndarray, "E"]:
    """Return the points of edges of these weights, 0 to 1: by the root, so that a tenth is still a third as wide."""
    return np.maximum(WIDTHS[0], WIDTHS[1] * np.sqrt(weight))


def draw_edges(axes: Axes, lanes: Mapping[str, Lane], subgraph: str, edges: Edges, *, dashes: bool = False) -> None:
    """Draw the edges of a subgraph, faint ones below; the same weight looks the same in every figure."""
    if not len(edges.weight):
        return
    source, target, weight = (values[::-1] for values in edges)
    members = [lanes[modality] for modality in SUBGRAPHS[subgraph]]
    paint = np.array([to_rgb(COLOURS[lane.modality]) for lane in members])
    share = FAINTEST + (1 - FAINTEST) * np.sqrt(weight)
    colour = 1 - share[:, None] * (1 - paint[(source >= len(members[0].x)).astype(int)])
    width = line_widths(weight)
    corners = _corners(members, source, target, strips.measures(axes)[1])
    lines = PathCollection([Path(four, _BEZIER) for four in corners], facecolors="none", edgecolors=colour,
                           linewidths=width, linestyles=[DASHES[subgraph] if dashes else "solid"], zorder=3,
                           gid=subgraph, clip_on=False)
    axes.add_collection(lines, autolim=False)
    across, up = (corners[:, 3] - corners[:, 2]).T
    level = np.abs(up) < 1e-9
    for marker, chosen in (("^", ~level & (up > 0)), ("v", ~level & (up < 0)), (">", level & (across > 0)),
                           ("<", level & (across < 0))):
        chosen &= source != target
        axes.scatter(*corners[chosen, 3].T, s=(1.5 + 1.5 * width[chosen]) ** 2, c=colour[chosen], marker=marker,
                     linewidths=0, zorder=3.5, clip_on=False)


def _corners(members: Sequence[Lane], source: np.ndarray, target: np.ndarray, second: float
             ) -> Float[np.ndarray, "E 4 2"]:
    """Return the four points of each edge's Bezier curve, upright at seconds and level at text."""
    x, y = (np.concatenate([getattr(lane, name) for lane in members]) for name in ("x", "y"))
    counts = [len(lane.x) for lane in members]
    half, text, above = (np.repeat([value(lane) for lane in members], counts) for value in (
        lambda lane: lane.half, lambda lane: lane.modality == TEXT, lambda lane: lane.modality == VISUAL))
    outer, aside = np.where(above, 1.0, -1.0), min(_SIDE / second, 0.3)
    within = (source < counts[0]) == (target < counts[0])
    ends = []
    for node, way in ((source, 1.0), (target, -1.0)):
        out = np.where(within, outer[node], -outer[node])
        # Edges within the text leave and arrive at the right of the column, those with a lane at its left.
        level = x[node] + np.where(within, 1, -1) * half[node] * 0.8 / second
        ends.append(np.stack([np.where(text[node], level, x[node] + way * aside),
                              np.where(text[node], y[node] + way * 0.012, y[node] + out * half[node])], axis=1))
    start, end = ends
    bends = []
    reach = np.abs(x[source] - x[target]) / counts[0]
    column = np.abs(y[source] - y[target]) / max(1e-9, np.ptp(y[text]) if text.any() else 1.0)
    arc = np.where(source == target, 0.45, 0.5 + 0.5 * reach) * ARCS * 1.2
    loop = np.where(source == target, 0.5, 0.6 + 0.4 * column) * (LOOPS - 0.06) * 1.3 / second
    for node, here, there in ((source, start, end), (target, end, start)):
        lane_bend = np.where(within, outer[node] * arc, 0.5 * (there[:, 1] - here[:, 1]))
        text_bend = np.where(within, loop, 0.5 * (there[:, 0] - here[:, 0]))
        bends.append(here + np.where(text[node][:, None], np.stack([text_bend, 0 * text_bend], axis=1),
                                     np.stack([0 * lane_bend, lane_bend], axis=1)))
    return np.stack([start, bends[0], bends[1], end], axis=1)
