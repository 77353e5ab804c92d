"""Several events of one video with times in seconds: what a dense model returns, and one decoded event.

Shapes: B videos, L points in time (of every level, where a model has several), C event classes, N nodes in one
subgraph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor


class Detection(NamedTuple):
    """One event: its class, start and end in seconds, and its score in (0, 1)."""

    category: int
    start: float
    end: float
    score: float


@dataclass(frozen=True)
class DenseOutput:
    """The output of a dense model for a batch: at every point in time and for every class, a score and an interval.

    Attributes:
        scores: [B, L, C] logits of the class's event at the point.
        distances: [B, L, C, 2] seconds, at least 0, from the point back to the start and on to the end of that event.
        times: [L] seconds from the start of the video to each point.
        mask: [B, L] False for padding, where the other fields have no meaning. ``None`` if all videos have L points.
        reach: [L, 2] seconds; a point learns the events whose larger distance lies in ``[first, second)``, so that
            each level of a temporal pyramid has its lengths. ``None``: all events.
        adjacency, stages: as of :class:`~avsgn_pyg.graph.localization.Localization`.
    """

    scores: Float[Tensor, "B L C"]
    distances: Float[Tensor, "B L C 2"]
    times: Float[Tensor, "L"]
    mask: Bool[Tensor, "B L"] | None = None
    reach: Float[Tensor, "L 2"] | None = None
    adjacency: Mapping[str, tuple[Tensor, ...]] = field(default_factory=dict)
    stages: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
