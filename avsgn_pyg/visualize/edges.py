"""Edges worth drawing, and the curves they are drawn as.

Letters: N nodes of a subgraph, E edges, P points of a curve.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int

#: More edges than these are a blot and not a graph.
MOST: Final = 150
_POINTS: Final = 28


class Edges(NamedTuple):
    """Directed edges, the strongest first."""

    source: Int[np.ndarray, "E"]
    target: Int[np.ndarray, "E"]
    weight: Float[np.ndarray, "E"]


def strongest(
    adjacency: Float[np.ndarray, "N N"], *, share: float = 1.0, threshold: float | None = None, most: int | None = MOST
) -> Edges:
    """The edges of an adjacency by their weight; an entry of zero is no edge.

    Args:
        adjacency: row i weighs the messages into node i, so entry [i, j] is the edge from j to i.
        share: the strongest part of all edges, in (0, 1]; at least one edge stays.
        threshold: in place of `share`, every edge of at least this weight.
        most: never more than these; ``None`` sets no limit.

    Raises:
        ValueError: a share outside (0, 1], or an adjacency with negative or infinite weights.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share={share} is no part of the edges; give one in (0, 1], such as 0.1")
    if not np.isfinite(adjacency).all() or adjacency.min(initial=0) < 0:
        raise ValueError("adjacency holds negative or infinite weights; give attention after its softmax")
    weight = adjacency.ravel()
    order = np.argsort(-weight, kind="stable")[: int(np.count_nonzero(weight))]
    if threshold is not None:
        order = order[weight[order] >= threshold]
    else:
        order = order[: max(1, round(share * len(order)))]
    order = order[:most]
    target, source = np.divmod(order, len(adjacency))
    return Edges(source, target, weight[order])


def curves(
    start: Float[np.ndarray, "E 2"], end: Float[np.ndarray, "E 2"], bend: Float[np.ndarray, "E 2"]
) -> Float[np.ndarray, "E P 2"]:
    """Cubic Bezier curves that leave `start` and reach `end` upright.

    Args:
        start, end: x and y of each curve's ends.
        bend: how far up the inner control points lie from the start and from the end; negative is down.
    """
    along = np.linspace(0, 1, _POINTS)[:, None]
    one, two = start.copy(), end.copy()
    one[:, 1] += bend[:, 0]
    two[:, 1] += bend[:, 1]
    parts = ((1 - along) ** 3, 3 * along * (1 - along) ** 2, 3 * along**2 * (1 - along), along**3)
    corners = (start, one, two, end)
    return sum(part * corner[:, None] for part, corner in zip(parts, corners, strict=True))


def strength(weight: Float[np.ndarray, "E"], low: float, high: float) -> Float[np.ndarray, "E"]:
    """Weights as shares of the way from `low` to `high`; all 1 where there is no way between."""
    return np.ones_like(weight) if high <= low else np.clip((weight - low) / (high - low), 0, 1)
