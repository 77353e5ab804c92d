"""A reliability diagram: observed frequency against predicted probability, one panel per kind of prediction.

Shapes: K bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avsgn_pyg.visualize.theme import COLOURS, EDGE, TITLE_LINE, add_axes, start_figure, styled

#: Inches of a panel's side, of the counts below it, between panels, and for the labels of the axes.
SIDE, COUNTS, BETWEEN, LEFT, BELOW = 2.3, 0.45, 0.75, 0.5, 0.38
_GAP: Final = 0.08


class Curve(NamedTuple):
    """Predictions in K bins of equal width; `error` is the expected calibration error in percent."""

    count: Float[np.ndarray, "K"]
    predicted: Float[np.ndarray, "K"]
    observed: Float[np.ndarray, "K"]
    error: float


@styled()
def reliability_figure(title: str, panels: Mapping[str, Curve]) -> Figure:
    """Draw the observed frequency of each bin of predicted probability, and how many predictions it has.

    The bars of calibrated probabilities end at the dashed diagonal; ValueError without a panel.
    """
    if not panels:
        raise ValueError("panels is empty: give one or more kinds of predictions")
    width = LEFT + len(panels) * (SIDE + BETWEEN) - BETWEEN + 3 * EDGE
    figure, top = start_figure(title, width, TITLE_LINE + SIDE + _GAP + COUNTS + BELOW)
    for place, (name, curve) in enumerate(panels.items()):
        left, bottom = EDGE + LEFT + place * (SIDE + BETWEEN), top - TITLE_LINE - SIDE
        _draw_frequencies(add_axes(figure, left, bottom, SIDE, SIDE), name, curve)
        _draw_counts(add_axes(figure, left, bottom - _GAP - COUNTS, SIDE, COUNTS), curve)
    return figure


def _draw_frequencies(axes: Axes, name: str, curve: Curve) -> None:
    edges = np.linspace(0, 1, len(curve.count) + 1)
    full = curve.count > 0
    axes.bar(edges[:-1][full], curve.observed[full], 1 / len(curve.count), align="edge", color=COLOURS["visual"],
             edgecolor="white", linewidth=0.6)
    axes.plot((0, 1), (0, 1), color=COLOURS["ink"], linewidth=0.9, dashes=(3, 2))
    axes.plot(curve.predicted[full], curve.observed[full], "o", color=COLOURS["event"], markersize=3.5)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], ylabel="observed frequency")
    axes.set_title(name, size=8.0, pad=3)
    axes.text(0.03, 0.97, f"calibration error {curve.error:.1f} %", size=7.0, va="top")


def _draw_counts(axes: Axes, curve: Curve) -> None:
    edges = np.linspace(0, 1, len(curve.count) + 1)
    axes.bar(edges[:-1], curve.count, 1 / len(curve.count), align="edge", color=COLOURS["background"],
             edgecolor="white", linewidth=0.6)
    axes.set(xlim=(0, 1), xticks=np.linspace(0, 1, 6), yticks=[0, int(curve.count.max())], ylabel="number")
    axes.tick_params(length=2, labelsize=7.0)
    axes.set_xlabel("predicted probability", labelpad=1.5)
