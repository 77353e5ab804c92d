"""One subgraph (or all three) between lanes: a lane a modality, time from left to right, edges by weight.

A panel's axes counts seconds across and inches upwards. An edge leaves its source at the right and reaches its target
from the left, upright, so that the two directions between two nodes lie beside each other; its colour is the
source's, a mark at its end points into the target.

Letters: T segments, E edges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from avsgn_pyg.graph.schema import AUDIO, SUBGRAPHS, TEXT, VISUAL
from avsgn_pyg.visualize import strips
from avsgn_pyg.visualize.edges import Edges, curves, strength
from avsgn_pyg.visualize.theme import COLOURS

#: Inches for the edges within the outermost lanes, and between two lanes.
ARCS, BETWEEN = 0.4, 0.78
#: Inches of a lane of plain nodes and of a lane with sound.
NODE, SOUND = 0.1, 0.28
#: Points of the faintest and of the strongest edge.
WIDTHS: Final = (0.35, 2.0)
#: How much of its colour the faintest edge keeps.
FAINTEST: Final = 0.45
#: Over each other, subgraphs are told apart by these.
DASHES: Final = {"av": (0, ()), "vt": (0, (4, 1.2)), "at": (0, (1, 1))}
_MARKERS: Final = {AUDIO: "o", VISUAL: "s", TEXT: "D"}
#: At most these inches from a node's middle to where its edges leave and arrive.
_SIDE: Final = 0.035


@dataclass(frozen=True)
class Lane:
    """Where a modality's nodes lie: `bottom` and `height` in inches; `count` nodes over all seconds."""

    modality: str
    bottom: float
    height: float
    count: int

    @property
    def top(self) -> float:
        return self.bottom + self.height


@dataclass(frozen=True)
class Panel:
    """Lanes from top to bottom, and the subgraphs drawn between them."""

    subgraphs: tuple[str, ...]
    lanes: tuple[Lane, ...]
    height: float
    seconds: int

    def lane(self, modality: str) -> Lane:
        return next(lane for lane in self.lanes if lane.modality == modality)


def plan_panel(subgraphs: Sequence[str], counts: Mapping[str, int], seconds: int, heights: Mapping[str, float],
               between: float = BETWEEN) -> Panel:
    """Stack the lanes that some subgraphs need: vision above text above sound, `between` inches from each other."""
    needed = {modality for subgraph in subgraphs for modality in SUBGRAPHS[subgraph]}
    order = [modality for modality in (VISUAL, TEXT, AUDIO) if modality in needed]
    lanes, bottom = [], ARCS
    for modality in reversed(order):
        lanes.append(Lane(modality, bottom, heights[modality], counts[modality]))
        bottom += heights[modality] + between
    return Panel(tuple(subgraphs), tuple(reversed(lanes)), bottom - between + ARCS, seconds)


def draw_lanes(axes: Axes, panel: Panel, frames: UInt8[np.ndarray, "T H W 3"] | None,
               waveform: Float[np.ndarray, "samples"] | None) -> None:
    """Pictures, sound, or a mark for each node where they can be told apart."""
    for lane in panel.lanes:
        pictured = {VISUAL: frames, AUDIO: waveform}.get(lane.modality) is not None
        if pictured:
            axes.add_patch(Rectangle((0, lane.bottom), panel.seconds, lane.height, facecolor=strips.TRACK, linewidth=0))
        if lane.modality == VISUAL and frames is not None:
            strips.draw_frames(axes, frames, bottom=lane.bottom, height=lane.height, edge=COLOURS["visual"])
        if lane.modality == AUDIO and waveform is not None:
            strips.draw_sound(axes, waveform, bottom=lane.bottom, height=lane.height)
        if not pictured:
            _draw_nodes(axes, lane, panel.seconds)
        strips.draw_name(axes, lane.modality, height=2 * lane.bottom + lane.height)


def _draw_nodes(axes: Axes, lane: Lane, seconds: int) -> None:
    middle, colour = lane.bottom + lane.height / 2, COLOURS[lane.modality]
    axes.plot((0, seconds), (middle, middle), color=colour, linewidth=0.6, zorder=2)
    size = min(5.0, 72.0 * 0.7 * seconds / lane.count * strips.scale_of(axes))
    if size >= 1.0:
        axes.plot(places(lane, np.arange(lane.count), seconds), np.full(lane.count, middle), _MARKERS[lane.modality],
                  color=colour, markersize=size, markeredgecolor=COLOURS["ink"], markeredgewidth=0.3, zorder=4)


def places(lane: Lane, nodes: Int[np.ndarray, "E"], seconds: int) -> Float[np.ndarray, "E"]:
    """The second at which nodes stand; text nodes have no time and are spread over all of it."""
    return (nodes + 0.5) * seconds / lane.count


def draw_edges(axes: Axes, panel: Panel, subgraph: str, edges: Edges, span: tuple[float, float], *,
               dashes: bool = False) -> None:
    """The edges of a subgraph, faint ones below; `span` is the weight of the faintest and of the strongest."""
    if not len(edges.weight):
        return
    order = slice(None, None, -1)
    source, target, weight = edges.source[order], edges.target[order], edges.weight[order]
    start, end, bend = _ends(axes, panel, subgraph, source, target)
    share = strength(weight, *span)[:, None]
    paint = np.array([to_rgb(COLOURS[modality]) for modality in SUBGRAPHS[subgraph]])
    first = panel.lane(SUBGRAPHS[subgraph][0]).count
    colour = 1 - (FAINTEST + (1 - FAINTEST) * share) * (1 - paint[(source >= first).astype(int)])
    width = WIDTHS[0] + (WIDTHS[1] - WIDTHS[0]) * share[:, 0]
    lines = LineCollection(list(curves(start, end, bend)), colors=colour, linewidths=width, zorder=3, gid=subgraph,
                           linestyles=[DASHES[subgraph] if dashes else "solid"], clip_on=False)
    axes.add_collection(lines, autolim=False)
    for up, marker in ((True, "^"), (False, "v")):
        chosen = ((bend[:, 1] < 0) == up) & (source != target)
        axes.scatter(*end[chosen].T, s=(1.2 + 1.6 * width[chosen]) ** 2, c=colour[chosen], marker=marker, linewidths=0,
                     zorder=3.5, clip_on=False)


def _ends(axes: Axes, panel: Panel, subgraph: str, source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, ...]:
    """Where edges leave and arrive, [E, 2] each, and how they bend: out of the lane, or towards the other one."""
    members = [panel.lane(modality) for modality in SUBGRAPHS[subgraph]]
    second, first = strips.scale_of(axes), members[0].count
    upper, lower = sorted(members, key=lambda lane: -lane.bottom)
    side = [(nodes >= first).astype(int) for nodes in (source, target)]
    across = [np.select([at == 0], [places(members[0], nodes, panel.seconds)],
                        places(members[1], nodes - first, panel.seconds))
              for at, nodes in zip(side, (source, target), strict=True)]
    above = [np.array([lane is upper for lane in members])[at] for at in side]
    within = side[0] == side[1]
    # Edges within the lower lane leave it downwards, within the upper one upwards; between two, towards the other.
    out_of_upper, out_of_lower = upper.top, lower.bottom
    heights = [np.where(within, np.where(at, out_of_upper, out_of_lower), np.where(at, upper.bottom, lower.top))
               for at in above]
    reach = np.abs(across[0] - across[1]) / panel.seconds
    arc = np.where(source == target, 0.45, 0.5 + 0.5 * reach) * ARCS * 1.2
    arc = np.where(above[0], arc, -arc)
    bend = np.stack([np.where(within, arc, 0.5 * (heights[1] - heights[0])),
                     np.where(within, arc, 0.5 * (heights[0] - heights[1]))], axis=1)
    aside = min(_SIDE / second, 0.3)
    start, end = (np.stack([x + shift, y], axis=1)
                  for x, y, shift in zip(across, heights, (aside, -aside), strict=True))
    return start, end, bend
