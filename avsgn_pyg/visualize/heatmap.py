"""A video's adjacencies as heat maps: one column per subgraph, one row per layer, with borders between the modalities.

Shapes: N nodes of a subgraph, T segments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from jaxtyping import Bool
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avsgn_pyg.graph.schema import SUBGRAPHS, TEXT
from avsgn_pyg.visualize import theme
from avsgn_pyg.visualize.graph import TITLES
from avsgn_pyg.visualize.picture import Picture
from avsgn_pyg.visualize.strips import tick_step
from avsgn_pyg.visualize.theme import COLOURS, EDGE, SEQUENTIAL, TEXT_WIDTH, text_width

_FONT, _TICK_FONT = 7.0, 6.0
#: Inches between panels, over each for its title, of the nodes' numbers and names, and at the foot for the scale.
_GAP, _HEAD, _NAMES, _FOOT = 0.06, 0.18, 0.36, 0.42
#: Colours of each kind of message.
_OF_TEXT: Final = "from or to text"
_SCALES: Final = {"between seconds": SEQUENTIAL, _OF_TEXT: "YlOrBr"}
#: The largest panel: one subgraph alone need not fill the page.
_LARGEST: Final = 2.6


@theme.styled()
def heatmap_figure(picture: Picture) -> Figure:
    """Draw every adjacency on two scales from 0: one for messages between seconds, one for those from or to text.

    A text node spreads its weight over all nodes, so on the scale of the seconds its blocks would all look empty.

    Raises:
        PictureError: a model without a graph.
    """
    layers, counts, adjacency = picture.layers, picture.counts, picture.adjacency
    shown = {kind: {subgraph: [np.ma.array(weights, mask=_of_text(subgraph, counts) != (kind == _OF_TEXT))
                               for weights in found.values()] for subgraph, found in adjacency.items()}
             for kind in _SCALES}
    highest = {kind: max(float(weights.filled(0).max()) for found in parts.values() for weights in found)
               for kind, parts in shown.items()}
    side = min(_LARGEST, (TEXT_WIDTH - 2 * EDGE) / len(adjacency) - _NAMES - _GAP)
    across, up = side + _NAMES + _GAP, _HEAD + side + _NAMES + _GAP
    figure, top = theme.start_figure(picture.title, 2 * EDGE + len(adjacency) * across, len(layers) * up + _FOOT)
    for column, subgraph in enumerate(adjacency):
        sizes = {modality: counts[modality] for modality in SUBGRAPHS[subgraph]}
        for row, layer in enumerate(layers):
            left, bottom = EDGE + _NAMES + column * across, top - row * up - _HEAD - side
            axes = theme.add_axes(figure, left, bottom, side, side)
            for kind, colours in _SCALES.items():
                axes.imshow(shown[kind][subgraph][row], cmap=colours, vmin=0, vmax=highest[kind] or 1.0,
                            interpolation="nearest", aspect="auto")
            _draw_nodes(axes, sizes, side / sum(sizes.values()))
            head = TITLES[subgraph] if len(layers) == 1 else f"{TITLES[subgraph]}, {layer}"
            axes.set_title(head, size=_FONT, pad=3.0, loc="left")
    for number, kind in enumerate(kind for kind in _SCALES if highest[kind] > 0):
        theme.add_colour_bar(figure, EDGE + _NAMES + 2.2 * number, 0.18, 1.6, highest[kind], 2, f"weight, {kind}",
                             colours=_SCALES[kind])
    return figure


def _of_text(subgraph: str, counts: Mapping[str, int]) -> Bool[np.ndarray, "N N"]:
    """Whether a text node sends or receives a message."""
    members = SUBGRAPHS[subgraph]
    text = np.repeat([modality == TEXT for modality in members], [counts[modality] for modality in members])
    return text | text[:, None]


def _draw_nodes(axes: Axes, sizes: Mapping[str, int], wide: float) -> None:
    """Draw a border between the modalities, their names, and some numbers of their nodes, each `wide` inches."""
    places, labels, start = [], [], 0
    for outer, (modality, size) in enumerate(sizes.items()):
        step = tick_step(size - 1, wide, _TICK_FONT, 0.06)
        # The last number of a modality may not meet the first one of the next.
        room = text_width(str(size - 1), _TICK_FONT) + 0.06
        shown = [at for at in range(0, size, step) if outer or (size - at) * wide >= room]
        places += [start + at for at in shown]
        labels += [str(at) for at in shown]
        _draw_name(axes, modality, (start - 0.5, start + size - 0.5), size * wide, outer)
        start += size
    border = next(iter(sizes.values())) - 0.5
    axes.axhline(border, color=COLOURS["ink"], linewidth=0.8)
    axes.axvline(border, color=COLOURS["ink"], linewidth=0.8)
    axes.set_xticks(places, labels)
    axes.set_yticks(places, labels)
    axes.tick_params(length=1.5, width=0.4, pad=1.0, labelsize=_TICK_FONT)


def _draw_name(axes: Axes, modality: str, span: Sequence[float], room: float, outer: int) -> None:
    """Draw a modality's name along its part of both axes: in the middle, or from the outer end if it does not fit."""
    fits = text_width(f"from {modality}", _FONT) <= room
    place = sum(span) / 2 if fits else span[outer]
    across = "center" if fits else ("left", "right")[outer]
    up = "center" if fits else ("top", "bottom")[outer]
    style = {"textcoords": "offset points", "size": _FONT}
    axes.annotate(f"from {modality}", (place, axes.get_ylim()[0]), (0, -11.0), va="top", ha=across, **style)
    axes.annotate(f"into {modality}", (-0.5, place), (-13.0, 0), ha="right", va=up, rotation=90, **style)
