"""All scores of one model on one split, and one record per video."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from avsgn_pyg.graph.localization import Event, events
from avsgn_pyg.graph.schema import NO_EVENT
from avsgn_pyg.metrics import segment
from avsgn_pyg.metrics.event import event_f1
from avsgn_pyg.metrics.interval import Interval, bootstrap_interval
from avsgn_pyg.metrics.segment import BACKGROUND, Mask, percent, zero_padding


class Row(NamedTuple):
    """One line of a table: a score, its value as text, its meaning."""

    name: str
    value: str
    help: str


@dataclass(frozen=True, eq=False)
class Report:
    """Scores of one model on one split; percent, and ``nan`` if a ratio is 0/0.

    Attributes:
        segment_accuracy: percent of all segments with the right label (the main score of Table 1).
        segment_accuracy_interval: its 95 % bootstrap interval over videos; ``None`` without replicates.
        class_accuracy: percent of the videos with an event whose class is right.
        background_precision, background_recall, background_f1: of the background label over segments.
        relevance_auc: event against background seconds, ranked by the relevance logits.
        event_f1: IoU threshold -> micro F1 of events.
        all_foreground_oracle: score of the *true* class on every second: the reference of every accuracy.
        force_all_foreground: score of the model's own class on every second.
        majority: ``label``, the most frequent segment label (the first of two), and ``value``, its score everywhere.
        per_class_accuracy: label name -> percent of its true segments with the right label (background last).
        confusion: [C + 1, C + 1] segments, true label by row, background last.
        tau: the threshold; ``None`` if C + 1 scores per segment are decoded instead.
        videos, segments: numbers of scored videos and segments.
    """

    segment_accuracy: float
    segment_accuracy_interval: Interval | None
    class_accuracy: float
    background_precision: float
    background_recall: float
    background_f1: float
    relevance_auc: float
    event_f1: dict[float, float]
    all_foreground_oracle: float
    force_all_foreground: float
    majority: dict[str, Any]
    per_class_accuracy: dict[str, float]
    confusion: Int[Tensor, "C1 C1"]
    tau: float | None
    videos: int
    segments: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: names as above, ``nan`` as ``None``, IoU thresholds as text."""
        return {item.name: plain(getattr(self, item.name)) for item in fields(self)}

    def rows(self) -> list[Row]:
        """Return the lines of the table that is printed after a run, headline first."""
        lo, hi = self.segment_accuracy_interval or (None, None)
        interval = "" if lo is None else f" [{_text(lo)}, {_text(hi)}]"
        return [
            Row("segment accuracy", _text(self.segment_accuracy) + interval,
                "segments labelled right [95 % interval over videos]"),
            Row("all-foreground oracle", _text(self.all_foreground_oracle), "the true class on every second"),
            Row(f"majority ({self.majority['label']})", _text(self.majority["value"]), "the most frequent label"),
            Row("force all foreground", _text(self.force_all_foreground), "its own class on every second"),
            Row("class accuracy", _text(self.class_accuracy), "videos with an event whose class is right"),
            Row("background F1", _text(self.background_f1), "harmonic mean of the next two"),
            Row("background precision", _text(self.background_precision), "of the seconds called background"),
            Row("background recall", _text(self.background_recall), "of the true background seconds"),
            Row("relevance AUC", _text(self.relevance_auc), "an event second outranks a background second"),
            *(Row(f"event F1 @ {iou}", _text(value), f"events of the right class found with IoU >= {iou}")
              for iou, value in self.event_f1.items()),
        ]


class VideoRecord(NamedTuple):
    """Prediction and truth of one video.

    Attributes:
        predicted_class: name of the first maximum of the class logits.
        confidence: its softmax, 0..1.
        true_class: name, or ``None`` if the video has no event.
        predicted_labels, true_labels: label index of every segment; background is C.
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


def evaluate(
    category_logits: Float[Tensor, "N C"], relevance_logits: Float[Tensor, "N T"], category: Int[Tensor, "N"],
    relevance: Num[Tensor, "N T"], *, categories: Sequence[str], tau: float, bootstrap: int = 2000, seed: int = 0,
    segment_scores: Float[Tensor, "N T C1"] | None = None, mask: Mask = None,
) -> Report:
    """Score a split's outputs against its labels.

    Args:
        category_logits, relevance_logits: the model's outputs.
        category, relevance: the labels, as :func:`segment_targets` takes them.
        categories: C class names.
        tau: threshold of the relevance (decoding; see :func:`predict`).
        bootstrap: replicates of the interval; 0 for none.
        seed: of the bootstrap.
        segment_scores: logits of models that score every segment over C + 1 labels.
        mask: False for padded segments, which no score includes; ``None`` without padding.

    Raises:
        ValueError: shapes that do not fit, names that are not C different ones, labels out of range,
            logits that are not finite, or a tau outside [0, 1).
    """
    _check_names(categories, category_logits.shape[-1])
    classes, names = len(categories), (*categories, BACKGROUND)
    relevance, relevance_logits = zero_padding(relevance, mask), zero_padding(relevance_logits, mask)
    target, predicted = _labels(category_logits, relevance_logits, category, relevance, tau, segment_scores, mask)
    forced = category_logits.argmax(-1, keepdim=True).expand_as(target)
    shares, seconds = segment.correct_per_video(predicted, target, mask), None if mask is None else mask.sum(-1)
    confusion = segment.confusion_matrix(predicted, target, classes + 1, mask).cpu()
    right, called, true = (counts.tolist() for counts in (confusion.diagonal(), confusion.sum(0), confusion.sum(1)))
    segments, most = sum(true), true.index(max(true))
    return Report(
        segment_accuracy=segment.accuracy(predicted, target, mask),
        segment_accuracy_interval=bootstrap_interval(shares, bootstrap, seed, seconds=seconds) if bootstrap else None,
        class_accuracy=segment.class_accuracy(category_logits, category),
        background_precision=percent(right[-1], called[-1]),
        background_recall=percent(right[-1], true[-1]),
        background_f1=percent(2 * right[-1], called[-1] + true[-1]),
        relevance_auc=segment.relevance_auc(relevance_logits, relevance, mask),
        event_f1=event_f1(predicted, target, classes),
        all_foreground_oracle=percent(segments - true[-1], segments),
        force_all_foreground=segment.accuracy(forced, target, mask),
        majority={"label": names[most], "value": percent(true[most], segments)},
        per_class_accuracy=dict(zip(names, map(percent, right, true), strict=True)),
        confusion=confusion,
        tau=tau if segment_scores is None else None,
        videos=len(target),
        segments=segments,
    )


def video_records(
    category_logits: Float[Tensor, "N C"], relevance_logits: Float[Tensor, "N T"], category: Int[Tensor, "N"],
    relevance: Num[Tensor, "N T"], *, categories: Sequence[str], tau: float,
    segment_scores: Float[Tensor, "N T C1"] | None = None, mask: Mask = None,
) -> list[VideoRecord]:
    """Return one record per video, in the order given; arguments and errors are those of :func:`evaluate`."""
    target, predicted = _labels(category_logits, zero_padding(relevance_logits, mask), category,
                                zero_padding(relevance, mask), tau, segment_scores, mask)
    shares = segment.correct_per_video(predicted, target, mask).tolist()
    mask = torch.ones_like(target, dtype=torch.bool) if mask is None else mask
    confidence, best = category_logits.softmax(-1).max(-1)
    return [
        VideoRecord(
            predicted_class=categories[int(best[n])],
            confidence=confidence[n].item(),
            true_class=None if category[n] == NO_EVENT else categories[int(category[n])],
            predicted_labels=tuple(predicted[n][mask[n]].tolist()),
            true_labels=tuple(target[n][mask[n]].tolist()),
            accuracy=100.0 * share,
            predicted_events=tuple(events(predicted[n], len(categories))),
        )
        for n, share in enumerate(shares)
    ]


def _labels(
    category_logits: Tensor, relevance_logits: Tensor, category: Tensor, relevance: Tensor, tau: float,
    segment_scores: Tensor | None, mask: Mask,
) -> tuple[Int[Tensor, "N T"], Int[Tensor, "N T"]]:
    """Return the true and the predicted label of every segment."""
    segment_scores = None if segment_scores is None else zero_padding(segment_scores, mask)
    target = segment.segment_targets(category, relevance, category_logits.shape[-1])
    segment.check_outputs(category_logits, relevance_logits, target, segment_scores)
    return target, segment.predict(category_logits, relevance_logits, tau, segment_scores, mask)


def _check_names(categories: Sequence[str], classes: int) -> None:
    if len(categories) != classes:
        raise ValueError(f"expected one class name for each of {classes} class logits, got {len(categories)}")
    if len({*categories, BACKGROUND}) != classes + 1:
        raise ValueError(f"class names must differ from each other and from {BACKGROUND!r}, got {list(categories)}")


def _text(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def plain(value: Any) -> Any:
    """Return a score as JSON has it: lists and dictionaries with text as keys, ``nan`` as ``None``."""
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
