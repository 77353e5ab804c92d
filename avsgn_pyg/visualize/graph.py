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

from avsgn_pyg.graph.schema import AUDIO, SUBGRAPHS, TEXT, VISUAL
from avsgn_pyg.visualize import lanes, strips
from avsgn_pyg.visualize.edges import MOST, Edges, node_counts, strongest
from avsgn_pyg.visualize.events import Span, event_rows
from avsgn_pyg.visualize.strips import Row
from avsgn_pyg.visualize.theme import COLOURS, EDGE, TEXT_WIDTH, short_names, start_figure, styled, text_width

Arrangement = Literal["side-by-side", "stacked", "overlaid"]
#: Titles of the subgraphs.
TITLES: Final = {"av": "audio and visual", "vt": "visual and text", "at": "audio and text"}
#: Inches between columns, of a line of the key, over a panel, and of a mark of the key.
_GAP, _KEY, _HEAD, _MARK = 0.14, 0.15, 0.4, 0.25
_KEY_FONT: Final = 6.0
#: Weights whose widths the key shows.
_WEIGHTS: Final = (0.01, 0.1, 0.5, 1.0)
#: Share of a panel's width that the names of text nodes take at most.
_NAMES: Final = 0.34


@styled()
def graph_figure(
    *, title: str, category: str, adjacency: Mapping[str, Float[np.ndarray, "_ _"]], seconds: int,
    frames: UInt8[np.ndarray, "T H W 3"] | None, waveform: Float[np.ndarray, "samples"] | None,
    predicted: Sequence[Span], truth: Sequence[Span] | None, start: int = 0, share: float = 0.1,
    threshold: float | None = None, most: int = MOST, arrangement: Arrangement = "side-by-side", note: str = "",
    text: Sequence[str] = (), scores: Mapping[str, Float[np.ndarray, "T"]] | None = None, width: float = TEXT_WIDTH,
) -> Figure:
    """Draw the strongest edges of a video's subgraphs, wider and darker by weight, on one scale for all figures.

    Args:
        title, category, frames, waveform, predicted, truth, start, width: see
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
        text: names of the text nodes; empty: their numbers.
        scores: modality -> a number in [0, 1] per second, drawn as bars below the graph; ``overlaid`` or ``stacked``.

    Raises:
        ValueError: no subgraph or an unknown one, an adjacency that does not fit, events outside the video.
    """
    counts = node_counts(adjacency, seconds)
    strips.check_frames(frames, seconds)
    if arrangement not in get_args(Arrangement):
        raise ValueError(f"arrangement={arrangement!r}; choose one of {', '.join(get_args(Arrangement))}")
    edges = {name: strongest(weights, share=share, threshold=threshold, most=None)
             for name, weights in adjacency.items()}
    kept = {name: Edges(*(values[:most] for values in found)) for name, found in edges.items()}
    totals = {name: int(np.count_nonzero(weights)) for name, weights in adjacency.items()}
    overlaid = arrangement == "overlaid"
    groups = [tuple(edges)] if overlaid else [(name,) for name in edges]
    columns = len(groups) if arrangement == "side-by-side" else 1
    texts = short_names(text) if text else [str(node) for node in range(counts.get(TEXT, 0))]

    names = ("prediction", *(() if truth is None else ("ground truth",)), *(f"{name} mask" for name in scores or ()))
    left = EDGE + strips.names_width(names)
    right = max(strips.scale_width(None) if scores else 0.0, EDGE)
    room = width - left - EDGE - (columns - 1) * _GAP
    beside = [lanes.column_width(texts, _NAMES * room / columns) if any(TEXT in SUBGRAPHS[one] for one in group) else 0
              for group in groups]
    beside = beside if columns > 1 else [max(*beside, right)]
    across = (room - sum(beside)) / columns
    second = across / seconds
    events, key = event_rows(truth, predicted, seconds, second, strips.NEAR)
    heights = {VISUAL: lanes.NODE if frames is None else strips.frame_height(frames, second),
               AUDIO: lanes.NODE if waveform is None else lanes.SOUND, TEXT: lanes.between_lanes(counts.get(TEXT, 0))}
    members = [{modality for name in group for modality in SUBGRAPHS[name]} for group in groups]
    # Panels next to each other have their lanes at the same heights.
    rows = (AUDIO, VISUAL) if columns > 1 else ()
    plans = [lanes.plan_lanes(these, counts, heights, second, rows=rows) for these in members]

    def draw_panel(axes: Axes, number: int) -> None:
        (found, height), group = plans[number], groups[number]
        for modality, lane in found.items():
            if modality != TEXT:
                lanes.draw_lane(axes, lane, frames, waveform)
        for modality in ({AUDIO, VISUAL} & {*found} if columns == 1 else {AUDIO, VISUAL} if not number else ()):
            middle = heights[modality] / 2 + lanes.ARCS
            strips.draw_name(axes, modality, middle if modality == AUDIO else height - middle)
        if TEXT in found:
            most_used = _incident(kept, group, counts, seconds)
            lanes.draw_texts(axes, found[TEXT], texts, most_used, max(beside) - lanes.ASIDE - lanes.LOOPS)
        for name in group:
            lanes.draw_edges(axes, found, name, kept[name], dashes=overlaid)
        _draw_head(axes, [kept[name] for name in group], sum(totals[name] for name in group),
                   "all subgraphs" if overlaid else TITLES[group[0]])

    panels = [Row("", height, _HEAD, functools.partial(draw_panel, number=number))
              for number, (_, height) in enumerate(plans)]
    for name, values in (scores or {}).items():
        strips.check_scores(f"scores[{name!r}]", values, seconds)
        bars = functools.partial(strips.draw_scores, scores=values, colour=COLOURS[name])
        events.insert(0, Row(f"{name} mask", strips.score_height(second), _GAP, bars, strips.BARS / 2))
    stacks = [[panel, *events] for panel in panels] if columns > 1 else [[*panels, *events]]
    marks = _key_lines(list(edges), overlaid, width - 2 * EDGE)
    key_height = _KEY * len(marks)
    body = key_height + sum(row.above + row.height for row in stacks[0]) + strips.AXIS
    notes = [f"predicted class: {category}", *([note] if note else [])]
    if any(len(kept[name].weight) < len(found.weight) for name, found in edges.items()):
        notes.append(f"no more than the {most} strongest edges of a subgraph are drawn")
    figure, top = start_figure(title, width, body, notes=notes, key=key)
    _draw_key(strips.add_row(figure, EDGE, top - key_height, width - 2 * EDGE, key_height, 1), marks)
    place = left
    for number, rows in enumerate(stacks):
        strips.draw_rows(figure, rows, place, top - key_height, across, seconds, named=not number, start=start)
        place += across + beside[number] + _GAP
    return figure


def _incident(edges: Mapping[str, Edges], group: Sequence[str], counts: Mapping[str, int], seconds: int
              ) -> Float[np.ndarray, "N"]:
    """The weight of the strongest drawn edge of each text node."""
    found = np.zeros(counts[TEXT], np.float32)
    for name in group:
        for nodes in edges[name][:2] if TEXT in SUBGRAPHS[name] else ():
            among = nodes >= seconds
            np.maximum.at(found, nodes[among] - seconds, edges[name].weight[among])
    return found


def _draw_head(axes: Axes, edges: Sequence[Edges], total: int, title: str) -> None:
    """Draw over a panel its title, how many of how many edges there are, and their weights."""
    weights = np.concatenate([drawn.weight for drawn in edges])
    style = {"xy": (0, strips.measures(axes)[2]), "textcoords": "offset points"}
    axes.annotate(title, xytext=(0, 18.0), size=strips.NAME_FONT + 0.5, **style)
    said = f"\nweight {weights.min():.2g} to {weights.max():.2g}" if len(weights) else ""
    axes.annotate(f"{len(weights):,} of {total:,} edges{said}", xytext=(0, 2.0), size=6.0, color=COLOURS["muted"],
                  **style)


def _key_lines(subgraphs: Sequence[str], overlaid: bool, width: float) -> list[list[tuple[float, str, dict]]]:
    """Return what colours, dashes and widths mean, in lines of at most `width` inches: place, text and look of each."""
    marks = [(f"from {name}", {"color": COLOURS[name], "linewidth": 1.6}) for name in (VISUAL, AUDIO, TEXT)
             if any(name in SUBGRAPHS[subgraph] for subgraph in subgraphs)]
    if overlaid:
        marks += [(TITLES[name], {"color": COLOURS["ink"], "linewidth": 0.9, "linestyle": lanes.DASHES[name]})
                  for name in subgraphs]
    widths = lanes.line_widths(np.array(_WEIGHTS))
    marks += [(f"weight {weight:g}", {"color": COLOURS["muted"], "linewidth": float(line)})
              for weight, line in zip(_WEIGHTS, widths, strict=True)]
    lines: list[list[tuple[float, str, dict]]] = [[]]
    at = 0.0
    for text, style in marks:
        need = _MARK + text_width(text, _KEY_FONT)
        if at + need > width:
            lines.append([])
            at = 0.0
        lines[-1].append((at, text, style))
        at += need + 0.12
    return lines


def _draw_key(axes: Axes, lines: Sequence[Sequence[tuple[float, str, dict]]]) -> None:
    _, scale, height = strips.measures(axes)
    for number, line in enumerate(lines):
        middle = height - (number + 0.5) * _KEY
        for at, text, style in line:
            axes.plot((at / scale, (at + _MARK - 0.04) / scale), (middle, middle), **style)
            axes.text((at + _MARK) / scale, middle, text, size=_KEY_FONT, va="center_baseline")
