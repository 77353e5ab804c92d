"""Attention over several layers as one adjacency (S. Abnar and W. Zuidema, Quantifying Attention Flow in
Transformers, ACL 2020, Section 3: attention rollout).

Letters: N nodes of a subgraph.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def rollout(
    adjacency: Sequence[Float[np.ndarray, "N N"]], *, layers: int | None = None, residual: bool = True
) -> Float[np.ndarray, "N N"]:
    """How much of node j's input reaches node i's output: ``(A_L + I)/2 ... (A_1 + I)/2``, the first layer innermost.

    The identity stands for the residual connection around each layer; without one it is left out. What the layers
    do to the features themselves is not in it, nor is the ReLU: it follows the weights alone.

    Args:
        adjacency: one matrix a layer, the first layer first; row i weighs the messages into node i and sums to 1.
        layers: where all layers share one adjacency, how many there are; ``None`` takes one layer a matrix.
        residual: whether the layers have residual connections.

    Returns:
        One matrix, its rows summing to 1.

    Raises:
        ValueError: no matrix, or `layers` for other than one shared matrix.
    """
    if not adjacency:
        raise ValueError("rollout needs the adjacency of a layer or more")
    if layers is not None:
        if layers < 1 or len(adjacency) not in (1, layers):
            raise ValueError(f"layers={layers} for {len(adjacency)} adjacencies; give one for all, or one a layer")
        adjacency = list(adjacency) * (layers // len(adjacency))
    flow = np.eye(len(adjacency[0]))
    for weights in adjacency:
        flow = (weights @ flow + flow) / 2 if residual else weights @ flow
    return flow.astype(adjacency[0].dtype)
