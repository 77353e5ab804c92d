"""Scores of whole events: runs of one class, matched by their overlap in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from jaxtyping import Int
from torch import Tensor

from avsgn_pyg.graph.localization import Event, events, overlap
from avsgn_pyg.metrics.segment import percent

#: IoU at which a predicted event counts as found. 0.5 alone is near-trivial on AVE, whose events are long.
THRESHOLDS: Final = (0.5, 0.7, 0.9)


def count_events(
    predicted: Int[Tensor, "N T"], target: Int[Tensor, "N T"], background: int, threshold: float
) -> tuple[int, int, int]:
    """Match predicted to true events within each video; return the numbers of matched, predicted and true events.

    An event is a maximal run of one class. Each true event is matched with at most one predicted event of its class
    that has IoU >= `threshold`, such that as many as possible are matched.

    Raises:
        ValueError: `threshold` outside (0, 1].
    """
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"threshold={threshold} must lie in (0, 1]: it is an intersection over union")
    pairs = [(events(p, background), events(t, background)) for p, t in zip(predicted, target, strict=True)]
    matched = sum(_match(found, truth, threshold) for found, truth in pairs)
    return matched, sum(len(found) for found, _ in pairs), sum(len(truth) for _, truth in pairs)


def event_f1(
    predicted: Int[Tensor, "N T"], target: Int[Tensor, "N T"], background: int,
    thresholds: Sequence[float] = THRESHOLDS,
) -> dict[float, float]:
    """Return IoU threshold -> micro F1 = 2 TP / (2 TP + FP + FN) of the split's events, percent."""
    counts = {threshold: count_events(predicted, target, background, threshold) for threshold in thresholds}
    return {threshold: percent(2 * matched, found + true) for threshold, (matched, found, true) in counts.items()}


def _match(found: Sequence[Event], truth: Sequence[Event], threshold: float) -> int:
    """Return the size of the largest one-to-one matching of two lists in time order.

    Taking the first true event that fits is enough: if a prediction fits two, no later one overlaps the first of them.
    """
    free = list(truth)
    for event in found:
        fitting = next((other for other in free if overlap(event, other) >= threshold), None)
        if fitting is not None:
            free.remove(fitting)
    return len(truth) - len(free)
