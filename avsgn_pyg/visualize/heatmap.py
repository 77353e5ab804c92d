"""A video's adjacencies as heat maps: a column a subgraph, a row a layer, with borders between the modalities.

Letters: N nodes of a subgraph, T segments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from avsgn_pyg.graph.schema import SUBGRAPHS
from avsgn_pyg.visualize.graph import TITLES, layers_of
from avsgn_pyg.visualize.theme import COLOURS, SEQUENTIAL, TEXT_WIDTH, styled, text_width, wrapped

_FONT, _TITLE_FONT, _TITLE_LINE, _TICK_FONT = 7.0, 9.0, 0.16, 6.0
_EDGE, _GAP, _HEAD = 0.08, 0.1, 0.16
#: Inches for numbers and names of the nodes, at the left of the first panel and below each.
_NAMES: Final = 0.36
#: The largest panel: one subgraph alone need not fill the page.
_LARGEST: Final = 2.6
_BAR_HEIGHT, _BAR_WIDTH, _BAR = 0.09, 1.6, 0.42
_STEPS: Final = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)


def heatmap_figure(
    *,
    title: str,
    adjacency: Mapping[str, Mapping[str, Float[np.ndarray, "_ _"]]],
    seconds: int,
    width: float = TEXT_WIDTH,
) -> Figure:
    """Draw every adjacency on one scale from 0 to the largest weight.

    Args:
        title: what the video is called.
        adjacency: subgraph -> name of the layer -> [N, N]; row i weighs the messages into node i. Every subgraph has
            the same layers.
        seconds: T, the rows (and columns) of the first modality.
        width: inches at most.

    Raises:
        ValueError: no subgraph or an unknown one, no layer, or layers and sizes that contradict each other.
    """
    layers, counts = layers_of(adjacency, seconds)
    highest = max(float(weights.max()) for found in adjacency.values() for weights in found.values())
    room = (width - 2 * _EDGE - len(adjacency) * (_NAMES + _GAP)) / len(adjacency)
    side = min(_LARGEST, room)
    with styled():
        across = 2 * _EDGE + len(adjacency) * (side + _NAMES + _GAP)
        titles = wrapped(title, across - 2 * _EDGE, _TITLE_FONT)
        header = _EDGE + _TITLE_LINE * len(titles)
        height = header + len(layers) * (_HEAD + side + _NAMES + _GAP) + _BAR
        figure = Figure(figsize=(across, height))
        figure.text(_EDGE / across, 1 - _EDGE / height, "\n".join(titles), va="top", size=_TITLE_FONT)
        for row, layer in enumerate(layers):
            bottom = height - header - (row + 1) * (_HEAD + side) - row * (_NAMES + _GAP)
            for column, (subgraph, found) in enumerate(adjacency.items()):
                left = _EDGE + _NAMES + column * (side + _NAMES + _GAP)
                axes = figure.add_axes((left / across, bottom / height, side / across, side / height))
                sizes = [counts[modality] for modality in SUBGRAPHS[subgraph]]
                _draw_panel(axes, found[layer], SUBGRAPHS[subgraph], sizes, side, highest)
                axes.set_title(_head(subgraph, layer, len(layers)), size=_FONT, pad=3.0, loc="left")
        _draw_bar(figure, highest)
    return figure


def _head(subgraph: str, layer: str, layers: int) -> str:
    return TITLES[subgraph] if layers == 1 else f"{TITLES[subgraph]}, {layer}"


def _draw_panel(axes: Axes, weights: Float[np.ndarray, "N N"], members: Sequence[str], sizes: Sequence[int],
                side: float, highest: float) -> None:
    """One adjacency with a border between its modalities, their names and some of their nodes' numbers."""
    nodes, first = len(weights), sizes[0]
    axes.imshow(weights, cmap=SEQUENTIAL, vmin=0, vmax=highest, interpolation="nearest", aspect="auto")
    axes.axhline(first - 0.5, color=COLOURS["ink"], linewidth=0.8)
    axes.axvline(first - 0.5, color=COLOURS["ink"], linewidth=0.8)
    places, labels = [], []
    for start, size in ((0, first), (first, sizes[1])):
        wide = text_width(str(size - 1), _TICK_FONT) + 0.06
        step = next((step for step in _STEPS if step * side / nodes >= wide), size)
        # The last number of a lane may not meet the first one of the next.
        shown = [at for at in range(0, size, step) if start or (size - at) * side / nodes >= wide]
        places += [start + at for at in shown]
        labels += [str(at) for at in shown]
    axes.set_xticks(places, labels)
    axes.set_yticks(places, labels)
    axes.tick_params(length=1.5, width=0.4, pad=1.0, labelsize=_TICK_FONT)
    _draw_name(axes, members[0], (-0.5, first - 0.5), first * side / nodes, outer=0)
    _draw_name(axes, members[1], (first - 0.5, nodes - 0.5), sizes[1] * side / nodes, outer=1)


def _draw_name(axes: Axes, modality: str, span: tuple[float, float], room: float, *, outer: int) -> None:
    """A modality's name along its part of both axes: in the middle, or where it has no room from the outer end."""
    below, beside = {"va": "top"}, {"ha": "right", "rotation": 90, "rotation_mode": "default"}
    if text_width(f"from {modality}", _FONT) <= room:
        place, below["ha"], beside["va"] = sum(span) / 2, "center", "center"
    else:
        place, below["ha"], beside["va"] = span[outer], ("left", "right")[outer], ("top", "bottom")[outer]
    style = {"textcoords": "offset points", "size": _FONT, "color": COLOURS["ink"]}
    axes.annotate(f"from {modality}", (place, axes.get_ylim()[0]), (0, -11.0), **below, **style)
    axes.annotate(f"into {modality}", (-0.5, place), (-13.0, 0), **beside, **style)


def _draw_bar(figure: Figure, highest: float) -> None:
    across, up = figure.get_size_inches()
    bar = figure.add_axes((_EDGE / across + _NAMES / across, 0.18 / up, _BAR_WIDTH / across, _BAR_HEIGHT / up))
    scale = figure.colorbar(ScalarMappable(Normalize(0, highest), SEQUENTIAL), cax=bar, orientation="horizontal")
    scale.set_ticks([0, highest / 2, highest], labels=["0", f"{highest / 2:.2g}", f"{highest:.2g}"])
    bar.tick_params(length=2, pad=1, labelsize=_TICK_FONT)
    bar.set_title("weight of a message (rows sum to 1)", size=6.5, pad=2, loc="left")
    bar.spines[:].set_linewidth(0.4)
