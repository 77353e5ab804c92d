"""The attention graph of a video (Section 3.4): which node weighs which, over time, with truth and prediction below.

Shapes: T segments, N nodes of a subgraph.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal, get_args

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch_geometric.data import HeteroData

from avsgn_pyg.common.errors import PictureError, did_you_mean
from avsgn_pyg.graph.schema import AUDIO, SUBGRAPHS, TEXT, VISUAL
from avsgn_pyg.visualize import lanes, strips
from avsgn_pyg.visualize.edges import Edges, strongest
from avsgn_pyg.visualize.events import event_rows
from avsgn_pyg.visualize.picture import Picture
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
#: Maximum number of edges drawn per subgraph; more could not be distinguished.
MOST: Final = 150
#: Share of a panel's width that the names of text nodes take at most.
_NAMES: Final = 0.45


def graph_figure(picture: Picture, *, layer: str | None = None, share: float = 0.1, threshold: float | None = None,
                 arrangement: Arrangement = "side-by-side") -> Figure:
    """Draw the strongest edges of a layer's subgraphs, wider and darker by weight, on one scale for all figures.

    Without frames a second is a square, without sound a dot. At most :data:`MOST` edges of a subgraph are drawn.

    Args:
        layer: its name; ``None``: the first.
        share: the fraction of each subgraph's edges that is drawn.
        threshold: instead of `share`, every edge of at least this weight.
        arrangement: of the subgraphs: ``side-by-side``, ``stacked``, or ``overlaid`` in one panel of three lanes.

    Raises:
        PictureError: no such layer, a share outside (0, 1], or a model without a graph.
        ValueError: negative or infinite weights.
    """
    layer = picture.layers[0] if layer is None else layer
    if layer not in picture.layers:
        raise PictureError(f"layer={layer!r}: this model has {', '.join(map(repr, picture.layers))}"
                           f"{did_you_mean(layer, picture.layers)}")
    weights = {subgraph: found[layer] for subgraph, found in picture.adjacency.items()}
    edges = {subgraph: strongest(found, share=share, threshold=threshold) for subgraph, found in weights.items()}
    return _draw(picture, weights, edges, arrangement, "; ".join((f"attention: {layer}", *picture.notes)))


def explanation_figure(picture: Picture, explanation: HeteroData, *, note: str = "") -> Figure:
    """Draw the node masks of every second, and the edges whose mask is at least half of the largest one.

    Masks with a value per feature are summed; of attributions only the positive part is drawn, the largest as 1.

    Args:
        picture: of the same video; its adjacency is not drawn.
        explanation: from :func:`avsgn_pyg.model.explain.explain`.
        note: what was explained, and how, below the title.
    """
    scores = {name: explanation[name].node_mask.sum(-1).clamp(min=0).numpy() for name in (AUDIO, VISUAL)}
    if (largest := float(max(score.max() for score in scores.values()))) > 1:
        note += f"; bars: positive part, the largest ({largest:.2f}) is 1"
        scores = {name: score / largest for name, score in scores.items()}
    masks = _edge_masks(explanation)
    half = max(float(matrix.max()) for matrix in masks.values()) / 2
    edges = {subgraph: strongest(found, threshold=half) for subgraph, found in masks.items()}
    return _draw(picture, masks, edges, "overlaid", note, scores)


def _edge_masks(explanation: HeteroData) -> dict[str, Float[np.ndarray, "_ _"]]:
    """The positive edge masks of every subgraph as [N, N], from the column's node into the row's."""
    masks = {}
    for source, subgraph, target in explanation.edge_types:
        first, second = SUBGRAPHS[subgraph]
        begin = {first: 0, second: explanation[first].num_nodes}
        nodes = begin[second] + explanation[second].num_nodes
        store = explanation[source, subgraph, target]
        j, i = store.edge_index
        matrix = masks.setdefault(subgraph, np.zeros((nodes, nodes), np.float32))
        matrix[i + begin[target], j + begin[source]] = store.edge_mask.clamp(min=0)
    return masks


@styled()
def _draw(picture: Picture, weights: Mapping[str, Float[np.ndarray, "_ _"]], edges: Mapping[str, Edges],
          arrangement: Arrangement, note: str, scores: Mapping[str, Float[np.ndarray, "T"]] = MappingProxyType({})
          ) -> Figure:
    """Draw `edges` of the adjacency `weights`; `scores`, one per second and modality, are bars below the graph."""
    if arrangement not in get_args(Arrangement):
        raise ValueError(f"arrangement={arrangement!r}; choose one of {', '.join(get_args(Arrangement))}")
    seconds, truth = picture.seconds, picture.truth
    counts = {AUDIO: seconds, VISUAL: seconds, TEXT: 0}
    counts |= {SUBGRAPHS[name][1]: len(found) - seconds for name, found in weights.items()}
    kept = {name: found.first(MOST) for name, found in edges.items()}
    overlaid = arrangement == "overlaid"
    groups = [tuple(edges)] if overlaid else [(name,) for name in edges]
    columns = len(groups) if arrangement == "side-by-side" else 1
    texts = short_names(picture.text) if picture.text else [str(node) for node in range(counts[TEXT])]

    names = ("prediction", *(() if truth is None else ("ground truth",)), *(f"{name} mask" for name in scores))
    left = EDGE + strips.names_width(names)
    right = max(strips.scale_width(None) if scores else 0.0, EDGE)
    room = TEXT_WIDTH - left - EDGE - (columns - 1) * _GAP
    beside = [lanes.column_width(texts, _NAMES * room / columns) if any(TEXT in SUBGRAPHS[one] for one in group) else 0
              for group in groups]
    beside = beside if columns > 1 else [max(*beside, right)]
    across = (room - sum(beside)) / columns
    second = across / seconds
    events, key = event_rows(truth, picture.predicted, seconds, second, strips.NEAR)
    heights = {VISUAL: lanes.NODE if picture.frames is None else strips.frame_height(picture.frames, second),
               AUDIO: lanes.NODE if picture.waveform is None else lanes.SOUND,
               TEXT: lanes.between_lanes(counts[TEXT])}
    members = [{modality for name in group for modality in SUBGRAPHS[name]} for group in groups]
    # Panels next to each other have their lanes at the same heights.
    rows = (AUDIO, VISUAL) if columns > 1 else ()
    plans = [lanes.plan_lanes(these, counts, heights, second, rows=rows) for these in members]

    def draw_panel(axes: Axes, number: int) -> None:
        (found, height), group = plans[number], groups[number]
        for modality, lane in found.items():
            if modality != TEXT:
                lanes.draw_lane(axes, lane, picture.frames, picture.waveform)
        for modality in ({AUDIO, VISUAL} & {*found} if columns == 1 else {AUDIO, VISUAL} if not number else ()):
            middle = heights[modality] / 2 + lanes.ARCS
            strips.draw_name(axes, modality, middle if modality == AUDIO else height - middle)
        if TEXT in found:
            most_used = _incident(kept, group, counts, seconds)
            lanes.draw_texts(axes, found[TEXT], texts, most_used, max(beside) - lanes.ASIDE - lanes.LOOPS)
        for name in group:
            lanes.draw_edges(axes, found, name, kept[name], dashes=overlaid)
        _draw_head(axes, [kept[name] for name in group], sum(int(np.count_nonzero(weights[name])) for name in group),
                   "all subgraphs" if overlaid else TITLES[group[0]])

    panels = [Row("", height, _HEAD, functools.partial(draw_panel, number=number))
              for number, (_, height) in enumerate(plans)]
    for name, values in scores.items():
        bars = functools.partial(strips.draw_scores, scores=values, colour=COLOURS[name])
        events.insert(0, Row(f"{name} mask", strips.score_height(second), _GAP, bars, strips.BARS / 2))
    stacks = [[panel, *events] for panel in panels] if columns > 1 else [[*panels, *events]]
    marks = _key_lines(list(edges), overlaid, TEXT_WIDTH - 2 * EDGE)
    key_height = _KEY * len(marks)
    body = key_height + sum(row.above + row.height for row in stacks[0]) + strips.AXIS
    notes = [f"predicted class: {picture.category}", *([note] if note else [])]
    if any(len(kept[name].weight) < len(found.weight) for name, found in edges.items()):
        notes.append(f"no more than the {MOST} strongest edges of a subgraph are drawn")
    figure, top = start_figure(picture.title, TEXT_WIDTH, body, notes=notes, key=key)
    _draw_key(strips.add_row(figure, EDGE, top - key_height, TEXT_WIDTH - 2 * EDGE, key_height, 1), marks)
    place = left
    for number, rows in enumerate(stacks):
        strips.draw_rows(figure, rows, place, top - key_height, across, seconds, named=not number, start=picture.start)
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
