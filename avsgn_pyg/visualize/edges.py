"""Adjacencies as arrays: their sizes, their layers, their rollout, and the edges worth drawing.

Shapes: N nodes of a subgraph, E edges, T segments. Row i of an adjacency weighs the messages into node i.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from avsgn_pyg.common.errors import PictureError
from avsgn_pyg.graph.schema import AUDIO, SUBGRAPHS, TEXT, VISUAL

#: More edges than these cannot be told apart in a figure.
MOST: Final = 150


class Edges(NamedTuple):
    """Directed edges, the strongest first."""

    source: Int[np.ndarray, "E"]
    target: Int[np.ndarray, "E"]
    weight: Float[np.ndarray, "E"]


def strongest(
    adjacency: Float[np.ndarray, "N N"], *, share: float = 1.0, threshold: float | None = None, most: int | None = MOST
) -> Edges:
    """Return the edges of an adjacency by their weight; an entry of zero is no edge.

    Args:
        share: the strongest part of all edges, in (0, 1]; at least one edge stays.
        threshold: instead of `share`, every edge of at least this weight.
        most: never more than these; ``None`` sets no limit.

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
    order = order[:most]
    target, source = np.divmod(order, len(adjacency))
    return Edges(source, target, weight[order])


def node_counts(adjacency: Mapping[str, np.ndarray], seconds: int) -> dict[str, int]:
    """Return the nodes of each modality, from the sizes of the subgraphs of one layer.

    Raises:
        ValueError: no subgraph, an unknown one, or sizes that contradict each other or the seconds.
    """
    if not adjacency or not set(adjacency) <= set(SUBGRAPHS):
        raise ValueError(f"adjacency names the subgraphs {sorted(adjacency)}; give some of {', '.join(SUBGRAPHS)}")
    counts = {AUDIO: seconds, VISUAL: seconds}
    for name, weights in adjacency.items():
        if weights.ndim != 2 or weights.shape[0] != weights.shape[1]:
            raise ValueError(f"adjacency[{name!r}] must be square, got {list(weights.shape)}")
        rest = len(weights) - seconds
        if rest < 1 or counts.setdefault(SUBGRAPHS[name][1], rest) != rest:
            raise ValueError(f"adjacency[{name!r}] has {len(weights)} nodes, {seconds} seconds and "
                             f"{counts.get(TEXT, 'no')} text nodes do not make that many")
    return counts


def layers_of(adjacency: Mapping[str, Mapping[str, np.ndarray]], seconds: int) -> tuple[list[str], dict[str, int]]:
    """Return the names of the layers, the same for every subgraph, and the nodes of each modality.

    Raises:
        ValueError: no layer, or layers or sizes that contradict each other.
    """
    named = {subgraph: list(found) for subgraph, found in adjacency.items()}
    layers = next(iter(named.values()), [])
    if not layers or any(names != layers for names in named.values()):
        raise ValueError(f"every subgraph needs the same layers, one at least; got {named}")
    counts = [node_counts({name: found[layer] for name, found in adjacency.items()}, seconds) for layer in layers]
    if any(found != counts[0] for found in counts):
        raise ValueError(f"the layers differ in their nodes: {dict(zip(layers, counts, strict=True))}")
    return layers, counts[0]


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
