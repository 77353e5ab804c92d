"""One record a video: what a CSV of a model's answers is written from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from avsgn_pyg.graph.schema import NO_EVENT
from avsgn_pyg.localization import Event, events
from avsgn_pyg.metrics.segment import Mask, check_answers, correct_per_video, emptied, predict, segment_targets


@dataclass(frozen=True)
class VideoRecord:
    """One video's answer beside its truth.

    Attributes:
        predicted_class: name of the first maximum of the class logits.
        confidence: its softmax, 0..1.
        true_class: name, or ``None`` where the video has no event.
        predicted_labels: label index of every segment; background is C.
        true_labels: likewise.
        accuracy: percent of the video's segments that are right.
        predicted_events: runs of a class in `predicted_labels`, seconds [start, end).
    """

    predicted_class: str
    confidence: float
    true_class: str | None
    predicted_labels: tuple[int, ...]
    true_labels: tuple[int, ...]
    accuracy: float
    predicted_events: tuple[Event, ...]


def video_records(
    category_logits: Float[Tensor, "N C"],
    relevance_logits: Float[Tensor, "N T"],
    category: Int[Tensor, "N"],
    relevance: Num[Tensor, "N T"],
    *,
    categories: Sequence[str],
    tau: float,
    segment_scores: Float[Tensor, "N T C1"] | None = None,
    mask: Mask = None,
) -> list[VideoRecord]:
    """A record for every video, in the order given; arguments and errors are :func:`evaluate`'s."""
    classes = len(categories)
    relevance, relevance_logits = emptied(relevance, mask), emptied(relevance_logits, mask)
    segment_scores = None if segment_scores is None else emptied(segment_scores, mask)
    target = segment_targets(category, relevance, classes)
    check_answers(category_logits, relevance_logits, target, segment_scores)
    predicted = predict(category_logits, relevance_logits, tau, segment_scores, mask)
    real = torch.ones_like(target, dtype=torch.bool) if mask is None else mask
    confidence, best = category_logits.softmax(-1).max(-1)
    return [
        VideoRecord(
            predicted_class=categories[int(best[n])],
            confidence=confidence[n].item(),
            true_class=None if category[n] == NO_EVENT else categories[int(category[n])],
            predicted_labels=tuple(predicted[n][real[n]].tolist()),
            true_labels=tuple(target[n][real[n]].tolist()),
            accuracy=100.0 * share,
            predicted_events=tuple(events(predicted[n], classes)),
        )
        for n, share in enumerate(correct_per_video(predicted, target, mask).tolist())
    ]
