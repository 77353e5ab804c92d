"""A video's adjacencies as heat maps: one column per subgraph, one row per layer, with borders between the modalities.

Shapes: N nodes of a subgraph, T segments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avsgn_pyg.graph.schema import SUBGRAPHS
from avsgn_pyg.visualize import theme
from avsgn_pyg.visualize.edges import layers_of
from avsgn_pyg.visualize.graph import TITLES
from avsgn_pyg.visualize.strips import tick_step
from avsgn_pyg.visualize.theme import COLOURS, EDGE, SEQUENTIAL, TEXT_WIDTH, text_width

_FONT, _TICK_FONT = 7.0, 6.0
#: Inches between panels, over each for its title, of the nodes' numbers and names, and at the foot for the scale.
_GAP, _HEAD, _NAMES, _FOOT = 0.1, 0.16, 0.36, 0.42
#: The largest panel: one subgraph alone need not fill the page.
_LARGEST: Final = 2.6


@theme.styled()
def heatmap_figure(
    *, title: str, adjacency: Mapping[str, Mapping[str, Float[np.ndarray, "_ _"]]], seconds: int,
    width: float = TEXT_WIDTH,
) -> Figure:
    """Draw every adjacency on one scale from 0 to the largest weight.

    Args:
        title: name of the video.
        adjacency: subgraph -> name of the layer -> [N, N]; row i weighs the messages into node i. Every subgraph has
            the same layers.
        seconds: T, the rows (and columns) of the first modality.
        width: inches at most.

    Raises:
        ValueError: no subgraph or an unknown one, no layer, or layers and sizes that contradict each other.
    """
    layers, counts = layers_of(adjacency, seconds)
    highest = max(float(weights.max()) for found in adjacency.values() for weights in found.values())
    side = min(_LARGEST, (width - 2 * EDGE) / len(adjacency) - _NAMES - _GAP)
    across, up = side + _NAMES + _GAP, _HEAD + side + _NAMES + _GAP
    figure, top = theme.start_figure(title, 2 * EDGE + len(adjacency) * across, len(layers) * up + _FOOT)
    for column, (subgraph, found) in enumerate(adjacency.items()):
        sizes = {modality: counts[modality] for modality in SUBGRAPHS[subgraph]}
        for row, layer in enumerate(layers):
            left, bottom = EDGE + _NAMES + column * across, top - row * up - _HEAD - side
            axes = theme.add_axes(figure, left, bottom, side, side)
            axes.imshow(found[layer], cmap=SEQUENTIAL, vmin=0, vmax=highest, interpolation="nearest", aspect="auto")
            _draw_nodes(axes, sizes, side / len(found[layer]))
            head = TITLES[subgraph] if len(layers) == 1 else f"{TITLES[subgraph]}, {layer}"
            axes.set_title(head, size=_FONT, pad=3.0, loc="left")
    theme.add_colour_bar(figure, EDGE + _NAMES, 0.18, 1.6, highest, 2, "weight of a message (rows sum to 1)")
    return figure


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
