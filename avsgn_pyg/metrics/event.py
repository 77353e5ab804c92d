"""Metrics that read whole events: runs of one class, matched by their overlap in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from jaxtyping import Int
from torch import Tensor

from avsgn_pyg.localization import Event, events
from avsgn_pyg.metrics.segment import percent

#: IoU at which a predicted event counts as found. 0.5 alone is near-trivial on AVE, whose events are long.
THRESHOLDS: Final = (0.5, 0.7, 0.9)


class EventCount(NamedTuple):
    """Events of a whole split: `hits` of the `predicted` ones matched one of the `true` ones."""

    hits: int
    predicted: int
    true: int

    @property
    def precision(self) -> float:
        """Percent of the predicted events that are true; ``nan`` if none was predicted."""
        return percent(self.hits, self.predicted)

    @property
    def recall(self) -> float:
        """Percent of the true events that were found; ``nan`` if there are none."""
        return percent(self.hits, self.true)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), percent; ``nan`` if there are neither true nor predicted events."""
        return percent(2 * self.hits, self.predicted + self.true)


def iou(one: Event, other: Event) -> float:
    """Shared seconds over joint seconds; 0 between events of different classes."""
    shared = min(one.end, other.end) - max(one.start, other.start)
    if one.category != other.category or shared <= 0:
        return 0.0
    return shared / ((one.end - one.start) + (other.end - other.start) - shared)


def count_events(
    predicted: Int[Tensor, "N T"], target: Int[Tensor, "N T"], background: int, threshold: float
) -> EventCount:
    """Match predicted to true events, video by video, and count over the split.

    An event is a maximal run of one class. Within a video each true event is given to at most one predicted
    event of its class with IoU >= `threshold`, such that as many as possible are matched.

    Raises:
        ValueError: `threshold` outside (0, 1].
    """
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"threshold={threshold} must lie in (0, 1]: it is an intersection over union")
    pairs = [(events(p, background), events(t, background)) for p, t in zip(predicted, target, strict=True)]
    hits = sum(_match(answers, truth, threshold) for answers, truth in pairs)
    return EventCount(hits, sum(len(a) for a, _ in pairs), sum(len(t) for _, t in pairs))


def event_f1(
    predicted: Int[Tensor, "N T"],
    target: Int[Tensor, "N T"],
    background: int,
    thresholds: Sequence[float] = THRESHOLDS,
) -> dict[float, float]:
    """IoU threshold -> micro F1 of the split's events, percent."""
    return {threshold: count_events(predicted, target, background, threshold).f1 for threshold in thresholds}


def _match(answers: Sequence[Event], truth: Sequence[Event], threshold: float) -> int:
    """Size of the largest one-to-one matching of two lists in time order.

    Taking the first that fits is enough: where an answer fits two true events, no later answer reaches
    back to the first of them.
    """
    free = list(truth)
    for answer in answers:
        fitting = next((event for event in free if iou(answer, event) >= threshold), None)
        if fitting is not None:
            free.remove(fitting)
    return len(truth) - len(free)
