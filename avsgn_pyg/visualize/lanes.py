"""A panel of the graph: one lane per modality, time from left to right, edges by weight.

An edge leaves its source at the right and reaches its target from the left, upright, so that the two directions between
two nodes lie next to each other; its colour is the source's, a mark at its end points into the target.

Shapes: T segments, E edges, N nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from avsgn_pyg.visualize.theme import COLOURS

#: Inches for the edges within the outermost lanes, and between two lanes.
ARCS, BETWEEN = 0.4, 0.78
#: Inches of a lane of plain nodes and of a lane with sound.
NODE, SOUND = 0.1, 0.28
#: Points of the faintest and of the strongest edge, and how much of its colour the faintest keeps.
WIDTHS, FAINTEST = (0.35, 2.0), 0.45
#: Subgraphs over each other differ in these.
DASHES: Final = {"av": (0, ()), "vt": (0, (4, 1.2)), "at": (0, (1, 1))}
_MARKERS: Final = {AUDIO: "o", VISUAL: "s", TEXT: "D"}
#: At most these inches from a node's middle to where its edges leave and arrive.
_SIDE: Final = 0.035
_BEZIER: Final = (Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4)


@dataclass(frozen=True)
class Lane:
    """Where a modality's nodes lie: `bottom` and `top` in inches; `count` nodes over all seconds."""

    modality: str
    bottom: float
    top: float
    count: int
    seconds: int

    @property
    def places(self) -> Float[np.ndarray, "N"]:
        """The second of each node; text nodes have no time and are spread over all of it."""
        return (np.arange(self.count) + 0.5) * self.seconds / self.count


def plan_lanes(subgraphs: Sequence[str], counts: Mapping[str, int], seconds: int, heights: Mapping[str, float],
               height: float | None = None) -> tuple[dict[str, Lane], float]:
    """Stack the lanes that some subgraphs need, vision above text above sound; return them and their height."""
    needed = {modality for subgraph in subgraphs for modality in SUBGRAPHS[subgraph]}
    order = [modality for modality in (AUDIO, TEXT, VISUAL) if modality in needed]
    filled = 2 * ARCS + sum(heights[modality] for modality in order)
    between = BETWEEN if height is None else (height - filled) / (len(order) - 1)
    lanes, bottom = {}, ARCS
    for modality in order:
        lanes[modality] = Lane(modality, bottom, bottom + heights[modality], counts[modality], seconds)
        bottom += heights[modality] + between
    return lanes, filled + between * (len(order) - 1)


def draw_lane(axes: Axes, lane: Lane, frames: UInt8[np.ndarray, "T H W 3"] | None,
              waveform: Float[np.ndarray, "samples"] | None) -> None:
    """Draw pictures, sound, or a mark for each node, if they can be told apart."""
    middle, height, colour = (lane.bottom + lane.top) / 2, lane.top - lane.bottom, COLOURS[lane.modality]
    strips.draw_name(axes, lane.modality, middle)
    pictured = {VISUAL: frames, AUDIO: waveform}.get(lane.modality)
    if pictured is not None:
        axes.add_patch(Rectangle((0, lane.bottom), lane.seconds, height, facecolor=strips.TRACK, linewidth=0))
        if lane.modality == VISUAL:
            strips.draw_frames(axes, pictured, bottom=lane.bottom, height=height, edge=colour)
        else:
            strips.draw_sound(axes, pictured, bottom=lane.bottom, height=height)
        return
    axes.plot((0, lane.seconds), (middle, middle), color=colour, linewidth=0.6, zorder=2)
    size = min(5.0, 72.0 * 0.7 * lane.seconds / lane.count * strips.measures(axes)[1])
    if size >= 1.0:
        axes.plot(lane.places, np.full(lane.count, middle), _MARKERS[lane.modality], color=colour, markersize=size,
                  markeredgecolor=COLOURS["ink"], markeredgewidth=0.3, zorder=4)


def draw_edges(axes: Axes, lanes: Mapping[str, Lane], subgraph: str, edges: Edges, span: tuple[float, float], *,
               dashes: bool = False) -> None:
    """Draw the edges of a subgraph, faint ones below; `span` is the weight of the faintest and of the strongest."""
    if not len(edges.weight):
        return
    source, target, weight = (values[::-1] for values in edges)
    members = [lanes[modality] for modality in SUBGRAPHS[subgraph]]
    low, high = span
    share = np.clip((weight - low) / (high - low), 0, 1) if high > low else np.ones_like(weight)
    paint = np.array([to_rgb(COLOURS[lane.modality]) for lane in members])
    colour = 1 - (FAINTEST + (1 - FAINTEST) * share[:, None]) * (1 - paint[(source >= members[0].count).astype(int)])
    width = WIDTHS[0] + (WIDTHS[1] - WIDTHS[0]) * share
    corners = _corners(members, source, target, strips.measures(axes)[1])
    lines = PathCollection([Path(four, _BEZIER) for four in corners], facecolors="none", edgecolors=colour,
                           linewidths=width, linestyles=[DASHES[subgraph] if dashes else "solid"], zorder=3,
                           gid=subgraph, clip_on=False)
    axes.add_collection(lines, autolim=False)
    rising = corners[:, 3, 1] > corners[:, 2, 1]
    for up, marker in ((True, "^"), (False, "v")):
        chosen = (rising == up) & (source != target)
        axes.scatter(*corners[chosen, 3].T, s=(1.2 + 1.6 * width[chosen]) ** 2, c=colour[chosen], marker=marker,
                     linewidths=0, zorder=3.5, clip_on=False)


def _corners(members: Sequence[Lane], source: np.ndarray, target: np.ndarray, second: float
             ) -> Float[np.ndarray, "E 4 2"]:
    """Return the four points of each edge's Bezier curve; within a lane it leaves and arrives at the outer side."""
    place, counts = np.concatenate([lane.places for lane in members]), [lane.count for lane in members]
    upper, lower = sorted(members, key=lambda lane: -lane.bottom)
    above = np.repeat([lane is upper for lane in members], counts)
    outer, inner = np.where(above, upper.top, lower.bottom), np.where(above, upper.bottom, lower.top)
    within = above[source] == above[target]
    start, end = (np.where(within, outer[nodes], inner[nodes]) for nodes in (source, target))
    reach = np.abs(place[source] - place[target]) / upper.seconds
    arc = np.where(source == target, 0.45, 0.5 + 0.5 * reach) * ARCS * 1.2
    bend = np.where(within, np.where(above[source], arc, -arc), 0.5 * (end - start))
    aside = min(_SIDE / second, 0.3)
    left, right = place[source] + aside, place[target] - aside
    across = np.stack([left, left, right, right], axis=1)
    up = np.stack([start, start + bend, end + np.where(within, bend, -bend), end], axis=1)
    return np.stack([across, up], axis=2)
