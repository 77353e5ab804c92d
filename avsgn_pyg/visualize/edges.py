"""Adjacencies as arrays: their nodes, their rollout, and the edges worth drawing.

Shapes: N nodes of a subgraph, E edges, T segments. Row i of an adjacency weighs the messages into node i.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from avsgn_pyg.common.errors import PictureError
from avsgn_pyg.graph.schema import AUDIO, SUBGRAPHS, TEXT, VISUAL


class Edges(NamedTuple):
    """Directed edges, the strongest first."""

    source: Int[np.ndarray, "E"]
    target: Int[np.ndarray, "E"]
    weight: Float[np.ndarray, "E"]

    def first(self, count: int) -> Edges:
        """Return the strongest `count` edges."""
        return Edges(*(values[:count] for values in self))


def strongest(adjacency: Float[np.ndarray, "N N"], *, share: float = 1.0, threshold: float | None = None) -> Edges:
    """Return the edges of an adjacency by their weight; an entry of zero is no edge.

    Args:
        share: the strongest part of all edges, in (0, 1]; at least one edge stays.
        threshold: instead of `share`, every edge of at least this weight.

    Raises:
        PictureError: a share outside (0, 1].
        ValueError: negative or infinite weights.
    """
    if not 0 < share <= 1:
        raise PictureError(f"share={share} is no part of the edges; give one in (0, 1], such as 0.1")
    if not np.isfinite(adjacency).all() or adjacency.min(initial=0) < 0:
        raise ValueError("adjacency contains negative or infinite weights; give attention after its softmax")
    weight = adjacency.ravel()
    order = np.argsort(-weight, kind="stable")[: int(np.count_nonzero(weight))]
    if threshold is not None:
        order = order[weight[order] >= threshold]
    else:
        order = order[: max(1, round(share * len(order)))]
    target, source = np.divmod(order, len(adjacency))
    return Edges(source, target, weight[order])


def count_nodes(adjacency: Mapping[str, Mapping[str, np.ndarray]], seconds: int) -> dict[str, int]:
    """Return the nodes of each modality, from the adjacencies by subgraph and name of the layer.

    Raises:
        ValueError: an unknown subgraph, other layers than in another one, or sizes that do not fit.
    """
    named = {subgraph: list(found) for subgraph, found in adjacency.items()}
    if strange := set(named) - set(SUBGRAPHS):
        raise ValueError(f"adjacency names the subgraphs {sorted(strange)}; give some of {', '.join(SUBGRAPHS)}")
    if any(not names or names != next(iter(named.values())) for names in named.values()):
        raise ValueError(f"every subgraph needs the same layers, one at least; got {named}")
    counts = {AUDIO: seconds, VISUAL: seconds}
    for subgraph, found in adjacency.items():
        for layer, weights in found.items():
            rest = len(weights) - seconds
            square = weights.shape == (len(weights),) * 2
            if not square or rest < 1 or counts.setdefault(SUBGRAPHS[subgraph][1], rest) != rest:
                raise ValueError(f"adjacency[{subgraph!r}][{layer!r}] has the shape {list(weights.shape)}; it must be "
                                 f"square, of {seconds} seconds and {counts.get(TEXT, 'no')} text nodes")
    return counts


def rollout(adjacency: Sequence[Float[np.ndarray, "N N"]], *, residual: bool = True) -> Float[np.ndarray, "N N"]:
    """Return how much of node j's input reaches node i's output: ``(A_L + I)/2 ... (A_1 + I)/2``.

    Attention rollout (S. Abnar and W. Zuidema, Quantifying Attention Flow in Transformers, ACL 2020, Section 3).
    The identity is the residual connection around each layer. Only the weights are followed, not what the layers do to
    the features.

    Args:
        adjacency: one matrix per layer, the first layer first; rows sum to 1.
        residual: whether the layers have residual connections; without them the identity is left out.

    Returns:
        One matrix, its rows summing to 1.
    """
    flow = np.eye(len(adjacency[0]))
    for weights in adjacency:
        flow = (weights @ flow + flow) / 2 if residual else weights @ flow
    return flow.astype(adjacency[0].dtype)
