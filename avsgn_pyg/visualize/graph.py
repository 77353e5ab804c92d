"""The attention graph of a video (Section 3.4): which node weighs which, over time, with truth and prediction below.

Shapes: T segments, N nodes of a subgraph.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Final, Literal, get_args

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avsgn_pyg.graph.schema import AUDIO, NODE_TYPES, SUBGRAPHS, TEXT, VISUAL
from avsgn_pyg.visualize import lanes, strips
from avsgn_pyg.visualize.edges import MOST, Edges, node_counts, strongest
from avsgn_pyg.visualize.events import Span, event_rows
from avsgn_pyg.visualize.strips import Row
from avsgn_pyg.visualize.theme import COLOURS, EDGE, TEXT_WIDTH, start_figure, styled, text_width

Arrangement = Literal["side-by-side", "stacked", "overlaid"]
#: Titles of the subgraphs.
TITLES: Final = {"av": "audio and visual", "vt": "visual and text", "at": "audio and text"}
_GAP, _KEY, _HEAD = 0.12, 0.17, 0.3


@styled()
def graph_figure(
    *, title: str, category: str, adjacency: Mapping[str, Float[np.ndarray, "_ _"]], seconds: int,
    frames: UInt8[np.ndarray, "T H W 3"] | None, waveform: Float[np.ndarray, "samples"] | None,
    predicted: Sequence[Span], truth: Sequence[Span] | None, share: float = 0.1, threshold: float | None = None,
    most: int = MOST, arrangement: Arrangement = "side-by-side", note: str = "",
    scores: Mapping[str, Float[np.ndarray, "T"]] | None = None, width: float = TEXT_WIDTH,
) -> Figure:
    """Draw the strongest edges of a video's subgraphs, wider and darker by weight.

    Args:
        title, category, frames, waveform, predicted, truth, width: see
            :func:`~avsgn_pyg.visualize.timeline.timeline_figure`. Without frames a second is a square, without sound a
            dot.
        adjacency: subgraph -> [N, N] of one layer; row i weighs the messages into node i; the first of the subgraph's
            modalities in rows (and columns) 0 to T - 1.
        seconds: T.
        share: the fraction of each subgraph's edges that is drawn.
        threshold: instead of `share`, every edge of at least this weight.
        most: largest number of edges to draw per subgraph.
        arrangement: of the subgraphs: ``side-by-side``, ``stacked``, or ``overlaid`` in one panel of three lanes.
        note: name of the layer, below the title.
        scores: modality -> a number in [0, 1] per second, drawn as bars below the graph; ``overlaid`` or ``stacked``.

    Raises:
        ValueError: no subgraph or an unknown one, an adjacency that does not fit, events outside the video.
    """
    counts = node_counts(adjacency, seconds)
    strips.check_frames(frames, seconds)
    if arrangement not in get_args(Arrangement):
        raise ValueError(f"arrangement={arrangement!r}; choose one of {', '.join(get_args(Arrangement))}")
    edges = {name: strongest(weights, share=share, threshold=threshold, most=most)
             for name, weights in adjacency.items()}
    totals = {name: int(np.count_nonzero(weights)) for name, weights in adjacency.items()}
    overlaid = arrangement == "overlaid"
    groups = [tuple(edges)] if overlaid else [(name,) for name in edges]
    columns = len(groups) if arrangement == "side-by-side" else 1

    # Further columns repeat only the names of the lanes.
    names = (*NODE_TYPES, *(() if truth is None else ("ground truth",)), *(f"{name} mask" for name in scores or ()))
    left, inner = EDGE + strips.names_width((*names, "prediction")), _GAP + strips.names_width(NODE_TYPES)
    across = (width - left - (columns - 1) * inner - (strips.scale_width(None) if scores else EDGE) - EDGE) / columns
    second = across / seconds
    events, key = event_rows(truth, predicted, seconds, second, strips.NEAR)
    heights = {VISUAL: lanes.NODE if frames is None else strips.frame_height(frames, second),
               AUDIO: lanes.NODE if waveform is None else lanes.SOUND, TEXT: lanes.NODE}
    tall = [lanes.plan_lanes(group, counts, seconds, heights)[1] for group in groups]
    # Panels next to each other end at one height.
    tall = [max(tall)] * columns if columns > 1 else tall

    def draw_panel(axes: Axes, group: tuple[str, ...], height: float) -> None:
        found, _ = lanes.plan_lanes(group, counts, seconds, heights, height)
        for lane in found.values():
            lanes.draw_lane(axes, lane, frames, waveform)
        _draw_edges(axes, found, {name: edges[name] for name in group}, sum(totals[name] for name in group), overlaid)

    panels = [Row("", height, _HEAD, lambda axes, group=group, height=height: draw_panel(axes, group, height))
              for group, height in zip(groups, tall, strict=True)]
    for name, values in (scores or {}).items():
        strips.check_scores(f"scores[{name!r}]", values, seconds)
        bars = functools.partial(strips.draw_scores, scores=values, colour=COLOURS[name])
        events.insert(0, Row(f"{name} mask", strips.score_height(second), _GAP, bars, strips.BARS / 2))
    stacks = [[panel, *events] for panel in panels] if columns > 1 else [[*panels, *events]]
    body = _KEY + sum(row.above + row.height for row in stacks[0]) + strips.AXIS
    notes = [f"predicted class: {category}", *([note] if note else [])]
    figure, top = start_figure(title, width, body, notes=notes, key=key)
    _draw_key(strips.add_row(figure, EDGE, top - _KEY, width - 2 * EDGE, _KEY, 1), list(edges), overlaid)
    for number, rows in enumerate(stacks):
        place = left + number * (across + inner)
        strips.draw_rows(figure, rows, place, top - _KEY, across, seconds, named=not number)
    return figure


def _draw_edges(axes: Axes, found: Mapping[str, lanes.Lane], edges: Mapping[str, Edges], total: int, overlaid: bool
                ) -> None:
    """Draw the edges of a panel, and over it how many of how many there are, and their weights."""
    weights = np.concatenate([drawn.weight for drawn in edges.values()])
    low, high = (float(weights.min()), float(weights.max())) if len(weights) else (0.0, 0.0)
    for name, drawn in edges.items():
        # Edges that weigh much the same look much the same.
        lanes.draw_edges(axes, found, name, drawn, (min(low, high / 2), high), dashes=overlaid)
    head = "all subgraphs" if overlaid else TITLES[next(iter(edges))]
    said = f", weight {low:.2g} to {high:.2g}" if len(weights) else ""
    style = {"xy": (0, strips.measures(axes)[2]), "textcoords": "offset points"}
    axes.annotate(head, xytext=(0, 11.0), size=strips.NAME_FONT + 0.5, **style)
    axes.annotate(f"{len(weights):,} of {total:,} edges{said}", xytext=(0, 2.0), size=6.0, color=COLOURS["muted"],
                  **style)


def _draw_key(axes: Axes, subgraphs: Sequence[str], overlaid: bool) -> None:
    """Draw what colours and dashes mean, in one line."""
    _, scale, height = strips.measures(axes)
    middle, at = height / 2, 0.0
    marks = [(f"from {name}", {"color": COLOURS[name], "linewidth": 1.6}) for name in (VISUAL, AUDIO, TEXT)
             if any(name in SUBGRAPHS[subgraph] for subgraph in subgraphs)]
    if overlaid:
        marks += [(TITLES[name], {"color": COLOURS["ink"], "linewidth": 0.9, "linestyle": lanes.DASHES[name]})
                  for name in subgraphs]
    for text, style in marks:
        axes.plot((at / scale, (at + 0.22) / scale), (middle, middle), **style)
        axes.text((at + 0.26) / scale, middle, text, size=6.5, va="center_baseline")
        at += 0.26 + text_width(text, 6.5) + 0.14
