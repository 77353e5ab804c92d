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

from avsgn_pyg.graph.schema import SUBGRAPHS, TEXT
from avsgn_pyg.visualize import theme
from avsgn_pyg.visualize.edges import layers_of
from avsgn_pyg.visualize.graph import TITLES
from avsgn_pyg.visualize.strips import tick_step
from avsgn_pyg.visualize.theme import COLOURS, EDGE, SEQUENTIAL, TEXT_WIDTH, text_width

_FONT, _TICK_FONT = 7.0, 6.0
#: Inches between panels, over each for its title, of the nodes' numbers and names, and at the foot for the scale.
_GAP, _HEAD, _NAMES, _FOOT = 0.06, 0.18, 0.36, 0.42
#: Colours of each kind of block.
_SCALES: Final = {"between seconds": SEQUENTIAL, "from or to text": "YlOrBr"}
#: The largest panel: one subgraph alone need not fill the page.
_LARGEST: Final = 2.6


@theme.styled()
def heatmap_figure(
    *, title: str, adjacency: Mapping[str, Mapping[str, Float[np.ndarray, "_ _"]]], seconds: int,
    width: float = TEXT_WIDTH,
) -> Figure:
    """Draw every adjacency on two scales from 0: one for messages between seconds, one for those from or to text.

    A text node spreads its weight over all nodes, so on the scale of the seconds its blocks would all look empty.

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
    blocks = [(*block, SUBGRAPHS[subgraph]) for subgraph, found in adjacency.items() for weights in found.values()
              for block in _blocks(weights, counts[SUBGRAPHS[subgraph][0]])]
    highest = {kind: max((float(block.max()) for block, place, members in blocks if _kind(members, place) == kind),
                         default=0.0) for kind in _SCALES}
    side = min(_LARGEST, (width - 2 * EDGE) / len(adjacency) - _NAMES - _GAP)
    across, up = side + _NAMES + _GAP, _HEAD + side + _NAMES + _GAP
    figure, top = theme.start_figure(title, 2 * EDGE + len(adjacency) * across, len(layers) * up + _FOOT)
    for column, (subgraph, found) in enumerate(adjacency.items()):
        sizes = {modality: counts[modality] for modality in SUBGRAPHS[subgraph]}
        for row, layer in enumerate(layers):
            left, bottom = EDGE + _NAMES + column * across, top - row * up - _HEAD - side
            axes = theme.add_axes(figure, left, bottom, side, side)
            for block, place in _blocks(found[layer], counts[SUBGRAPHS[subgraph][0]]):
                kind = _kind(SUBGRAPHS[subgraph], place)
                axes.imshow(block, cmap=_SCALES[kind], vmin=0, vmax=highest[kind] or 1.0, interpolation="nearest",
                            aspect="auto", extent=_extent(place, block.shape, counts[SUBGRAPHS[subgraph][0]]))
            axes.set(xlim=(-0.5, len(found[layer]) - 0.5), ylim=(len(found[layer]) - 0.5, -0.5))
            _draw_nodes(axes, sizes, side / len(found[layer]))
            head = TITLES[subgraph] if len(layers) == 1 else f"{TITLES[subgraph]}, {layer}"
            axes.set_title(head, size=_FONT, pad=3.0, loc="left")
    for number, kind in enumerate(kind for kind in _SCALES if highest[kind] > 0):
        theme.add_colour_bar(figure, EDGE + _NAMES + 2.2 * number, 0.18, 1.6, highest[kind], 2, f"weight, {kind}",
                             colours=_SCALES[kind])
    return figure


def _blocks(weights: Float[np.ndarray, "_ _"], border: int) -> list[tuple[Float[np.ndarray, "_ _"], tuple[int, int]]]:
    """Return the four blocks of an adjacency whose first modality has `border` nodes, with the place of each."""
    parts = (slice(None, border), slice(border, None))
    return [(weights[rows, columns], (row, column)) for row, rows in enumerate(parts)
            for column, columns in enumerate(parts)]


def _kind(members: Sequence[str], place: tuple[int, int]) -> str:
    return "from or to text" if TEXT in (members[place[0]], members[place[1]]) else "between seconds"


def _extent(place: tuple[int, int], shape: tuple[int, ...], border: int) -> tuple[float, float, float, float]:
    """Return left, right, bottom and top of a block's picture."""
    top, left = place[0] * border - 0.5, place[1] * border - 0.5
    return left, left + shape[1], top + shape[0], top


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
